"""Judging pairs without seeing what the model thinks: drawn at random by score, so that they measure quality. R: C3"""

import json
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q

from cdp.kernel.errors import TributaryError
from identity.candidates import operations
from identity.candidates.models import Candidate, Label, MatchRecord
from identity.review.below import Key, explain, look_below
from identity.review.estimate import Judged, kappa, probability_of, score_of, stratum_of
from identity.review.models import Draw, Verdict
from identity.review.queries import leading_ids

A_STRATUM = 15
JUDGED_TWICE = 0.2
"""Of the pairs drawn, so many are asked of two people, to see how far people agree."""

BELOW = -1
"""A stratum below the threshold of asking is counted from here downwards."""

Answer = Verdict.Answer
_SCORED = (
    Candidate.State.WAITING,
    Candidate.State.MERGED,
    Candidate.State.ACCEPTED,
    Candidate.State.REJECTED,
)


class BlindError(TributaryError):
    """A pair that cannot be judged, or not that way."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a sample is: `asked` are answers wanted, `given` those there are."""

    drawn: int
    asked: int
    given: int
    mine: int
    open: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two people who judged the same pairs agree: the share, Cohen's kappa, and in what they did not."""

    pairs: int
    share: float
    kappa: float
    disputed: list[Draw]


@transaction.atomic
def draw(*, actor: Any, now: datetime, a_stratum: int = A_STRATUM, seed: int | None = None) -> int:
    """Draw up to so many more pairs of each stratum, at random; how many were drawn.

    1. The strata: pairs that are kept, and a sample of those below the threshold of asking, which are strata apart.
    2. Some of each that were not drawn before. 3. What was compared, as a judge will see it. 4. The strata's sizes.
    """
    chance = random.Random(seed)  # noqa: S311  (a sample, not a secret)
    scored = _kept_pairs()
    drawn = set(Draw.objects.values_list("one_id", "other_id"))
    strata: dict[int, dict[Key, float]] = defaultdict(dict)
    for key, score in scored.items():
        strata[stratum_of(score)][key] = score
    sizes = {stratum: float(len(members)) for stratum, members in strata.items()}
    for stratum, below in look_below(chance=chance, besides=scored.keys()).items():
        strata[BELOW - stratum], sizes[BELOW - stratum] = below.pairs, below.about
    chosen: dict[Key, tuple[int, float]] = {}
    for stratum, members in strata.items():
        chosen |= {key: (stratum, members[key]) for key in _some(members, drawn, a_stratum, chance)}
    evidence = _evidence_of(chosen.keys())
    made = []
    for key in sorted(chosen.keys() & evidence.keys()):
        judges = 2 if chance.random() < JUDGED_TWICE else 1
        made.append(
            _drawn(
                key, evidence[key], *chosen[key], judges=judges, place=chance.random(), drawn_at=now, drawn_by=actor
            )
        )
    Draw.objects.bulk_create(made)
    for stratum, size in sizes.items():
        Draw.objects.filter(stratum=stratum).update(stands_for=size)
    return len(made)


def _kept_pairs() -> dict[Key, float]:
    rows = Candidate.objects.filter(state__in=_SCORED).order_by("id")
    found = rows.values_list("one_id", "other_id", "probability").iterator()
    return {(one, other): score_of(probability) for one, other, probability in found}


def _some(members: Mapping[Key, float], drawn: set[Key], most: int, chance: random.Random) -> list[Key]:
    fresh = sorted(members.keys() - drawn)
    return chance.sample(fresh, min(most, len(fresh)))


def _evidence_of(keys: Collection[Key]) -> dict[Key, Mapping[str, Any]]:
    """What was compared: as it is kept, else anew."""
    ones = [one for one, _ in keys]
    rows = Candidate.objects.filter(one_id__in=ones, state__in=_SCORED).values_list("one_id", "other_id", "evidence")
    kept: dict[Key, Mapping[str, Any]] = {(one, other): evidence for one, other, evidence in rows}
    return kept | explain([key for key in keys if key not in kept])


def _drawn(key: Key, evidence: Mapping[str, Any], stratum: int, score: float, **drawn: Any) -> Draw:
    fields = sorted(evidence.get("fields", ()), key=lambda field: str(field["field"]))
    return Draw(
        one_id=key[0],
        other_id=key[1],
        score=score,
        probability=probability_of(score),
        stratum=stratum,
        stands_for=1,
        shown=[[field["field"], field["one"], field["other"]] for field in fields if _says(field)],
        **drawn,
    )


def _says(field: Mapping[str, Any]) -> bool:
    """Whether it has a value to look at; the model's own remarks have none."""
    return bool(field.get("one") or field.get("other"))


def next_draw(*, actor: Any) -> Draw | None:
    """A drawn pair that this person has not judged and that still wants a judge; in random order."""
    found: Draw | None = _open_to(actor).order_by("-judged", "place").first()
    return found


def _open_to(actor: Any) -> Any:
    mine = Verdict.objects.filter(draw=OuterRef("pk"), given_by=actor)
    return Draw.objects.annotate(judged=Count("verdicts")).filter(~Exists(mine), judged__lt=F("judges"))


@transaction.atomic
def judge(*, draw_id: int, answer: str, actor: Any, now: datetime) -> Verdict:
    """Keep an answer; `same` and `different` become labels to learn from and measure by, and merge nothing.

    Raises:
        BlindError: with the code `answer_unknown`, or `already_judged` by this person.
    """
    if answer not in Answer.values:
        raise BlindError("An answer is same, different or unsure.", code="answer_unknown", path="/answer")
    found = Draw.objects.select_for_update().get(pk=draw_id)
    if Verdict.objects.filter(draw=found, given_by=actor).exists():
        raise BlindError("You have judged this pair already.", code="already_judged")
    label = None
    if answer != Answer.UNSURE:
        drawn = Draw.objects.filter(stratum=found.stratum).count()
        label = operations.label(
            one=found.one_id,
            other=found.other_id,
            same=answer == Answer.SAME,
            actor=actor,
            now=now,
            blind=True,
            sampled=True,
            weight=found.stands_for / drawn,
            probability=found.probability,
        )
        _keep_records_apart(label)
    return Verdict.objects.create(draw=found, answer=answer, label=label, given_at=now, given_by=actor)


def _keep_records_apart(label: Label) -> None:
    """Of a pair that was merged, the records of either side as it came in: together they would teach nonsense."""
    ids = (label.one_id, label.other_id)
    if len(set(leading_ids(ids).values())) > 1:
        return
    rows = MatchRecord.objects.filter(origin_id__in=ids).values_list("origin_id", "record")
    records = {origin: json.loads(record) for origin, record in rows}
    label.one, label.other = (records.get(id_, {}) for id_ in ids)
    label.save(update_fields=["one", "other"])


@transaction.atomic
def take_back(*, actor: Any, now: datetime) -> Draw | None:
    """Take this person's last answer back; the pair to judge anew."""
    last = Verdict.objects.filter(given_by=actor).select_related("draw", "label").order_by("-id").first()
    if last is None:
        return None
    if last.label is not None:
        last.label.withdrawn_at = now
        last.label.save(update_fields=["withdrawn_at"])
    last.delete()
    return last.draw


def tally(*, actor: Any) -> Tally:
    sums = Draw.objects.values_list("judges", flat=True)
    given = Verdict.objects.aggregate(all=Count("pk"), mine=Count("pk", filter=Q(given_by=actor)))
    return Tally(
        drawn=len(sums), asked=sum(sums), given=given["all"], mine=given["mine"], open=_open_to(actor).count()
    )


def judged_pairs() -> list[Judged]:
    """Every drawn pair that somebody judged and could tell; answers of several people as the share that said same."""
    rows = Verdict.objects.exclude(answer=Answer.UNSURE).filter(label__withdrawn_at=None).select_related("draw")
    answers: defaultdict[int, list[Verdict]] = defaultdict(list)
    for row in rows.order_by("draw_id", "id"):
        answers[row.draw_id].append(row)
    return [
        Judged(
            score=found[0].draw.score,
            same=sum(row.answer == Answer.SAME for row in found) / len(found),
            stratum=found[0].draw.stratum,
            stands_for=found[0].draw.stands_for,
        )
        for found in answers.values()
    ]


def agreement() -> Agreement | None:
    """Of pairs that two people judged; None while there are none."""
    twice: defaultdict[int, list[Verdict]] = defaultdict(list)
    for row in Verdict.objects.select_related("draw", "given_by").order_by("draw_id", "id"):
        twice[row.draw_id].append(row)
    found = [rows for rows in twice.values() if len(rows) > 1]
    measured = kappa(_answers(found))
    if measured is None:
        return None
    disputed = [rows[0].draw for rows in found if rows[0].answer != rows[1].answer]
    return Agreement(len(found), *measured, disputed)


def _answers(found: Iterable[list[Verdict]]) -> list[tuple[str, str]]:
    return [(rows[0].answer, rows[1].answer) for rows in found]
