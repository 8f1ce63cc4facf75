from django.apps import AppConfig


class StandardiseConfig(AppConfig):
    name = "ingestion.standardise"
    label = "ingestion_standardise"
    verbose_name = "Standardisation"
