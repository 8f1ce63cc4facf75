"""Thresholds and what follows from them: how many pairs they part, and how right they would be. R: C3"""

from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Q

from identity.candidates.models import Candidate
from identity.review.blind import judged_pairs
from identity.review.estimate import (
    Expected,
    Point,
    expected_by_model,
    labels_needed,
    score_of,
    weigh,
)

BIN = 0.5
LOWEST, HIGHEST = -3.0, 15.0
_State = Candidate.State
# Log2 odds of the probability, which is what thresholds are set on; a model's raw score may be calibrated to it.
_ODDS = "(ln(greatest(probability, 1e-12) / greatest(1 - probability, 1e-12)) / ln(2))"


@dataclass(frozen=True, slots=True)
class Bar:
    """Pairs that score from `low` to below `low + BIN`, by what became of them."""

    low: float
    waiting: int
    same: int
    different: int


@dataclass(frozen=True, slots=True)
class Effect:
    """Of the pairs that wait: those above the higher threshold, between both, and below."""

    above: int
    between: int
    below: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the labelled sample says of a threshold, and how many more labels a useful estimate would take."""

    labels: int
    point: Point
    more: int


def effect_of(*, accept: float, review: float) -> Effect:
    sums = Candidate.objects.filter(state=_State.WAITING).aggregate(
        above=Count("pk", filter=Q(probability__gte=accept)),
        between=Count("pk", filter=Q(probability__gte=review, probability__lt=accept)),
        below=Count("pk", filter=Q(probability__lt=review)),
    )
    return Effect(**sums)


def estimate_at(*, accept: float) -> Estimate:
    sample = weigh(judged := judged_pairs())
    point = sample.at(score_of(accept))
    more = max(labels_needed(interval, len(judged)) for interval in (point.precision, point.recall))
    return Estimate(len(judged), point, more)


def curve() -> list[Point]:
    """Expected precision and recall over the threshold; empty without labels."""
    sample = weigh(judged_pairs())
    return sample.curve() if len(sample) else []


def expected() -> list[Expected]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT floor({_ODDS} * 4) / 4, count(*), sum(probability) FROM match_candidate"
            " WHERE state IN ('waiting', 'merged', 'accepted', 'rejected') GROUP BY 1 ORDER BY 1"
        )
        return expected_by_model(cursor.fetchall())


def histogram() -> list[Bar]:
    """Pairs by score; what lies beyond the edges is counted in the outermost bars."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT floor(least(greatest({_ODDS}, %(low)s), %(high)s) / %(bin)s) * %(bin)s AS low,"
            " count(*) FILTER (WHERE state = 'waiting'),"
            " count(*) FILTER (WHERE state IN ('merged', 'accepted')),"
            " count(*) FILTER (WHERE state = 'rejected')"
            " FROM match_candidate WHERE state IN ('waiting', 'merged', 'accepted', 'rejected') GROUP BY 1",
            {"low": LOWEST, "high": HIGHEST - BIN, "bin": BIN},
        )
        found = {low: Bar(low, waiting, same, different) for low, waiting, same, different in cursor.fetchall()}
    lows = [LOWEST + BIN * step for step in range(int((HIGHEST - LOWEST) / BIN))]
    return [found.get(low, Bar(low, 0, 0, 0)) for low in lows]
