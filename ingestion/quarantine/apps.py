from django.apps import AppConfig


class QuarantineConfig(AppConfig):
    name = "ingestion.quarantine"
    label = "ingestion_quarantine"
