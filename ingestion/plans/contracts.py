"""What crosses the border of this room."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ingestion.contracts import Change


class Kind(StrEnum):
    """How a message can differ from the plan."""

    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_PROPERTY = "unknown_property"
    MISSING_PROPERTY = "missing_property"
    WRONG_TYPE = "wrong_type"
    WRONG_VALUE = "wrong_value"


class Action(StrEnum):
    """What is done about it: turn the message away, take the property out, count it, or nothing at all."""

    BLOCK = "block"
    STRIP = "strip"
    FLAG = "flag"
    ALLOW = "allow"


KIND_LABELS = {
    Kind.UNKNOWN_EVENT: "Unknown event",
    Kind.UNKNOWN_PROPERTY: "Unknown property",
    Kind.MISSING_PROPERTY: "Missing property",
    Kind.WRONG_TYPE: "Wrong type",
    Kind.WRONG_VALUE: "Wrong value",
}
ACTION_LABELS = {
    Action.BLOCK: "Block the message",
    Action.STRIP: "Take the property out",
    Action.FLAG: "Let through and count",
    Action.ALLOW: "Let through",
}
NOT_STRIPPABLE = frozenset({Kind.UNKNOWN_EVENT, Kind.MISSING_PROPERTY})
DEFAULT_ACTIONS: Mapping[Kind, Action] = dict.fromkeys(Kind, Action.FLAG)


class Violation(Change, frozen=True, gc=False):
    """A difference from the plan, and what the plan says to do about it.

    `path` is the place in the properties or traits (a JSON pointer), `where` the same with `*` for list indexes,
    by which violations are counted; `what` never holds the value itself.
    """

    kind: Kind
    action: Action
    where: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that changed between two plans."""

    sign: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """Violations of one kind at one place: how many messages, since when, until when."""

    id: int
    event: str
    kind: str
    path: str
    action: str
    messages: int
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Sample:
    """A message that violated the plan, as far as it can still be seen; `payload` is None where it is gone."""

    message_id: str
    received_at: datetime
    text: str
    payload: dict[str, Any] | None
    quarantined: bool


@dataclass(frozen=True, slots=True)
class Inferred:
    """A plan made from traffic, and what it was made from."""

    document: dict[str, Any]
    since: datetime
    events: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def looked_at(self) -> int:
        return sum(looked for looked, _ in self.events.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self.events.values())
