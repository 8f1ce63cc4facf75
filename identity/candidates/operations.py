"""Decisions about pairs, and the settings that they are proposed by. R: C2, C3

A decision is a label, which the model may learn from, and a constraint, so that nobody is asked again. Taking it back
withdraws both.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from cdp.kernel.prepared import Prepared
from cdp.kernel.tasks import send_on_commit
from identity.candidates import queue, runs
from identity.candidates.constraints import never_pairs
from identity.candidates.contracts import Field
from identity.candidates.errors import DecidedError, NotDecidedError, SettingsError
from identity.candidates.fields import dump_fields, live_fields
from identity.candidates.live import load_settings
from identity.candidates.models import Candidate, Label, MatchingSettings, MatchRun, MatchWarning
from identity.candidates.store import load_records
from identity.matching.contracts import ColumnType
from identity.merging import operations as merging
from identity.merging.errors import MergeRefusedError
from identity.merging.queries import origins_of
from identity.models import Merge

HOLD = timedelta(minutes=3)
State = Candidate.State


# --- One pair -----------------------------------------------------------------------------------------------


@transaction.atomic
def next_in_queue(*, actor: Any, now: datetime) -> Candidate | None:
    """The pair whose answer is worth most, held for `actor` for three minutes; what was skipped comes last.

    Two people who ask at once get two different pairs.
    """
    free = Q(held_until=None) | Q(held_until__lt=now) | Q(held_by=actor)
    found = (
        Candidate.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(free, state=State.WAITING)
        .order_by(F("skipped_at").asc(nulls_first=True), "-value", "id")
        .first()
    )
    if found is not None:
        hold(candidate=found, actor=actor, now=now)
    return found


def hold(*, candidate: Candidate, actor: Any, now: datetime) -> None:
    """Have nobody else be asked about this pair for a while."""
    candidate.held_by, candidate.held_until = actor, now + HOLD
    candidate.save(update_fields=["held_by", "held_until"])


@transaction.atomic
def accept(*, candidate: Candidate, actor: Any, now: datetime, blind: bool = False) -> Candidate:
    """The two are one person: merge them, and remember that somebody said so.

    Raises:
        DecidedError: somebody decided meanwhile, or it is no longer a pair.
        MergeRefusedError: they may not become one, such as two different user ids.
    """
    row = _take(candidate)
    _label(row, same=True, blind=blind, actor=actor, now=now)
    merge = _merge(row, cause=Merge.Cause.PERSON, actor=actor, now=now)
    merging.require(one=row.one_id, other=row.other_id, actor=actor, reason=f"Decided about pair {row.pk}", now=now)
    return _decide(row, State.ACCEPTED, actor=actor, now=now, merge=merge)


@transaction.atomic
def reject(*, candidate: Candidate, actor: Any, now: datetime, blind: bool = False, reason: str = "") -> Candidate:
    """The two are not one person, and are never asked about again.

    Raises:
        DecidedError: somebody decided meanwhile, or it is no longer a pair.
    """
    row = _take(candidate)
    _label(row, same=False, blind=blind, actor=actor, now=now)
    merging.forbid(
        one=row.one_id, other=row.other_id, actor=actor, reason=reason or f"Decided about pair {row.pk}", now=now
    )
    return _decide(row, State.REJECTED, actor=actor, now=now)


@transaction.atomic
def skip(*, candidate: Candidate, actor: Any, now: datetime) -> Candidate:  # noqa: ARG001 - as every decision
    """Leave it to somebody else: it goes to the end of the queue."""
    row = _take(candidate)
    row.skipped_at, row.held_by, row.held_until = now, None, None
    row.save(update_fields=["skipped_at", "held_by", "held_until"])
    return row


@transaction.atomic
def undo_decision(*, candidate: Candidate, actor: Any, now: datetime) -> Candidate:
    """Take an answer back: the pair waits again, as if nobody had answered.

    Raises:
        NotDecidedError: nothing was decided about it, or it was taken back already.
    """
    row = Candidate.objects.select_for_update().get(pk=candidate.pk)
    if row.state in {State.ACCEPTED, State.MERGED} and row.merge_id is not None:
        _undo_merge(row.merge_id, actor=actor, now=now)
    elif row.state == State.REJECTED:
        merging.lift(one=row.one_id, other=row.other_id)
    else:
        raise NotDecidedError("Nothing was decided about this pair.", code="not_decided")
    Label.objects.filter(candidate=row, withdrawn_at=None).update(withdrawn_at=now)
    row.state, row.merge_id, row.batch = State.WAITING, None, None
    row.decided_at, row.decided_by, row.merge_due = None, None, False
    row.updated_at = now
    row.save()
    return row


def label(
    *,
    one: int,
    other: int,
    same: bool,
    actor: Any,
    now: datetime,
    blind: bool = False,
    sampled: bool = False,
    weight: float = 1.0,
    probability: float | None = None,
    candidate: Candidate | None = None,
) -> Label:
    """Say of two profiles whether they are one person, for learning and measuring; nothing is merged by it."""
    records = load_records([one, other])
    return Label.objects.create(
        one_id=one,
        other_id=other,
        one=records.get(one, {}),
        other=records.get(other, {}),
        same=same,
        blind=blind,
        sampled=sampled,
        weight=weight,
        probability=probability,
        candidate=candidate,
        labelled_at=now,
        labelled_by=actor,
    )


# --- Many pairs ---------------------------------------------------------------------------------------------


def accept_above(*, threshold: float, actor: Any, now: datetime) -> MatchRun:
    """Accept, in the background, every waiting pair of at least this probability.

    The pairs are merged, but not labelled: nobody looked at each, so that nothing may be learnt from them.
    """
    return runs.ask(MatchRun.Kind.ACCEPT, actor=actor, now=now, arguments={"threshold": threshold})


def undo_batch(*, run: MatchRun, actor: Any, now: datetime) -> MatchRun:
    """Take back, in the background, whatever an earlier `accept_above` merged."""
    if run.kind != MatchRun.Kind.ACCEPT:
        raise NotDecidedError("This job accepted nothing.", code="not_a_batch")
    return runs.ask(MatchRun.Kind.UNDO, actor=actor, now=now, arguments={"batch": run.pk})


@transaction.atomic
def accept_in_batch(*, candidate_id: int, run: MatchRun, now: datetime) -> bool:
    """One pair of `accept_above`; false where it no longer waits or may not be merged."""
    row = Candidate.objects.select_for_update(skip_locked=True, of=("self",)).filter(pk=candidate_id).first()
    if row is None or row.state != State.WAITING:
        return False
    try:
        with transaction.atomic():
            merge = _merge(row, cause=Merge.Cause.PERSON, actor=run.asked_by, now=now)
    except MergeRefusedError as refused:
        refuse(row, refused.code)
        return False
    row.batch = run
    _decide(row, State.ACCEPTED, actor=run.asked_by, now=now, merge=merge)
    return True


def merge_due(*, now: datetime) -> bool:
    """Merge the next pair that is marked for it, in a transaction of its own; false where none is."""
    return bool(_ANY_DUE.rows()) and _merge_next(now=now)


_ANY_DUE = Prepared("match_any_due", [], "SELECT id FROM match_candidate WHERE merge_due LIMIT 1")
"""Asked with every turn of the queue, and hardly ever so."""


@transaction.atomic
def _merge_next(*, now: datetime) -> bool:
    row = (
        Candidate.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(merge_due=True)
        .order_by("id")
        .first()
    )
    if row is None:
        return False
    if row.state != State.WAITING or not load_settings().automatic:
        Candidate.objects.filter(pk=row.pk).update(merge_due=False)
        return True
    try:
        with transaction.atomic():
            merge = _merge(row, cause=Merge.Cause.MATCH, actor=None, now=now)
    except MergeRefusedError as refused:
        refuse(row, refused.code)
        return True
    _decide(row, State.MERGED, actor=None, now=now, merge=merge)
    return True


def refuse(row: Candidate, code: str) -> None:
    """Say why it may not be merged, which takes it out of the queue."""
    row.state, row.refusal, row.merge_due, row.held_by, row.held_until = State.REFUSED, code[:40], False, None, None
    row.save(update_fields=["state", "refusal", "merge_due", "held_by", "held_until"])


def note_merged_or_parted(profile_ids: Collection[int], now: datetime) -> None:
    """Match these profiles again, as soon as this transaction is visible; heed merges that were taken back elsewhere.

    Whoever takes a merge back that a pair had led to has answered: not the same person.
    """
    queue.note_changed(profile_ids)
    send_on_commit("cdp.match")
    merges = _undone_merges(profile_ids)
    undone = Candidate.objects.filter(state__in=(State.ACCEPTED, State.MERGED), merge_id__in=list(merges))
    for row in undone.select_for_update().order_by("id"):
        Label.objects.filter(candidate=row, withdrawn_at=None).update(withdrawn_at=now)
        merge = merges[row.merge_id or 0]
        if never_pairs([row.one_id, row.other_id]):
            _label(row, same=False, blind=False, actor=merge.undone_by, now=now)
            _decide(row, State.REJECTED, actor=merge.undone_by, now=now)
        else:
            _decide(row, State.GONE, actor=merge.undone_by, now=now)


def _undone_merges(profile_ids: Collection[int]) -> dict[int, Merge]:
    origins = {id_ for held in origins_of(profile_ids).values() for id_ in held}
    rows = Merge.objects.filter(one_origin__in=origins, undone_at__isnull=False)
    return rows.select_related("undone_by").in_bulk()


# --- Settings -----------------------------------------------------------------------------------------------


@transaction.atomic
def change_settings(*, actor: Any, now: datetime, **changed: Any) -> MatchingSettings:
    """Change any of `accept_above`, `review_above`, `automatic`, `full_pass_hour`, `estimate_days`.

    Raises:
        SettingsError: they do not fit together; the path names the one at fault.
    """
    load_settings()
    row = MatchingSettings.objects.select_for_update().get(pk=1)
    for name, value in changed.items():
        setattr(row, name, value)
    if not 0 < row.review_above <= row.accept_above < 1:
        raise SettingsError(
            "The threshold of review must be above 0 and not above that of merging, and that below 1.",
            code="thresholds_out_of_order",
            path="/review_above",
        )
    if not 0 <= row.full_pass_hour <= 23:
        raise SettingsError("An hour is between 0 and 23.", code="hour_out_of_range", path="/full_pass_hour")
    if not 1 <= row.estimate_days <= 365:
        raise SettingsError("Between 1 and 365 days.", code="days_out_of_range", path="/estimate_days")
    row.changed_at, row.changed_by = now, actor
    row.save()
    return row


@transaction.atomic
def confirm_fields(*, fields: Sequence[Field], actor: Any, now: datetime) -> MatchingSettings:
    """What is compared, and as what. Everybody is matched again by it, in the background.

    Raises:
        SettingsError: a column comes twice, or nothing would be compared.
    """
    columns = [field.column for field in fields]
    if len(set(columns)) < len(columns):
        twice = next(index for index, column in enumerate(columns) if column in columns[:index])
        raise SettingsError("This column comes twice.", code="column_twice", path=f"/{twice}/column")
    if all(field.type is ColumnType.IGNORE for field in fields):
        raise SettingsError("Nothing would be compared.", code="nothing_to_compare", path="/")
    load_settings()
    row = MatchingSettings.objects.select_for_update().get(pk=1)
    before = dump_fields(live_fields(row))
    row.fields, row.changed_at, row.changed_by = dump_fields(fields), now, actor
    row.save(update_fields=["fields", "changed_at", "changed_by"])
    if row.fields != before:
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=now)
    return row


def set_types(*, types: Mapping[str, ColumnType], actor: Any, now: datetime) -> MatchingSettings:
    """The fields as they are, with these types for some columns."""
    fields = [
        Field(field.column, types.get(field.column, field.type), field.traits, field.identifiers)
        for field in live_fields(load_settings())
    ]
    return confirm_fields(fields=fields, actor=actor, now=now)


def dismiss_warning(*, warning: MatchWarning, actor: Any, now: datetime) -> None:
    """Somebody has seen to it; it comes back where the value spreads further."""
    warning.dismissed_at, warning.dismissed_by = now, actor
    warning.save(update_fields=["dismissed_at", "dismissed_by"])


# --- Steps --------------------------------------------------------------------------------------------------


def _take(candidate: Candidate) -> Candidate:
    row = Candidate.objects.select_for_update().get(pk=candidate.pk)
    if row.state != State.WAITING:
        raise DecidedError(
            f"This pair does not wait for an answer: {row.get_state_display().lower()}.", code="already_decided"
        )
    return row


def _merge(row: Candidate, *, cause: Merge.Cause, actor: Any, now: datetime) -> Merge:
    evidence = {
        "candidate": row.pk,
        "model": row.model_id,
        "score": row.score,
        "probability": row.probability,
        "explanation": row.evidence,
    }
    return merging.merge_profiles(
        one=row.one_id, other=row.other_id, cause=cause, evidence=evidence, actor=actor, now=now
    )


def _decide(row: Candidate, state: State, *, actor: Any, now: datetime, merge: Merge | None = None) -> Candidate:
    row.state, row.decided_at, row.decided_by, row.merge_due = state, now, actor, False
    row.held_by, row.held_until = None, None
    row.merge_id = merge.pk if merge is not None else None
    row.save()
    return row


def _label(row: Candidate, *, same: bool, blind: bool, actor: Any, now: datetime) -> None:
    label(
        one=row.one_id,
        other=row.other_id,
        same=same,
        blind=blind,
        probability=row.probability,
        candidate=row,
        actor=actor,
        now=now,
    )


def _undo_merge(merge_id: int, *, actor: Any, now: datetime) -> None:
    """Without a word that they are never one: an answer that is taken back says nothing."""
    if Merge.objects.filter(pk=merge_id, undone_at=None).exists():
        merging.undo_merge(merge_id=merge_id, actor=actor, now=now, never_again=False)
