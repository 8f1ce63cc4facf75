"""Reads of sessions, from the events that tell of them."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from django.db import connection

from ingestion.sessions.operations import ENDED, STARTED

SAMPLE = 20_000
"""Sessions looked at for medians and shares, the newest ones."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SessionsSummary:
    """Of one source, over some days. Shares and medians are of the newest `SAMPLE` sessions that have ended."""

    days: dict[date, int]
    ended: int
    median_seconds: float
    bounced: float
    channels: dict[str, int]
    devices: dict[str, int]

    @property
    def started(self) -> int:
        return sum(self.days.values())


def told_of(*, profile_id: int, ids: Collection[str], since: datetime) -> dict[str, dict[str, Any]]:
    """By id, the properties of Session Ended, or of Session Started where it is still under way."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.name, e.properties FROM event e JOIN event_name n ON n.id = e.name_id"
            " WHERE e.profile_id = %s AND n.name = ANY(%s) AND e.ts >= %s AND e.properties ->> 'session_id' = ANY(%s)",
            [profile_id, [STARTED, ENDED], since - _DAY, list(ids)],
        )
        found = [(name, json.loads(text)) for name, text in cursor.fetchall()]
    by_id = {told["session_id"]: told for name, told in found if name == STARTED}
    return by_id | {told["session_id"]: told for name, told in found if name == ENDED}


def summarise(*, source_id: int, days: int, now: datetime) -> SessionsSummary:
    """The last so many days (UTC), today included."""
    first = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - _DAY * (days - 1)
    values: dict[str, Any] = {"source": source_id, "since": first, "started": STARTED, "ended": ENDED, "limit": SAMPLE}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (e.ts AT TIME ZONE 'UTC')::date, count(*) FROM event e"
            " WHERE e.name_id = (SELECT id FROM event_name WHERE name = %(started)s)"
            " AND e.ts >= %(since)s AND e.source_id = %(source)s GROUP BY 1",
            values,
        )
        counts = dict(cursor.fetchall())
        cursor.execute(
            "SELECT (e.properties ->> 'duration')::float8, (e.properties ->> 'bounced')::boolean,"
            " e.properties ->> 'channel', e.properties ->> 'device' FROM event e"
            " WHERE e.name_id = (SELECT id FROM event_name WHERE name = %(ended)s)"
            " AND e.ts >= %(since)s AND e.source_id = %(source)s"
            " AND jsonb_typeof(e.properties -> 'duration') = 'number'"
            " AND jsonb_typeof(e.properties -> 'bounced') = 'boolean' ORDER BY e.ts DESC LIMIT %(limit)s",
            values,
        )
        ended = cursor.fetchall()
    dates = [(first + _DAY * number).date() for number in range(days)]
    return SessionsSummary(
        days={day: counts.get(day, 0) for day in dates},
        ended=len(ended),
        median_seconds=median(row[0] for row in ended) if ended else 0.0,
        bounced=sum(row[1] for row in ended) / len(ended) if ended else 0.0,
        channels=dict(Counter(row[2] or "not known" for row in ended).most_common()),
        devices=dict(Counter(row[3] or "not known" for row in ended).most_common()),
    )
