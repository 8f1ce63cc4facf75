"""What crosses the border of this room."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from identity.parts import Parts

Identifier = tuple[str, str]
"""An identifier as ``(kind, normalised value)``."""

Combination = tuple[Identifier, ...]
"""Identifiers that met in a message."""


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile as it is shown: `identifiers` are ``{kind: [value…]}``, oldest value first."""

    id: int
    traits: dict[str, Any]
    provenance: dict[str, Any]
    identifiers: dict[str, list[str]]
    created_at: datetime
    updated_at: datetime

    @property
    def display_name(self) -> str:
        """A name to show: from the traits, else the most telling identifier."""
        full = self.traits.get("name")
        if isinstance(full, str) and full.strip():
            return full.strip()
        parts = [self.traits.get(key) for key in ("firstName", "lastName")]
        joined = " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
        if joined:
            return joined
        for kind in ("email", "user_id"):
            if self.identifiers.get(kind):
                return self.identifiers[kind][0]
        anonymous = self.identifiers.get("anonymous_id")
        return f"Anonymous {anonymous[0][:8]}" if anonymous else f"Profile {self.id}"


@dataclass(frozen=True, slots=True)
class FoundPeople:
    """What a search found; `complete` is false where looking through the names would have taken too long."""

    profiles: list[ProfileView]
    complete: bool = True


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """Identifiers that met in one message, in the order that the message named them."""

    identifiers: Combination
    source_id: int
    message_id: str
    at: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """An identifier that was not linked, since a limit would have been broken.

    `node` is where the message went, `other` where the identifier leads. `limit_of` is the kind whose limit was in the
    way, and `shared` the value to suspect: the one of the two that met which is not of that kind. `met` is the other
    of them.
    """

    sighting: Sighting
    identifier: Identifier
    reason: str
    node: int
    other: int | None = None
    limit_of: str = ""
    shared: Identifier | None = None
    met: Identifier | None = None


@dataclass(frozen=True, slots=True)
class ConflictSample:
    """A message in which it happened."""

    source_id: int
    message_id: str
    identifier: Identifier
    profile_id: int | None = None
    other_id: int | None = None


@dataclass(slots=True)
class ConflictTally:
    """What a chunk adds to a group of conflicts: messages, the other values that the shared one met, a few samples."""

    messages: int = 0
    met: set[Identifier] = field(default_factory=set)
    samples: list[ConflictSample] = field(default_factory=list)

    def add(self, *, messages: int, met: Identifier, sample: ConflictSample) -> None:
        self.messages += messages
        self.met.add(met)
        if len(self.samples) < NEW_SAMPLES:
            self.samples.append(sample)


NEW_SAMPLES = 3  # of one chunk

ConflictKey = tuple[str, str, str, str]
"""Kind, shared value, reason, and the kind whose limit was in the way."""

ConflictTallies = Mapping[ConflictKey, ConflictTally]


@dataclass(frozen=True, slots=True)
class Tie:
    """Two existing profiles that a message makes one: `absorbed` into `survivor`, since `mine` and `theirs` met in it.

    `one_origin` and `other_origin` are the origins of these two identifiers.
    """

    survivor: int
    absorbed: int
    one_origin: int
    other_origin: int
    mine: Identifier
    theirs: Identifier
    stated: bool
    sighting: Sighting


@dataclass(slots=True)
class Resolution:
    """Where everybody's identifiers lead, and what changed on the way.

    `ids` has the profile of each person that was asked for, in their order. `origins` names the origin of a
    combination where it is not the profile itself. `absorbed` names the survivor of every profile that was merged
    away, `inherited` what its origins said; `linked` are those that gained identifiers. `conflicts` are for the caller
    to record, at the end of its transaction.
    """

    ids: list[int] = field(default_factory=list)
    origins: dict[Combination, int] = field(default_factory=dict)
    absorbed: dict[int, int] = field(default_factory=dict)
    inherited: dict[int, Parts] = field(default_factory=dict)
    created: frozenset[int] = frozenset()
    linked: frozenset[int] = frozenset()
    conflicts: ConflictTallies = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A trait name or value seen in the data, its JSON type, and how many profiles have it."""

    value: Any
    type: str
    count: int
