"""Reads of this room, for screens, API and the other rooms."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum

from ingestion import inbox
from ingestion.contracts import DayCount, HourCount, Suggestion, TimelineEvent
from ingestion.models import EventName, HourlyCount, WriteKey

SAMPLE_EVENTS = 2_000
MAX_DIGITS = 300
BEHIND = timedelta(seconds=1)


def inbox_depth() -> int:
    """Requests acknowledged but not yet drained."""
    return inbox.depth()[0]


def pipeline_lag(*, now: datetime) -> timedelta:
    """How long the oldest request in the inbox has waited; zero when it is empty."""
    oldest = inbox.depth()[1]
    return timedelta() if oldest is None else max(timedelta(), now - oldest)


def drain_is_behind(*, now: datetime) -> bool:
    """Whether a request waits for longer than any does where the drain keeps up."""
    oldest = inbox.oldest()
    return oldest is not None and now - oldest > BEHIND


def events_per_day(*, days: int, now: datetime) -> list[DayCount]:
    """Stored events per calendar day (UTC) of when they happened, the empty days included, oldest first."""
    first = (now.astimezone(UTC) - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (ts AT TIME ZONE 'UTC')::date, count(*) FROM event WHERE ts >= %s AND ts <= %s GROUP BY 1",
            [first, now],
        )
        found = dict(cursor.fetchall())
    return [
        DayCount((first + timedelta(days=n)).date(), found.get((first + timedelta(days=n)).date(), 0))
        for n in range(days)
    ]


def counts_by_outcome(*, source_id: int | None = None, since: datetime) -> dict[str, int]:
    """Messages received since then, by what became of them."""
    rows = HourlyCount.objects.filter(hour__gte=since)
    if source_id is not None:
        rows = rows.filter(source_id=source_id)
    return dict(rows.values_list("outcome").annotate(total=Sum("events")))


def hourly_counts(*, source_id: int | None = None, since: datetime) -> list[HourCount]:
    rows = HourlyCount.objects.filter(hour__gte=since)
    if source_id is not None:
        rows = rows.filter(source_id=source_id)
    totals = rows.values_list("hour", "outcome").annotate(total=Sum("events")).order_by("hour", "outcome")
    return [HourCount(hour, outcome, total) for hour, outcome, total in totals]


def counts_by_source(*, since: datetime) -> dict[int, dict[str, int]]:
    """Per source, messages received since then by outcome."""
    found: dict[int, dict[str, int]] = {}
    rows = HourlyCount.objects.filter(hour__gte=since).values_list("source_id", "outcome")
    for source_id, outcome, total in rows.annotate(total=Sum("events")):
        found.setdefault(source_id, {})[outcome] = total
    return found


def last_received(*, source_ids: Sequence[int]) -> dict[int, datetime]:
    """Per source, when its newest write key was last used (to about a minute)."""
    rows = WriteKey.objects.filter(source_id__in=source_ids, last_used_at__isnull=False)
    found: dict[int, datetime] = {}
    for source_id, used in rows.values_list("source_id", "last_used_at"):
        if used is not None:
            found[source_id] = max(used, found.get(source_id, used))
    return found


_EVENT = (
    "SELECT e.id, e.profile_id, n.name, n.type, e.ts, e.properties, e.context, e.source_id, e.received_at"
    " FROM event e JOIN event_name n ON n.id = e.name_id"
)


def timeline(
    *,
    profile_id: int,
    before: datetime | None = None,
    before_id: uuid.UUID | None = None,
    event: str | None = None,
    limit: int = 50,
) -> list[TimelineEvent]:
    """A profile's events, newest first, of one name if asked.

    `before` continues before an instant; with `before_id`, after the event of that instant and id.
    """
    conditions = ["e.profile_id = %s"]
    values: list[Any] = [profile_id]
    if before is not None:
        conditions.append("(e.ts, e.id) < (%s, %s::uuid)")
        values += [before, str(before_id or uuid.UUID(int=0))]
    if event is not None:
        conditions.append("n.name = %s")
        values.append(event)
    return _events(
        f"{_EVENT} WHERE {' AND '.join(conditions)} ORDER BY e.ts DESC, e.id DESC LIMIT %s", [*values, limit]
    )


def recent_events(*, source_id: int | None = None, since: datetime, limit: int = 50) -> list[TimelineEvent]:
    """The newest events by when they happened, of one source if asked, not older than `since`."""
    values: list[Any] = [since]
    where = "WHERE e.ts >= %s"
    if source_id is not None:
        where += " AND e.source_id = %s"
        values.append(source_id)
    return _events(f"{_EVENT} {where} ORDER BY e.ts DESC LIMIT %s", [*values, limit])


def event_counts_of_profile(*, profile_id: int) -> dict[str, int]:
    """How many events of each name a profile has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.name, c.count FROM (SELECT name_id, count(*) FROM event WHERE profile_id = %s GROUP BY 1) c"
            " JOIN event_name n ON n.id = c.name_id ORDER BY c.count DESC, n.name",
            [profile_id],
        )
        return dict(cursor.fetchall())


def event_names() -> list[EventName]:
    return list(EventName.objects.order_by("name"))


def event_frequencies(*, since: datetime) -> dict[str, int]:
    """How often each event name happened since then."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.name, c.count FROM (SELECT name_id, count(*) FROM event WHERE ts >= %s GROUP BY 1) c"
            " JOIN event_name n ON n.id = c.name_id",
            [since],
        )
        return dict(cursor.fetchall())


CONTEXT = "context."
"""What a property's path begins with that leads into the event's context."""

_SAMPLE = (
    "SELECT e.properties, e.context FROM event e JOIN event_name n ON n.id = e.name_id"
    " WHERE n.name = %(event)s ORDER BY e.ts DESC LIMIT %(sample)s"
)


def property_names(*, event: str, limit: int = 100) -> list[Suggestion]:
    """Top-level properties of an event and the fields of its lists (`products[].category`), from recent events.

    After them those of the context, as `context.page.path`.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH sample AS ({_SAMPLE}), found AS ("
            " SELECT key, jsonb_typeof(value) AS type, value FROM sample, jsonb_each(properties)"
            "), around AS ("
            " SELECT 'context.' || key AS key, jsonb_typeof(value) AS type, value FROM sample, jsonb_each(context)"
            " WHERE key <> 'traits'"
            ") SELECT path, mode() WITHIN GROUP (ORDER BY type), count(*) FROM ("
            "   SELECT key AS path, type FROM found"
            "   UNION ALL"
            "   SELECT key || '[].' || inner_key, jsonb_typeof(inner_value) FROM found,"
            "     jsonb_array_elements(CASE WHEN type = 'array' THEN value ELSE '[]' END) AS item,"
            "     jsonb_each(CASE WHEN jsonb_typeof(item) = 'object' THEN item ELSE '{}' END)"
            "     AS pair(inner_key, inner_value)"
            "   UNION ALL"
            "   SELECT key || '.' || inner_key, jsonb_typeof(inner_value) FROM found,"
            "     jsonb_each(CASE WHEN type = 'object' THEN value ELSE '{}' END) AS pair(inner_key, inner_value)"
            "   UNION ALL"
            "   SELECT key, type FROM around WHERE type <> 'object'"
            "   UNION ALL"
            "   SELECT key || '.' || inner_key, jsonb_typeof(inner_value) FROM around,"
            "     jsonb_each(CASE WHEN type = 'object' THEN value ELSE '{}' END) AS pair(inner_key, inner_value)"
            " ) AS paths GROUP BY path ORDER BY starts_with(path, 'context.'), 3 DESC, 1 LIMIT %(limit)s",
            {"event": event, "sample": SAMPLE_EVENTS, "limit": limit},
        )
        return [Suggestion(path, kind, count) for path, kind, count in cursor.fetchall()]


def property_values(*, event: str, path: str, text: str = "", limit: int = 20) -> list[Suggestion]:
    """The most frequent values of a property in recent events, those holding `text` if given."""
    column = "context" if path.startswith(CONTEXT) else "properties"
    inside = path.removeprefix(CONTEXT)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH sample AS ({_SAMPLE}) SELECT value, jsonb_typeof(value), count(*) FROM sample,"
            f" jsonb_path_query({column}, %(path)s::jsonpath) AS value"
            " WHERE jsonb_typeof(value) NOT IN ('object', 'array', 'null')"
            " AND position(lower(%(text)s) IN lower(value #>> '{}')) > 0"
            " GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT %(limit)s",
            {"event": event, "sample": SAMPLE_EVENTS, "path": json_path(inside), "text": text, "limit": limit},
        )
        return [Suggestion(_loaded(value), kind, count) for value, kind, count in cursor.fetchall()]


def json_path(path: str) -> str:
    """`products[].category` as SQL/JSON path: `lax $."products"[*]."category"`."""
    steps = []
    for part in path.split("."):
        name, _, brackets = part.partition("[]")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        steps.append(f'."{quoted}"' + ("[*]" if part.endswith("[]") and not brackets else ""))
    return "lax $" + "".join(steps)


def _events(statement: str, values: Sequence[Any]) -> list[TimelineEvent]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [TimelineEvent(uuid.UUID(str(row[0])), *row[1:]) for row in _with_json(cursor.fetchall())]


def _with_json(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Django's raw cursor gives jsonb as text: read it here, in one place."""
    return [
        tuple(_loaded(cell) if index in {5, 6} and isinstance(cell, str) else cell for index, cell in enumerate(row))
        for row in rows
    ]


def _loaded(text: str) -> Any:
    return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int | str:
    """Python refuses to read thousands of digits, which jsonb keeps: they are shown as text."""
    return int(digits) if len(digits) <= MAX_DIGITS else digits
