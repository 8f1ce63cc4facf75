"""Accepting many pairs at once: what that would do, before it is done. R: C3"""

import random
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet

from identity.candidates.models import Candidate, MatchRun
from identity.matching.evaluate import Interval
from identity.review.blind import judged_pairs
from identity.review.estimate import Judged, score_of, weigh

SAMPLE = 8
LEAST = 0.5
Kind = MatchRun.Kind


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """What accepting every waiting pair of at least `threshold` would do.

    `profiles` are those that would be one of a merged pair. `precision` is measured by labels of pairs that score so,
    None while there are none; `expected` is what the model itself makes of it.
    """

    threshold: float
    pairs: int
    profiles: int
    bridges: int
    expected: float
    labels: int
    precision: Interval | None
    sample: list[Candidate]


def preview_bulk(*, threshold: float, seed: int = 0) -> BulkPreview:
    found = _meant(threshold)
    pairs, profiles, bridges, likely = _sums(threshold)
    judged = [one for one in judged_pairs() if one.score >= score_of(threshold)]
    ids = list(found.values_list("pk", flat=True))
    chosen = random.Random(seed).sample(ids, min(SAMPLE, len(ids)))  # noqa: S311  (a sample, not a secret)
    return BulkPreview(
        threshold=threshold,
        pairs=pairs,
        profiles=profiles,
        bridges=bridges,
        expected=likely / pairs if pairs else 1.0,
        labels=len(judged),
        precision=_precision(judged),
        sample=list(Candidate.objects.filter(pk__in=chosen).order_by("probability", "pk")),
    )


def batches(*, limit: int = 20) -> list[MatchRun]:
    """What was accepted in bulk, and taken back, the newest first."""
    return list(
        MatchRun.objects.filter(kind__in=(Kind.ACCEPT, Kind.UNDO)).select_related("asked_by").order_by("-pk")[:limit]
    )


def merged_in(run: MatchRun) -> int:
    """How many pairs of a batch are still one profile by it."""
    return Candidate.objects.filter(batch=run, state=Candidate.State.ACCEPTED).count()


def _meant(threshold: float) -> QuerySet[Candidate]:
    return Candidate.objects.filter(state=Candidate.State.WAITING, refusal="", probability__gte=threshold)


def _sums(threshold: float) -> tuple[int, int, int, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH meant AS (SELECT * FROM match_candidate"
            "   WHERE state = 'waiting' AND refusal = '' AND probability >= %s)"
            " SELECT count(*),"
            "   (SELECT count(*) FROM (SELECT one_id FROM meant UNION SELECT other_id FROM meant) AS ids),"
            "   count(*) FILTER (WHERE reason = 'bridge'), coalesce(sum(probability), 0) FROM meant",
            [threshold],
        )
        pairs, profiles, bridges, likely = cursor.fetchone()
        return pairs, profiles, bridges, likely


def _precision(judged: list[Judged]) -> Interval | None:
    sample = weigh(judged)
    return sample.at(-500.0).precision if len(sample) else None
