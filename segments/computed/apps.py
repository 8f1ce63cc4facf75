from django.apps import AppConfig


class ComputedConfig(AppConfig):
    name = "segments.computed"
    label = "segments_computed"
