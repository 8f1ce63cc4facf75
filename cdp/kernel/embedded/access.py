"""Which operating-system user PostgreSQL runs as, and which folders that user can enter."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int
    groups: frozenset[int]


def service_user(home: Path) -> User:
    """Ourselves; for root, the owner of the existing data, else ``nobody``.

    PostgreSQL refuses to run as root, and refuses a data folder that belongs to another user.
    """
    if os.geteuid() != 0:
        return current_user()
    owner = owner_of_data(home)
    return user_by_uid(owner) if owner else nobody()


def owner_of_data(home: Path) -> int | None:
    """The owner of the database's files, where there are any and it is not root."""
    try:
        return (home / "postgres" / "data").stat().st_uid or None
    except OSError:
        return None


def current_user() -> User:
    uid, gid = os.geteuid(), os.getegid()
    return User(name=name_of(uid), uid=uid, gid=gid, groups=frozenset([gid, *os.getgroups()]))


def nobody() -> User:
    return user_by_uid(pwd.getpwnam("nobody").pw_uid)


def user_by_uid(uid: int) -> User:
    """Without the supplementary groups, which the service gives up as well."""
    try:
        gid = pwd.getpwuid(uid).pw_gid
    except KeyError:
        gid = uid
    return User(name=name_of(uid), uid=uid, gid=gid, groups=frozenset([gid]))


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def user_can_reach(path: Path, *, user: User) -> bool:
    """Whether ``user`` can pass through every existing folder above ``path``."""
    return all(may_enter(folder, user=user) for folder in path.parents)


def may_enter(folder: Path, *, user: User) -> bool:
    """A folder that does not exist yet will be ours, so it is no obstacle."""
    if user.uid == 0:
        return True
    try:
        status = folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid in user.groups:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
