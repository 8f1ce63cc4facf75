from django.apps import AppConfig


class PlansConfig(AppConfig):
    name = "ingestion.plans"
    label = "ingestion_plans"
    verbose_name = "Tracking plans"
