from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "cdp.kernel.access"
    label = "access"
    verbose_name = "Users and API tokens"
