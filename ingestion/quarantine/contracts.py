"""What crosses the border of the quarantine."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ingestion.contracts import InboxRow


class Criteria(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which messages are meant: those for which everything holds that is given.

    `people` are hashes of identifiers, any of which will do; `text` must stand in the payload as it came.
    """

    source: str = ""
    ids: tuple[int, ...] = ()
    reason: int = 0
    state: str = ""
    code: str = ""
    path: str = ""
    event: str = ""
    message_id: str = ""
    people: tuple[str, ...] = ()
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def stored_form(self) -> dict[str, Any]:
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return stored


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """A reason with how many of its messages wait, and of those that came, how many in each hour."""

    id: int
    source_slug: str
    source_name: str
    code: str
    path: str
    event: str
    message: str
    first_seen_at: datetime
    last_seen_at: datetime
    times: int
    held: int
    hours: list[int]


@dataclass(frozen=True, slots=True)
class Example:
    """A real message before and after a fix; `problem` is empty where it would now be accepted."""

    id: int
    before: str
    after: str
    code: str
    path: str
    message: str

    @property
    def accepted(self) -> bool:
        return not self.code


@dataclass(frozen=True, slots=True)
class Preview:
    """What a fix would do: of `checked` messages (the newest of `total`) so many would now be accepted."""

    total: int
    checked: int
    accepted: int
    examples: list[Example]
    problems: list[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class ReplayBatch:
    """Some messages of a replay, locked, as rows that the drain takes."""

    replay_id: int
    ids: list[int]
    rows: list[InboxRow]
