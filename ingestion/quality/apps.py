from django.apps import AppConfig


class QualityConfig(AppConfig):
    name = "ingestion.quality"
    label = "ingestion_quality"
    verbose_name = "Data quality"
