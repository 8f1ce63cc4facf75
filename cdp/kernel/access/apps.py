from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "cdp.kernel.access"
    label = "access"
    verbose_name = "Users and API tokens"

    def ready(self) -> None:
        from cdp.kernel.access import schema  # noqa: F401 - registers itself
