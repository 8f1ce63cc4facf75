"""Writes of this room: drafts, versions going live, plans tried against the past, and what is allowed by a click."""

import json
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from cdp.kernel.access.models import User
from cdp.kernel.tasks import send_on_commit
from ingestion.models import Source
from ingestion.operations import bump_rules
from ingestion.plans import amend, infer, queries, trial
from ingestion.plans.compile import compile_plan
from ingestion.plans.contracts import Inferred
from ingestion.plans.document import empty_document
from ingestion.plans.errors import DraftChangedError, PlanError, PlanNotFoundError
from ingestion.plans.models import PlanTrial, PlanVersion, TrackingPlan, ViolationGroup

TRIAL_DAYS = 7
MAX_NOTE = 500

State = PlanVersion.State


@transaction.atomic
def save_draft(
    *, source: Source, document: Any, user: User | None = None, revision: int | None = None, now: datetime
) -> PlanVersion:
    """Make or replace the draft. With `revision`, only where nobody has saved another since.

    Raises:
        PlanError: the document is not a plan that can be checked quickly, with the path of the part at fault.
        DraftChangedError: the draft is not at that revision any more.
    """
    compile_plan(document)
    plan = _hold_plan(source, now=now)
    draft = plan.versions.filter(state=State.DRAFT).first()
    if revision is not None and revision != (draft.revision if draft else 0):
        raise DraftChangedError("Somebody else has changed this draft. Load it again to see what it is now.")
    text = json.dumps(document, ensure_ascii=False)
    if draft is None:
        return PlanVersion.objects.create(plan=plan, text=text, created_by=user, created_at=now, updated_at=now)
    draft.text, draft.revision, draft.updated_at = text, draft.revision + 1, now
    draft.save(update_fields=["text", "revision", "updated_at"])
    return draft


def start_empty(*, source: Source, user: User | None = None, now: datetime) -> PlanVersion:
    """A draft without events; a draft that exists stays."""
    return queries.draft(source=source) or save_draft(source=source, document=empty_document(), user=user, now=now)


@transaction.atomic
def discard_draft(*, source: Source) -> None:
    PlanVersion.objects.filter(plan__source=source, state=State.DRAFT).delete()


@transaction.atomic
def publish(
    *, source: Source, user: User | None = None, note: str = "", revision: int | None = None, now: datetime
) -> PlanVersion:
    """Put the draft in the place of the live version: from the next chunk on, messages are held against it.

    Raises:
        PlanNotFoundError: there is no draft.
        DraftChangedError: the draft is not at the `revision` that somebody looked at.
    """
    plan = _hold_plan(source, now=now)
    draft = plan.versions.filter(state=State.DRAFT).first()
    if draft is None:
        raise PlanNotFoundError("There is no draft to publish.", code="draft_missing")
    if revision is not None and revision != draft.revision:
        raise DraftChangedError("Somebody has changed the draft since you looked at it.")
    compile_plan(draft.document)
    return _go_live(plan, draft, user=user, note=note, now=now)


@transaction.atomic
def restore(*, source: Source, number: int, user: User | None = None, now: datetime) -> PlanVersion:
    """Make an old version live again, under a new number. A draft stays as it is."""
    plan = _hold_plan(source, now=now)
    old = plan.versions.filter(number=number).first()
    if old is None:
        raise PlanNotFoundError(f"There is no version {number} of this plan.", code="version_not_found")
    if old.state == State.LIVE:
        raise PlanError(f"Version {number} is live already.", code="version_live")
    compile_plan(old.document)
    again = PlanVersion(plan=plan, text=old.text, created_at=now, updated_at=now)
    return _go_live(plan, again, user=user, note=f"Version {number} again", now=now)


@transaction.atomic
def switch_off(*, source: Source, now: datetime) -> None:
    """Let messages pass unchecked again. The version stays in the list and can be restored."""
    plan = _hold_plan(source, now=now)
    plan.versions.filter(state=State.LIVE).update(state=State.RETIRED, updated_at=now)
    bump_rules(source_id=source.pk)


def infer_draft(
    *,
    source: Source,
    days: int = infer.DAYS,
    required_share: float = infer.REQUIRED_SHARE,
    replace: bool = False,
    user: User | None = None,
    now: datetime,
) -> tuple[PlanVersion, Inferred]:
    """Make a draft from what the source has sent; what a plan says already stays, unless it is to be replaced.

    Raises:
        PlanError: the source has sent nothing in that time.
    """
    inferred = infer.infer_plan(
        source_id=source.pk, since=now - timedelta(days=days), until=now, required_share=required_share
    )
    if not inferred.events:
        raise PlanError(f"This source has sent no events in the last {days} days.", code="no_traffic")
    current = None if replace else queries.current(source=source)
    document = inferred.document if current is None else amend.add_missing(current.document, inferred.document)
    return save_draft(source=source, document=document, user=user, now=now), inferred


@transaction.atomic
def allow_violation(*, source: Source, group_id: int, user: User | None = None, now: datetime) -> PlanVersion:
    """Have the draft (made from the live version where there is none) take what this group complains of.

    Raises:
        PlanError: the group is of a kind that only a person can decide about.
    """
    group = ViolationGroup.objects.filter(source=source, pk=group_id).first()
    if group is None:
        raise PlanNotFoundError("There is no such group of violations.", code="group_not_found")
    current = queries.current(source=source)
    document = amend.allow(
        current.document if current else empty_document(),
        event=group.event,
        kind=group.kind,
        path=group.path,
        seen=queries.values_seen(group=group),
    )
    return save_draft(source=source, document=document, user=user, now=now)


# --- Trying a plan against what is stored -------------------------------------------------------------------


@transaction.atomic
def start_trial(
    *, source: Source, document: Any = None, days: int = TRIAL_DAYS, user: User | None = None, now: datetime
) -> PlanTrial:
    """Hold a plan (the draft, else the live one) against the last days, in the background; ends a trial that runs."""
    if document is None:
        current = queries.current(source=source)
        if current is None:
            raise PlanNotFoundError("There is no plan to try.", code="draft_missing")
        document = current.document
    compile_plan(document)
    plan = _hold_plan(source, now=now)
    since = now - timedelta(days=days)
    PlanTrial.objects.filter(plan=plan, state=PlanTrial.State.RUNNING).update(
        state=PlanTrial.State.CANCELLED, updated_at=now
    )
    started = PlanTrial.objects.create(
        plan=plan,
        text=json.dumps(document, ensure_ascii=False),
        since=since,
        until=now,
        total=trial.count_events(source_id=source.pk, since=since, until=now),
        cursor_ts=since,
        cursor_id=trial.FIRST_ID,
        created_by=user,
        created_at=now,
        updated_at=now,
    )
    send_on_commit("cdp.try_plan", started.pk)
    return started


def cancel_trial(*, source: Source, trial_id: int, now: datetime) -> None:
    """Waits for the batch at hand, at most; what was found until then stays."""
    PlanTrial.objects.filter(plan__source=source, pk=trial_id, state=PlanTrial.State.RUNNING).update(
        state=PlanTrial.State.CANCELLED, updated_at=now
    )


# --- Going live ---------------------------------------------------------------------------------------------


def _hold_plan(source: Source, *, now: datetime) -> TrackingPlan:
    """The plan, made where there is none, and nobody else's until the transaction ends."""
    TrackingPlan.objects.get_or_create(source=source, defaults={"created_at": now})
    return TrackingPlan.objects.select_for_update().get(source=source)


def _go_live(plan: TrackingPlan, version: PlanVersion, *, user: User | None, note: str, now: datetime) -> PlanVersion:
    plan.versions.filter(state=State.LIVE).update(state=State.RETIRED, updated_at=now)
    version.state = State.LIVE
    version.number = _next_number(plan)
    version.note = note[:MAX_NOTE]
    version.created_by = user or version.created_by
    version.published_at = version.updated_at = now
    version.save()
    bump_rules(source_id=plan.source_id)
    return version


def _next_number(plan: TrackingPlan) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(number), 0) + 1 FROM tracking_plan_version WHERE plan_id = %s", [plan.pk])
        return int(cursor.fetchone()[0])
