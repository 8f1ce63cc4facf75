"""Traits of people to whom another worker is writing just now: put off, so that nobody waits for them.

To wait would be to wait for all of that worker's chunk. So the message is stored with its own chunk, and its traits go
back into the inbox in the same transaction, a row for each message. The chunk that takes them up again waits for the
people where it locks those who gain identifiers, in the order of their ids, so there is no circle.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from ingestion import inbox
from ingestion.contracts import Identifier, InboxRow, Incoming, Rejected
from ingestion.messages import NO_NUMBERS, person_of
from ingestion.messages.refusals import reject_bytes, unreadable

KIND = "traits"
"""In place of a route, on such a row."""


class _Traits(msgspec.Struct, gc=False):
    """What is left to do of a message whose event is stored."""

    type: str
    name: str
    messageId: str  # noqa: N815 - as on the wire, for who reads it there
    id: bytes
    ts: int
    received: int
    identifiers: tuple[Identifier, ...]
    traits: dict[str, Any]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Traits).decode


def put_off(events: Iterable[Incoming]) -> None:
    """Keep the traits of these messages for a later chunk, in the transaction that stores their events."""
    inbox.append_packed([_row_of(event) for event in events])


def _row_of(event: Incoming) -> bytes:
    left = _Traits(
        event.type,
        event.name,
        event.message_id,
        event.id,
        event.ts,
        event.received,
        event.identifiers,
        event.traits or {},
    )
    counted_already = 0
    return inbox.packed_row(event.source_id, KIND, counted_already, _encode(left), received=event.received)


def take_up(row: InboxRow) -> Incoming | Rejected:
    """The message as far as its traits need it: it is not to be stored again.

    It may come out of the quarantine, where it can be edited.
    """
    try:
        left = _decode(row.body)
    except ValueError as error:
        return reject_bytes(row, row.body, unreadable(error), 0)
    return Incoming(
        source_id=row.source_id,
        type=left.type,
        name=left.name,
        message_id=left.messageId,
        id=left.id,
        ts=left.ts,
        received=left.received,
        person=person_of(left.identifiers),
        properties=b"{}",
        context=b"{}",
        traits=left.traits,
        numbers=NO_NUMBERS,
        row=row,
        place=0,
    )
