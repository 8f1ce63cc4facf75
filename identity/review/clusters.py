"""Profiles that may have been put together wrongly: by a weak bridge, or simply of very many. R: C3"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count

from identity.models import Merge, ProfileAlias

LARGEST = 20
LARGE = 4


@dataclass(frozen=True, slots=True)
class LargeCluster:
    profile_id: int
    size: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """A merge in force between two of a profile's origins, and how sure it was; by identifiers, entirely."""

    merge_id: int
    one: int
    other: int
    cause: str
    at: datetime
    probability: float | None


def largest(*, limit: int = LARGEST) -> list[LargeCluster]:
    """Profiles of at least four origins, those of the most first."""
    rows = ProfileAlias.objects.values_list("canonical_id").annotate(absorbed=Count("pk"))
    found = rows.filter(absorbed__gte=LARGE - 1).order_by("-absorbed", "canonical_id")[:limit]
    return [LargeCluster(id_, absorbed + 1) for id_, absorbed in found]


def bridges_of(origins: frozenset[int]) -> list[Bridge]:
    """What holds a profile together, the weakest first."""
    rows = Merge.objects.filter(one_origin__in=origins, other_origin__in=origins, undone_at=None)
    found = [
        Bridge(row.pk, row.one_origin, row.other_origin, row.get_cause_display(), row.at, _probability(row.evidence))
        for row in rows
    ]
    return sorted(
        found, key=lambda bridge: (1.0 if bridge.probability is None else bridge.probability, bridge.merge_id)
    )


def _probability(evidence: dict[str, Any]) -> float | None:
    value = evidence.get("probability")
    return float(value) if isinstance(value, int | float) else None
