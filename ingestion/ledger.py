"""What became of every message: counted by hour and outcome."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from django.db import connection

from ingestion.contracts import Incoming, Rejected
from ingestion.models import HourlyCount

Outcome = HourlyCount.Outcome
Tally = Counter[tuple[int, datetime, Outcome]]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_HOUR = 3_600_000_000
_arrival = attrgetter("source_id", "received")  # a request's messages have it in common


def tally(outcomes: Mapping[Outcome, Iterable[Incoming]], rejected: Iterable[Rejected]) -> Tally:
    """Count messages per source, hour of arrival and outcome; one that fails again was counted when it came."""
    counts: Tally = Counter()
    for outcome, events in outcomes.items():
        for (source_id, received), number in Counter(map(_arrival, events)).items():
            counts[source_id, _EPOCH + timedelta(hours=received // _HOUR), outcome] += number
    for item in rejected:
        if item.held_id:
            continue
        started = item.received_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        counts[item.source_id, started, Outcome.QUARANTINED] += 1
    return counts


def add_counts(counts: Tally) -> None:
    """Add to the hourly counts, in key order so that two workers never wait for each other in a circle."""
    rows = sorted((source_id, hour, str(outcome), number) for (source_id, hour, outcome), number in counts.items())
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO hourly_count (source_id, hour, outcome, events)"
            " SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[])"
            " ON CONFLICT (source_id, hour, outcome) DO UPDATE SET events = hourly_count.events + EXCLUDED.events",
            [list(column) for column in zip(*rows, strict=True)],
        )
