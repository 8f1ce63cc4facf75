"""Who is asked which pair: a hold that lapses, so that nobody waits for somebody who went home. R: C3"""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from identity.candidates.models import Candidate
from identity.review.contracts import Wanted
from identity.review.queries import leading_ids, waiting

TURN = timedelta(minutes=5)
LOOKED_AT = 50


def take_next(*, user_id: int, wanted: Wanted, now: datetime, besides: Collection[int] = ()) -> Candidate | None:
    """The most valuable pair that nobody else is looking at, held for this person.

    `besides` are the pairs they have before them: neither these nor, if there are others, pairs of the same profiles,
    whose evidence the next answer may change.
    """
    shown = Candidate.objects.filter(pk__in=list(besides)).values_list("one_id", "other_id")
    busy = set(leading_ids({id_ for pair in shown for id_ in pair}).values())
    free = waiting(wanted).exclude(pk__in=list(besides)).filter(_free(user_id, now))
    found = list(free[:LOOKED_AT])
    leads = leading_ids({id_ for row in found for id_ in (row.one_id, row.other_id)})
    apart = [row for row in found if busy.isdisjoint((leads[row.one_id], leads[row.other_id]))]
    later = [row for row in found if row not in apart]
    return next((row for row in apart + later if take(candidate_id=row.pk, user_id=user_id, now=now)), None)


def take(*, candidate_id: int, user_id: int, now: datetime) -> bool:
    """Hold a waiting pair, or hold it longer; False where somebody else has it."""
    mine = _waiting(candidate_id).filter(_free(user_id, now))
    return bool(mine.update(held_by=user_id, held_until=now + TURN))


def unskip(*, candidate_id: int) -> None:
    """Ask about it as early as before it was skipped."""
    _waiting(candidate_id).update(skipped_at=None)


def taken_by_another(*, candidate_id: int, user_id: int, now: datetime) -> Candidate | None:
    """The pair, where somebody else is answering it; `held_by` is who."""
    return _waiting(candidate_id).filter(~_free(user_id, now)).select_related("held_by").first()


def _waiting(candidate_id: int) -> QuerySet[Candidate]:
    return Candidate.objects.filter(pk=candidate_id, state=Candidate.State.WAITING)


def _free(user_id: int, now: datetime) -> Q:
    return Q(held_by=None) | Q(held_by=user_id) | Q(held_until=None) | Q(held_until__lte=now)
