"""Counting what differed from the plan: exactly, by hour, each message once, with a few of the newest to look at."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from cdp.kernel.ids import message_uuid
from ingestion.contracts import Change, Incoming, Rejected
from ingestion.plans.contracts import Violation

MAX_GROUPS = 2_000
SAMPLES = 10
OTHER = "(others)"
BLOCKED_DAYS = 14

Key = tuple[int, str, str, str, str]
"""Source, event, kind, path, action."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Seen:
    key: Key
    message_id: str
    ts: datetime | None
    received_at: datetime
    text: str


def record(stored: Iterable[Incoming], rejected: Iterable[Rejected], *, now: datetime) -> None:
    """Count the violations of messages that are new; `rejected` may hold some that were turned away before."""
    seen = [_of_event(event, change) for event in stored for change in event.changes if type(change) is Violation]
    blocked = [item for item in rejected if item.changes]
    if blocked:
        new = _mark_blocked(blocked, now=now)
        seen += [_of_rejected(item, change) for item in new for change in item.changes if type(change) is Violation]
    if seen:
        _write(seen)


def _write(seen: list[_Seen]) -> None:
    # 1. What to call each violation, so that names made up by the million do not fill the table; 2. its group;
    # 3. the counts; 4. the newest messages of each group, in place of older ones.
    named = _bounded({one.key for one in seen})
    groups: defaultdict[Key, dict[str, _Seen]] = defaultdict(dict)
    for one in seen:
        groups[named[one.key]].setdefault(one.message_id, one)
    ids = _group_ids({key: list(members.values()) for key, members in groups.items()})
    counts: defaultdict[tuple[int, datetime], int] = defaultdict(int)
    samples: list[tuple[Any, ...]] = []
    for key, members in groups.items():
        for one in members.values():
            counts[ids[key], one.received_at.replace(minute=0, second=0, microsecond=0)] += 1
        newest = sorted(members.values(), key=lambda one: one.received_at)[-SAMPLES:]
        samples += [(ids[key], one.message_id, one.ts, one.received_at, one.text[:300]) for one in newest]
    _add_counts(counts)
    _keep_samples(samples, groups=sorted(ids.values()))


def _of_event(event: Incoming, violation: Violation) -> _Seen:
    return _Seen(
        key=_key(event.source_id, event.name, violation),
        message_id=event.message_id,
        ts=_EPOCH + timedelta(microseconds=event.ts),
        received_at=_EPOCH + timedelta(microseconds=event.received),
        text=_text(violation),
    )


def _of_rejected(item: Rejected, violation: Violation) -> _Seen:
    return _Seen(
        key=_key(item.source_id, item.event, violation),
        message_id=item.message_id,
        ts=None,
        received_at=item.received_at.astimezone(UTC),
        text=_text(violation),
    )


def _key(source_id: int, event: str, violation: Violation) -> Key:
    return (source_id, event, violation.kind.value, _clean(violation.where), violation.action.value)


def _text(violation: Change) -> str:
    return _clean(f"{violation.path[1:].replace('/', '.')} {violation.what}".strip())


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _mark_blocked(rejected: Sequence[Rejected], *, now: datetime) -> list[Rejected]:
    """Those that were not turned away before, each once; remembers them."""
    first: dict[str, Rejected] = {}
    for item in rejected:
        first.setdefault(str(message_uuid(source_id=item.source_id, message_id=item.message_id)), item)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO plan_blocked_message (id, blocked_at) SELECT id, %s FROM unnest(%s::uuid[]) AS asked(id)"
            " ORDER BY id ON CONFLICT DO NOTHING RETURNING id::text",
            [now, sorted(first)],
        )
        return [first[id_] for (id_,) in cursor.fetchall()]


def _bounded(keys: set[Key]) -> dict[Key, Key]:
    """Each key as it is counted: new ones of a source that has `MAX_GROUPS` already count together."""
    columns = [list(column) for column in zip(*sorted(keys), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT g.source_id, g.event, g.kind, g.path, g.action FROM plan_violation_group g"
            " JOIN unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])"
            "   AS asked(source_id, event, kind, path, action) USING (source_id, event, kind, path, action)",
            columns,
        )
        known: set[Key] = set(cursor.fetchall())
        if len(known) == len(keys):
            return {key: key for key in keys}
        cursor.execute(
            "SELECT source_id, count(*) FROM plan_violation_group WHERE source_id = ANY(%s) GROUP BY 1",
            [sorted({key[0] for key in keys})],
        )
        room = {source_id: MAX_GROUPS - number for source_id, number in cursor.fetchall()}
    named = {key: key for key in known}
    for key in sorted(keys - known):
        source_id, _, kind, _, action = key
        left = room.get(source_id, MAX_GROUPS)
        room[source_id] = left - 1
        named[key] = key if left > 0 else (source_id, OTHER, kind, "", action)
    return named


def _group_ids(groups: dict[Key, list[_Seen]]) -> dict[Key, int]:
    rows = sorted(
        (*key, min(one.received_at for one in members), max(one.received_at for one in members))
        for key, members in groups.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO plan_violation_group AS g"
            " (source_id, event, kind, path, action, first_seen_at, last_seen_at)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],"
            "   %s::timestamptz[], %s::timestamptz[])"
            " ON CONFLICT (source_id, event, kind, path, action) DO UPDATE SET"
            "   first_seen_at = least(g.first_seen_at, EXCLUDED.first_seen_at),"
            "   last_seen_at = greatest(g.last_seen_at, EXCLUDED.last_seen_at)"
            " RETURNING g.source_id, g.event, g.kind, g.path, g.action, g.id",
            [list(column) for column in zip(*rows, strict=True)],
        )
        return {(row[0], row[1], row[2], row[3], row[4]): row[5] for row in cursor.fetchall()}


def _add_counts(counts: dict[tuple[int, datetime], int]) -> None:
    rows = sorted((group, hour, number) for (group, hour), number in counts.items())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO plan_violation_count AS c (group_id, hour, messages)"
            " SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[])"
            " ON CONFLICT (group_id, hour) DO UPDATE SET messages = c.messages + EXCLUDED.messages",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _keep_samples(rows: list[tuple[Any, ...]], *, groups: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO plan_violation_sample (group_id, message_id, ts, received_at, text)"
            " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[])",
            [list(column) for column in zip(*rows, strict=True)],
        )
        cursor.execute(
            "DELETE FROM plan_violation_sample WHERE id IN ("
            " SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY group_id ORDER BY received_at DESC, id DESC)"
            "   AS place FROM plan_violation_sample WHERE group_id = ANY(%s)) AS ranked WHERE place > %s)",
            [groups, SAMPLES],
        )


def forget_old(*, now: datetime, days: int) -> None:
    """Delete counts older than `days`, the groups that have none left, and blocked messages after two weeks."""
    oldest = now - timedelta(days=days)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM plan_violation_count WHERE hour < %s", [oldest])
        cursor.execute(
            "DELETE FROM plan_violation_sample s USING plan_violation_group g"
            " WHERE g.id = s.group_id AND g.last_seen_at < %s",
            [oldest],
        )
        cursor.execute(
            "DELETE FROM plan_violation_group g WHERE g.last_seen_at < %s"
            " AND NOT EXISTS (SELECT FROM plan_violation_count c WHERE c.group_id = g.id)"
            " AND NOT EXISTS (SELECT FROM plan_violation_sample s WHERE s.group_id = g.id)",
            [oldest],
        )
        cursor.execute("DELETE FROM plan_blocked_message WHERE blocked_at < %s", [now - timedelta(days=BLOCKED_DAYS)])
