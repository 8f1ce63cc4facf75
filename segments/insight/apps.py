from django.apps import AppConfig


class InsightConfig(AppConfig):
    name = "segments.insight"
    label = "segments_insight"
