"""What crosses the border of this room."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from identity.contracts import ProfileView


@dataclass(frozen=True, slots=True)
class Belonging:
    """What one message says: that a person belongs to an account, and with `traits` what the account is like.

    `at` is its time in microseconds since 2000-01-01 UTC; `priority` is that of its source. `origin_id` is the origin
    that the message is of, where that is not the profile itself.
    """

    group_id: str
    profile_id: int
    at: int
    source_id: int
    priority: int
    traits: dict[str, Any] | None
    origin_id: int | None = None


@dataclass(frozen=True, slots=True)
class AccountNews:
    """By account the traits that changed, and the profiles that have come to belong to one."""

    traits: dict[int, set[str]] = field(default_factory=dict)
    joined: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class AccountView:
    id: int
    group_id: str
    traits: dict[str, Any]
    provenance: dict[str, Any]
    members: int
    created_at: datetime
    updated_at: datetime

    @property
    def display_name(self) -> str:
        name = self.traits.get("name")
        return name.strip() if isinstance(name, str) and name.strip() else self.group_id


@dataclass(frozen=True, slots=True)
class Member:
    """A person of an account, and from when to when messages said so."""

    profile: ProfileView
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    account: AccountView
    first_seen_at: datetime
    last_seen_at: datetime
