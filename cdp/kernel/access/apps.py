from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from cdp.kernel.access.roles import Role


def create_role_groups(**_kwargs: Any) -> None:
    """A group per role, so that the admin can put people in it. After every migration: roles are code, not data."""
    from django.contrib.auth.models import Group

    for role in Role:
        Group.objects.get_or_create(name=role.value)


class AccessConfig(AppConfig):
    name = "cdp.kernel.access"
    label = "access"
    verbose_name = "Users and API tokens"

    def ready(self) -> None:
        post_migrate.connect(create_role_groups, sender=self)
