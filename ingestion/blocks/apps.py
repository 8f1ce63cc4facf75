from django.apps import AppConfig


class BlocksConfig(AppConfig):
    name = "ingestion.blocks"
    label = "ingestion_blocks"
