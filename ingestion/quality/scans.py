"""Scheduled looks at recent events for near-duplicates.

Bounded by a number of events, newest first, so that the cost does not grow with the log.
"""

from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from ingestion.models import Source
from ingestion.quality.models import DuplicateScan

SCAN_EVENTS = 50_000
NEAR_SECONDS = 10
"""Two events of one person that are the same but for their messageId, so close together, look doubled."""
EXAMPLES = 5
KEEP_SCANS = timedelta(days=30)

_NEAR = """
    WITH recent AS MATERIALIZED (
        SELECT source_id, name_id, profile_id, id, ts, properties FROM event
        WHERE ts > %(since)s AND ts <= %(until)s ORDER BY ts DESC LIMIT %(limit)s
    ), beside AS (
        SELECT source_id, name_id, profile_id, id, ts,
            lag(id) OVER same AS earlier_id, ts - lag(ts) OVER same AS apart
        FROM recent WINDOW same AS (PARTITION BY source_id, name_id, profile_id, properties ORDER BY ts, id)
    ), found AS (
        SELECT *, row_number() OVER (PARTITION BY source_id ORDER BY ts DESC) AS place,
            count(*) OVER (PARTITION BY source_id) AS total
        FROM beside WHERE ts > %(begin)s AND apart <= make_interval(secs => %(near)s)
    )
    SELECT r.source_id, r.scanned, coalesce(f.total, 0), n.name, f.profile_id, f.earlier_id::text, f.id::text,
        extract(epoch FROM f.apart)::float8
    FROM (SELECT source_id, count(*) AS scanned FROM recent WHERE ts > %(begin)s GROUP BY 1) r
    LEFT JOIN found f ON f.source_id = r.source_id AND f.place <= %(examples)s
    LEFT JOIN event_name n ON n.id = f.name_id
    ORDER BY r.source_id, f.place
"""


def scan_duplicates(*, now: datetime, since: datetime | None = None) -> int:
    """Look at what happened since the last look, of the last hour at most; returns how many events are doubled."""
    last = DuplicateScan.objects.order_by("-at").values_list("at", flat=True).first()
    begin = since or max(last or now - timedelta(hours=1), now - timedelta(hours=1))
    values: dict[str, Any] = {
        "begin": begin,
        "since": begin - timedelta(seconds=NEAR_SECONDS),
        "until": now,
        "limit": SCAN_EVENTS,
        "near": NEAR_SECONDS,
        "examples": EXAMPLES,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_NEAR, values)
        rows = cursor.fetchall()
        known = set(Source.objects.values_list("pk", flat=True))
        made = [
            _scan_row(source_id, list(theirs), now)
            for source_id, theirs in groupby(rows, key=lambda row: row[0])
            if source_id in known
        ]
        DuplicateScan.objects.bulk_create(made)
        DuplicateScan.objects.filter(at__lt=now - KEEP_SCANS).delete()
    return sum(row.found for row in made)


def _scan_row(source_id: int, rows: list[tuple[Any, ...]], now: datetime) -> DuplicateScan:
    _, scanned, found, *_ = rows[0]
    examples = [
        {"event": name, "profile": profile_id, "ids": [earlier, later], "seconds": round(seconds, 3)}
        for _, _, _, name, profile_id, earlier, later, seconds in rows
        if name is not None
    ]
    return DuplicateScan(source_id=source_id, at=now, scanned=scanned, found=found, examples=examples)
