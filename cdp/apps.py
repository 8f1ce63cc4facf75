"""The project itself as a Django app: its management commands."""

from django.apps import AppConfig


class CdpConfig(AppConfig):
    name = "cdp"
    label = "cdp"
