"""What crosses the border of this room."""

import threading
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec

from ingestion.enrich.contracts import NO_ORIGIN, Origin
from ingestion.nesting import decode_shallow
from ingestion.said import NOTHING, Said
from ingestion.settings import DEFAULTS, SourceSettings

Identifier = tuple[str, str]
"""An identifier as ``(kind, normalised value)``."""


class Person(msgspec.Struct, gc=False, eq=False):
    """Who messages are about, by the identifiers that they name. All that name the same share one, as far as is
    remembered, so that what was learnt of it is at hand without a look-up.

    That is for identity to fill in and to judge: the profile that they led to (`home`) and, if another, the `origin`,
    as was known in a `generation`; and until when they need not be noted as seen, in microseconds since 2000-01-01
    UTC.
    """

    identifiers: tuple[Identifier, ...]
    home: int = 0
    origin: int = 0
    generation: int = -1
    noted_until: int = 0


NOBODY = Person(())


class Change(msgspec.Struct, frozen=True, gc=False):
    """What became of one part of a message: by which stage, where (a path), in a few words, from what to what."""

    stage: str
    path: str
    what: str
    before: Any
    after: Any


class _Pieces(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw]


_decode_pieces = msgspec.json.Decoder(_Pieces).decode


@dataclass(frozen=True, slots=True)
class Held:
    """A message of the quarantine on its way back, with what its batch said for all: `context` and `sent_at`.

    `place` is where it was in its request, -1 where it is the request as a whole, which could not be read.
    """

    id: int
    place: int
    context: bytes
    sent_at: str | None


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An acknowledged request. `kind` is its route: batch, or the type of its single message.

    With `held` it is one message that is replayed from the quarantine as if it came in that request again.
    """

    id: int
    source_id: int
    received_at: datetime
    kind: str
    events: int
    remote_addr: str
    body: bytes
    held: Held | None = None

    @property
    def first(self) -> int:
        """The place of its first message."""
        return max(0, self.held.place) if self.held else 0

    @property
    def is_batch(self) -> bool:
        return self.kind == "batch" and (self.held is None or self.held.place < 0)

    def payloads(self) -> list[bytes]:
        """Its messages as they came, of a body that is known to be readable."""
        return [bytes(piece) for piece in _pieces_of(self)] if self.is_batch else [self.body]

    def payload(self, place: int) -> bytes:
        return bytes(_pieces_of(self)[place]) if self.is_batch else self.body


_opened = threading.local()


def _pieces_of(row: InboxRow) -> list[msgspec.Raw]:
    """Of the row that was asked for last it is remembered: a batch that is all bad is asked for every message."""
    if getattr(_opened, "row", None) is not row:
        _opened.row, _opened.pieces = row, decode_shallow(_decode_pieces, row.body).batch
    pieces: list[msgspec.Raw] = _opened.pieces
    return pieces


class Incoming(msgspec.Struct, gc=False):
    """One message on its way through the drain. Times are microseconds since 2000-01-01 UTC.

    The `person`'s identifiers are ordered by the sender's fields; `traits` is set only where the message sets traits.
    It is the one at `place` in its inbox `row`; `changes` is what rules did to it or had to say of it, `origin` what
    enrichment could tell of the sender.
    `group` is the account that the person belongs to; the properties of a `group` message are the account's traits.
    """

    source_id: int
    type: str
    name: str
    message_id: str
    id: bytes
    ts: int
    received: int
    person: Person
    properties: bytes
    context: bytes
    traits: dict[str, Any] | None
    numbers: tuple[float | None, ...]
    row: InboxRow
    place: int
    said: Said = NOTHING
    changes: tuple[Change, ...] = ()
    origin: Origin = NO_ORIGIN
    group: str | None = None

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        return self.person.identifiers

    @property
    def payload(self) -> bytes:
        """The message as it came; found again in its row, since few are asked for."""
        return self.row.payload(self.place)

    @property
    def remote(self) -> str:
        """The address that the request came from."""
        return self.row.remote_addr


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that could not be taken in: the one at `place` of its inbox `row`, -1 for the row as a whole."""

    source_id: int
    received_at: datetime
    message_id: str
    event: str
    code: str
    path: str
    message: str
    payload: bytes
    row: InboxRow
    place: int = -1
    changes: tuple[Change, ...] = ()

    @property
    def held_id(self) -> int:
        """The message of the quarantine that was replayed and failed again; 0 for one that is new there.

        What comes out of a request that is readable by now is new.
        """
        held = self.row.held
        return held.id if held is not None and held.place == self.place else 0


@dataclass(frozen=True, slots=True)
class SourceTerms:
    """What a source says about its messages: for which purpose they are collected, how far its traits count.

    `rules_version` grows with every change of the rules that `ingestion.treatment` compiles.
    """

    purpose_id: int | None
    priority: int
    settings: SourceSettings = DEFAULTS
    rules_version: int = 0


@dataclass(frozen=True, slots=True)
class DayCount:
    day: date
    count: int


@dataclass(frozen=True, slots=True)
class HourCount:
    hour: datetime
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    id: uuid.UUID
    profile_id: int
    name: str
    type: str
    ts: datetime
    properties: dict[str, Any]
    context: dict[str, Any]
    source_id: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A name or value seen in the data, its JSON type (for names), and how often it was seen."""

    value: Any
    type: str
    count: int
