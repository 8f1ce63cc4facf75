from django.apps import AppConfig


class EnrichConfig(AppConfig):
    name = "ingestion.enrich"
    label = "ingestion_enrich"

    def ready(self) -> None:
        from ingestion.enrich import checks  # noqa: F401 - registers itself
