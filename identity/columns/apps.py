from django.apps import AppConfig


class ColumnsConfig(AppConfig):
    name = "identity.columns"
    label = "identity_columns"
