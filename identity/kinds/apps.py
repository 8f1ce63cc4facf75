from django.apps import AppConfig


class KindsConfig(AppConfig):
    name = "identity.kinds"
    label = "identity_kinds"
