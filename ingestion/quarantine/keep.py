"""Into the quarantine, set-wise: four statements for a chunk, whatever it holds."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection

from cdp.kernel.ids import message_uuid_bytes
from ingestion.contracts import Rejected
from ingestion.messages import MAX_MESSAGE_ID, outline_of, storable_text
from ingestion.people import hashes_of, people_in

MOST_REASONS = 500
OTHER = "(other events)"

ReasonKey = tuple[int, str, str, str]
_NUMBER = re.compile(r"/\d+(?=/|$)")


@dataclass(slots=True)
class _Once:
    """One message of a chunk, with how often it came in it."""

    item: Rejected
    key: bytes
    reason: ReasonKey
    last: datetime
    times: int = 1


def keep(rejected: Sequence[Rejected], *, now: datetime) -> None:
    """Keep messages that could not be taken in, each once; count every one of them by its reason and hour.

    A replayed message that fails again goes back to its row, with the new reason before the old.
    """
    if not rejected:
        return
    fresh = [item for item in rejected if not item.held_id]
    again = [item for item in rejected if item.held_id]
    named = _bounded([(item, _reason_of(item)) for item in (*fresh, *again)])
    messages = _each_once(named[: len(fresh)])
    reasons = _write_reasons(named, came=len(fresh))
    _write_hours(named[: len(fresh)], reasons)
    _write_messages(messages, reasons)
    _take_back(named[len(fresh) :], reasons, now=now)


def key_of(item: Rejected) -> bytes:
    """What makes it the same message: its id if it has one (and one that was not cut), else its bytes."""
    if item.message_id and len(item.message_id) < MAX_MESSAGE_ID:
        return message_uuid_bytes(source_id=item.source_id, message_id=item.message_id)
    return hashlib.blake2b(item.payload, digest_size=16, key=b"payload").digest()


def place_of(path: str) -> str:
    """A path with `*` for every number in it."""
    return _NUMBER.sub("/*", path)


def _reason_of(item: Rejected) -> ReasonKey:
    return item.source_id, item.code, storable_text(place_of(item.path)), item.event


def _bounded(named: list[tuple[Rejected, ReasonKey]]) -> list[tuple[Rejected, ReasonKey]]:
    """Senders choose the names of events: beyond `MOST_REASONS` of a chunk they share a reason per code."""
    if len(named) <= MOST_REASONS:
        return named
    known = set(list(dict.fromkeys(reason for _, reason in named))[:MOST_REASONS])
    return [(item, reason if reason in known else (reason[0], reason[1], "", OTHER)) for item, reason in named]


def _each_once(named: Iterable[tuple[Rejected, ReasonKey]]) -> list[_Once]:
    found: dict[tuple[int, bytes], _Once] = {}
    for item, reason in named:
        key = key_of(item)
        known = found.get((item.source_id, key))
        if known is None:
            found[item.source_id, key] = _Once(item, key, reason, item.received_at)
        else:
            known.times += 1
            known.last = max(known.last, item.received_at)
    return [found[place] for place in sorted(found)]


def _write_reasons(named: Sequence[tuple[Rejected, ReasonKey]], *, came: int) -> dict[ReasonKey, int]:
    """The ids of the reasons; in key order, so that two workers never wait for each other in a circle."""
    found: dict[ReasonKey, list[Any]] = {}
    for index, (item, reason) in enumerate(named):
        row = found.setdefault(reason, [item.message, item.received_at, item.received_at, 0])
        row[0] = item.message
        row[1], row[2] = min(row[1], item.received_at), max(row[2], item.received_at)
        row[3] += index < came
    rows = [(*reason, *found[reason]) for reason in sorted(found)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantine_reason AS r"
            " (source_id, code, path, event, message, first_seen_at, last_seen_at, times)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],"
            " %s::timestamptz[], %s::timestamptz[], %s::bigint[])"
            " ON CONFLICT (source_id, code, path, event) DO UPDATE SET message = EXCLUDED.message,"
            " first_seen_at = least(r.first_seen_at, EXCLUDED.first_seen_at),"
            " last_seen_at = greatest(r.last_seen_at, EXCLUDED.last_seen_at), times = r.times + EXCLUDED.times"
            " RETURNING source_id, code, path, event, id",
            _columns(rows),
        )
        return {(source_id, code, path, event): id_ for source_id, code, path, event, id_ in cursor.fetchall()}


def _write_hours(named: Iterable[tuple[Rejected, ReasonKey]], reasons: dict[ReasonKey, int]) -> None:
    counts: dict[tuple[int, datetime], int] = {}
    for item, reason in named:
        hour = item.received_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        counts[reasons[reason], hour] = counts.get((reasons[reason], hour), 0) + 1
    if not counts:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantine_hour AS h (reason_id, hour, messages)"
            " SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[])"
            " ON CONFLICT (reason_id, hour) DO UPDATE SET messages = h.messages + EXCLUDED.messages",
            _columns([(*place, counts[place]) for place in sorted(counts)]),
        )


def _write_messages(messages: Sequence[_Once], reasons: dict[ReasonKey, int]) -> None:
    """One row each; a message that is there already, whatever became of it, is seen once more."""
    if not messages:
        return
    batches = {id(one.item.row): one.item.row for one in messages}
    outlines = {place: outline_of(row) for place, row in batches.items()}
    rows = [_row(one, reasons[one.reason], outlines[id(one.item.row)]) for one in messages]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quarantined_message AS q (source_id, key, reason_id, message_id, event, code, path, message,"
            " payload, people, received_at, last_received_at, times, inbox_id, position, route, remote_addr,"
            " batch_context, sent_at, state, history, closed_by, discard_reason)"
            " SELECT u.source_id, u.key, u.reason_id, u.message_id, u.event, u.code, u.path, u.message, u.payload,"
            " u.people::text[], u.received_at, u.last_received_at, u.times, u.inbox_id, u.position, u.route,"
            " u.remote_addr, u.batch_context, u.sent_at, 'held', '[]', '', ''"
            " FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],"
            " %s::text[], %s::bytea[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::bigint[],"
            " %s::int[], %s::text[], %s::text[], %s::bytea[], %s::text[]) AS u(source_id, key, reason_id, message_id,"
            " event, code, path, message, payload, people, received_at, last_received_at, times, inbox_id, position,"
            " route, remote_addr, batch_context, sent_at)"
            " ON CONFLICT (source_id, key) DO UPDATE SET times = q.times + EXCLUDED.times,"
            " last_received_at = greatest(q.last_received_at, EXCLUDED.last_received_at)",
            _columns(rows),
        )


def _row(one: _Once, reason_id: int, outline: tuple[bytes, str | None]) -> tuple[Any, ...]:
    item, row = one.item, one.item.row
    people = hashes_of(people_in(item.payload))
    context, sent_at = outline
    return (
        item.source_id,
        one.key.hex(),
        reason_id,
        item.message_id,
        item.event,
        item.code,
        storable_text(item.path),
        item.message,
        item.payload,
        f"{{{','.join(people)}}}",
        item.received_at,
        one.last,
        one.times,
        row.id,
        item.place,
        row.kind[:20],
        row.remote_addr[:45],
        context,
        None if sent_at is None else storable_text(sent_at)[:100],
    )


def _take_back(named: Sequence[tuple[Rejected, ReasonKey]], reasons: dict[ReasonKey, int], *, now: datetime) -> None:
    """Replayed in vain: the row is held again, for what is wrong with it now."""
    if not named:
        return
    rows = sorted(
        (item.held_id, reasons[reason], item.code, storable_text(item.path), item.message, item.event)
        for item, reason in named
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE quarantined_message q SET state = 'held', reason_id = u.reason_id, code = u.code, path = u.path,"
            " message = u.message, event = u.event, history = q.history || jsonb_build_object("
            "   'code', q.code, 'path', q.path, 'message', q.message, 'until', %s::text)"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])"
            "   AS u(id, reason_id, code, path, message, event) WHERE q.id = u.id",
            [now.isoformat(), *_columns(rows)],
        )


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
