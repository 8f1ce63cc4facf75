"""What became of a message: where this room can know it."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import zstandard
from django.db import connection, transaction
from django.db.utils import OperationalError

from cdp.kernel.ids import message_uuid
from ingestion import deferred
from ingestion.people import hashes_of_anyone
from ingestion.quarantine.models import QuarantinedMessage
from ingestion.trace.drops import key_of_person
from ingestion.trace.models import DroppedMessage

LOOKED_FOR_MS = 3_000
INBOX_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """Where a message is in the event log."""

    event_id: uuid.UUID
    profile_id: int
    ts: datetime
    name: str
    source_id: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the inbox in which the text stands."""

    source_id: int
    received_at: datetime


def stored_messages(*, message_id: str, source_ids: Sequence[int]) -> tuple[list[StoredMessage], bool]:
    """The stored messages with this id, and whether the search came to its end.

    The week in which a message was seen says where to look; of older ones the whole log is searched, for a few
    seconds at most.
    """
    ids = [message_uuid(source_id=source_id, message_id=message_id) for source_id in source_ids]
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(week), max(week) FROM seen_message WHERE id = ANY(%s)", [ids])
        first, last = cursor.fetchone()
    if first is not None:
        found, ended = _search_log(ids, since=first - timedelta(days=1), until=last + timedelta(days=8))
        if found:
            return found, ended
    return _search_log(ids)


def quarantined(*, message_id: str = "", person: str = "", limit: int = 50) -> list[QuarantinedMessage]:
    rows = QuarantinedMessage.objects.select_related("source").order_by("-pk")
    if message_id:
        return list(rows.filter(message_id=message_id)[:limit])
    return list(rows.filter(people__overlap=hashes_of_anyone(person) or ["nobody"])[:limit])


def dropped(
    *, message_id: str = "", person: str = "", source_ids: Collection[int], limit: int = 50
) -> list[DroppedMessage]:
    """The newest drops under the keys of a message or of a person."""
    if message_id:
        keys = [message_uuid(source_id=source_id, message_id=message_id) for source_id in source_ids]
    else:
        keys = [key_of_person(text) for text in hashes_of_anyone(person)]
    return list(DroppedMessage.objects.filter(key__in=keys).order_by("-at", "-pk")[:limit])


def waiting(text: str) -> list[Waiting]:
    """Requests of the inbox (of the oldest few thousand) that hold this text."""
    decompress = zstandard.ZstdDecompressor().decompress
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT source_id, received_at, body FROM inbox WHERE kind <> %s ORDER BY id LIMIT %s",
            [deferred.KIND, INBOX_ROWS],
        )
        return [Waiting(row[0], row[1]) for row in cursor.fetchall() if text.encode() in decompress(row[2])]


def _search_log(
    ids: Sequence[uuid.UUID], *, since: datetime | None = None, until: datetime | None = None
) -> tuple[list[StoredMessage], bool]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(LOOKED_FOR_MS)])
            cursor.execute(
                "SELECT e.id, e.profile_id, e.ts, n.name, e.source_id, e.received_at"
                " FROM event e JOIN event_name n ON n.id = e.name_id WHERE e.id = ANY(%s::uuid[])"
                " AND e.ts >= coalesce(%s::timestamptz, '-infinity') AND e.ts < coalesce(%s::timestamptz, 'infinity')",
                [[str(one) for one in ids], since, until],
            )
            return [StoredMessage(uuid.UUID(str(row[0])), *row[1:]) for row in cursor.fetchall()], True
    except OperationalError:
        return [], False
