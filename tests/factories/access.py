"""People who log in."""

import itertools

from django.contrib.auth.models import Group

from cdp.kernel.access.models import User
from cdp.kernel.access.roles import Role

PASSWORD = "water-under-bridge"

_numbers = itertools.count(1)


def make_user(*roles: Role | str, username: str = "", password: str | None = None) -> User:
    """A person in these roles. An admin may also open the Django admin.

    Without a password nobody can log in by the form (`force_login` can): hashing one takes a quarter second.
    """
    username = username or f"person-{next(_numbers)}"
    first, last = (f"{username} Tester").split()[:2]
    user = User.objects.create_user(
        username=username,
        password=password,
        first_name=first.title(),
        last_name=last,
        is_staff=Role.ADMIN in roles,
        is_superuser=Role.ADMIN in roles,
    )
    user.groups.set(Group.objects.filter(name__in=[str(role) for role in roles]))
    return user
