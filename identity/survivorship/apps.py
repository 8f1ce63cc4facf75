from django.apps import AppConfig


class SurvivorshipConfig(AppConfig):
    name = "identity.survivorship"
    label = "identity_survivorship"
