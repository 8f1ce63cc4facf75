from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class IdentityConfig(AppConfig):
    name = "identity"

    def ready(self) -> None:
        connection_created.connect(_forget_found)


def _forget_found(**_: Any) -> None:
    from identity.kinds.stage import forget_found

    forget_found()
