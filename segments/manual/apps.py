from django.apps import AppConfig


class ManualConfig(AppConfig):
    name = "segments.manual"
    label = "segments_manual"
