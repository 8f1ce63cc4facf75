"""Notes of what the drain drops, in one COPY for a chunk; no statement where nothing was dropped."""

import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection

from cdp.kernel.copy import NULL, copy_rows
from ingestion.contracts import Incoming, SourceTerms
from ingestion.messages import MAX_MESSAGE_ID, storable_text
from ingestion.models import Source
from ingestion.people import hashes_of
from ingestion.settings import settings_of
from ingestion.trace.models import DroppedMessage

Reason = DroppedMessage.Reason
DELETED_AT_ONCE = 20_000

_COLUMNS = ("key", "at", "source_id", "reason", "event", "message_id", "purpose_id")
_HEAD = struct.Struct(">hi16siqiq").pack
_LENGTH = struct.Struct(">i").pack
_ID = struct.Struct(">iq").pack


def note_drops(
    *, refused: Sequence[Incoming], duplicates: Sequence[Incoming], sources: Mapping[int, SourceTerms]
) -> None:
    """Remember messages that went nowhere, to be found by message id; those without consent by person, too."""
    repeated = {event.id: event for event in duplicates}
    rows = [_row(event.id, event, Reason.DUPLICATE, None) for event in repeated.values()]
    for event in refused:
        purpose_id = sources[event.source_id].purpose_id
        keys = [event.id, *(key_of_person(text).bytes for text in hashes_of(event.identifiers))]
        rows += (_row(key, event, Reason.NO_CONSENT, purpose_id) for key in keys)
    if rows:
        copy_rows(table="dropped_message", columns=_COLUMNS, rows=b"".join(rows))


def key_of_person(text: str) -> uuid.UUID:
    """Of the hash of an identifier."""
    return uuid.UUID(text[:32])


def drop_expired(*, now: datetime) -> int:
    """Forget drops that are older than their source wants; returns how many rows."""
    days = {source.pk: settings_of(source.settings).quarantine.trace_days for source in Source.objects.all()}
    return sum(_drop_before(id_, now - timedelta(days=kept)) for id_, kept in days.items())


def _drop_before(source_id: int, limit: datetime) -> int:
    dropped = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM dropped_message WHERE id IN (SELECT id FROM dropped_message"
                " WHERE at < %s AND source_id = %s LIMIT %s)",
                [limit, source_id, DELETED_AT_ONCE],
            )
            deleted = int(cursor.rowcount)
        dropped += deleted
        if deleted < DELETED_AT_ONCE:
            return dropped


def _row(key: bytes, event: Incoming, reason: str, purpose_id: int | None) -> bytes:
    purpose = NULL if purpose_id is None else _ID(8, purpose_id)
    texts = _texts((reason, event.name, storable_text(event.message_id)[:MAX_MESSAGE_ID]))
    return b"".join((_HEAD(7, 16, key, 8, event.received, 8, event.source_id), texts, purpose))


def _texts(values: Iterable[str]) -> bytes:
    parts: list[bytes] = []
    for value in values:
        encoded = value.encode()
        parts += (_LENGTH(len(encoded)), encoded)
    return b"".join(parts)
