from django.apps import AppConfig


class DuplicatesConfig(AppConfig):
    name = "identity.duplicates"
    label = "identity_duplicates"
