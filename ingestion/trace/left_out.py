"""Traits that messages set under a name that is reserved for a computed trait: left out, and counted by hour.

The messages themselves are stored, so they are in no other count of what was dropped.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Sum

from ingestion.trace.models import LeftOutTraits

KEPT = timedelta(days=90)


def note(counts: Mapping[tuple[int, str], int], *, now: datetime) -> None:
    """Add to the counts of this hour how many messages of a source set a trait, in key order as everywhere."""
    if not counts:
        return
    hour = now.replace(minute=0, second=0, microsecond=0)
    rows = [(source_id, hour, trait, messages) for (source_id, trait), messages in sorted(counts.items())]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO left_out_traits (source_id, hour, trait, messages)"
            " SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::bigint[])"
            " ON CONFLICT (source_id, hour, trait)"
            " DO UPDATE SET messages = left_out_traits.messages + EXCLUDED.messages",
            [list(column) for column in zip(*rows, strict=True)],
        )


def by_trait(*, source_id: int, since: datetime) -> dict[str, int]:
    """How many messages of a source, by trait."""
    rows = LeftOutTraits.objects.filter(source_id=source_id, hour__gte=since).values_list("trait")
    return dict(rows.annotate(total=Sum("messages")).order_by("trait"))


def by_source(*, trait: str, since: datetime) -> dict[int, int]:
    """How many messages that set a trait, by source."""
    rows = LeftOutTraits.objects.filter(trait=trait, hour__gte=since).values_list("source_id")
    return dict(rows.annotate(total=Sum("messages")).order_by("source_id"))


def drop_expired(*, now: datetime) -> None:
    LeftOutTraits.objects.filter(hour__lt=now - KEPT).delete()
