"""Reads of this room: the newest report, and how likely the pairs are that the matcher found."""

from dataclasses import dataclass

from django.db import connection

from identity.duplicates.models import DuplicateReport

BUCKETS = (0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Likely:
    """Pairs that the matcher found by how likely they are one person; `label` is the stretch of probabilities."""

    label: str
    waiting: int
    merged: int
    rejected: int


def newest_report() -> DuplicateReport | None:
    return DuplicateReport.objects.order_by("-id").first()


def pairs_by_probability() -> list[Likely]:
    """From the unlikeliest to the likeliest."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT width_bucket(probability, %s::float8[]), count(*) FILTER (WHERE state = 'waiting'),"
            " count(*) FILTER (WHERE state IN ('merged', 'accepted')),"
            " count(*) FILTER (WHERE state IN ('rejected', 'refused')) FROM match_candidate GROUP BY 1",
            [list(BUCKETS[:-1])],
        )
        found = {place: numbers for place, *numbers in cursor.fetchall()}
    return [Likely(_label(place), *found.get(place, (0, 0, 0))) for place in range(len(BUCKETS))]


def _label(place: int) -> str:
    if place == 0:
        return f"below {BUCKETS[0]:.0%}"
    return f"{BUCKETS[place - 1]:.0%} to {BUCKETS[place]:.0%}"
