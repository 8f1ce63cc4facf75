"""Reads of this room: the queue, and what the evidence of a pair says."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import BooleanField, Count, Exists, F, Func, OuterRef, Q, QuerySet, Value
from django.utils import timezone

from identity.candidates.models import Candidate, Label
from identity.candidates.viewing import mask_evidence
from identity.matching.contracts import OTHERS, Explanation
from identity.models import ProfileAlias, ProfileIdentifier
from identity.review.contracts import Progress, Step, Wanted, Waterfall
from ingestion.dictionary.masking import CLEAR, Masker

State = Candidate.State


def waiting(wanted: Wanted | None = None) -> QuerySet[Candidate]:
    """Pairs that wait for a person, the most valuable first; those that were skipped come last."""
    found = Candidate.objects.filter(state=State.WAITING)
    if wanted is not None:
        found = _narrow(found, wanted)
    return found.order_by(F("skipped_at").asc(nulls_first=True), "-value", "id")


def _narrow(found: QuerySet[Candidate], wanted: Wanted) -> QuerySet[Candidate]:
    if wanted.least is not None:
        found = found.filter(probability__gte=wanted.least)
    if wanted.most is not None:
        found = found.filter(probability__lte=wanted.most)
    if wanted.reason:
        found = found.filter(reason=wanted.reason)
    if wanted.since is not None:
        found = found.filter(found_at__gte=wanted.since)
    if wanted.before is not None:
        found = found.filter(found_at__lt=wanted.before)
    if wanted.source_id is not None:
        found = found.filter(_known_by("one_id", wanted.source_id) | _known_by("other_id", wanted.source_id))
    if wanted.field:
        found = found.filter(_agrees(wanted.field))
    return found


def _known_by(side: str, source_id: int) -> Q:
    rows = ProfileIdentifier.objects.filter(profile_id=OuterRef(side), source_id=source_id)
    return Q(Exists(rows))


def _agrees(field: str) -> Func:
    """Whether the evidence has this field speaking for one person."""
    return Func(
        F("evidence"),
        Value("$.fields[*] ? (@.field == $name && @.weight > 0)"),
        Func(Value("name"), Value(field), function="jsonb_build_object"),
        template="jsonb_path_exists(%(expressions)s)",
        output_field=BooleanField(),
    )


def count_by_reason() -> dict[str, int]:
    rows = Candidate.objects.filter(state=State.WAITING).order_by().values_list("reason")
    return dict(rows.annotate(number=Count("pk")))


def compared_fields(*, sample: int = 200) -> list[str]:
    """The fields that evidence names, from a sample of the pairs that wait."""
    names: dict[str, None] = {}
    for evidence in waiting().values_list("evidence", flat=True)[:sample]:
        names.update(dict.fromkeys(one["field"] for one in evidence.get("fields", ())))
    return sorted(names)


def progress(*, user_id: int, now: datetime) -> Progress:
    """What is left, and what was answered since midnight, by this person and by all."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    today = Label.objects.filter(labelled_at__gte=midnight, blind=False, withdrawn_at=None)
    sums = today.aggregate(all=Count("pk"), mine=Count("pk", filter=Q(labelled_by=user_id)))
    return Progress(waiting=Candidate.objects.filter(state=State.WAITING).count(), **sums)


def leading_ids(ids: Collection[int]) -> dict[int, int]:
    """Where each id leads now; one that was not absorbed leads to itself."""
    found = dict(ProfileAlias.objects.filter(profile_id__in=list(ids)).values_list("profile_id", "canonical_id"))
    return {id_: found.get(id_, id_) for id_ in ids}


def waterfall_of(evidence: Mapping[str, Any], masker: Masker = CLEAR) -> Waterfall | None:
    """The evidence as steps that add up, the strongest first, the allowance for relatives last; None without any."""
    try:
        found = msgspec.convert(mask_evidence(dict(evidence), masker), Explanation)
    except msgspec.ValidationError:
        return None
    total = found.prior
    steps = []
    for field in sorted(found.fields, key=lambda field: (field.field == OTHERS, -abs(field.weight))):
        total += field.weight
        steps.append(Step(field.field, field.level, field.weight, total, field.one, field.other))
    return Waterfall(found.prior, tuple(steps), found.score, found.probability)
