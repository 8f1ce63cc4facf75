"""A plan held against stored events, batch by batch, by whichever worker has time."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from ingestion.plans.compile import CompiledPart, CompiledPlan, compile_plan
from ingestion.plans.contracts import Action, Kind, Violation
from ingestion.plans.errors import PlanError
from ingestion.plans.infer import OWN_EVENTS, OWN_PROPERTY
from ingestion.plans.judge import judge, unknown_event
from ingestion.plans.models import PlanTrial

FIRST_ID = uuid.UUID(int=0)
BATCH = 2_000
TURN_SECONDS = 2.0
MAX_GROUPS = 30
EXAMPLES = 3
MAX_EVENTS = 500
KEPT = timedelta(days=30)


def count_events(*, source_id: int, since: datetime, until: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM event WHERE ts > %s AND ts <= %s AND source_id = %s"
            " AND name_id NOT IN (SELECT id FROM event_name WHERE name = ANY(%s))",
            [since, until, source_id, list(OWN_EVENTS)],
        )
        return int(cursor.fetchone()[0])


def continue_trial(*, trial_id: int, clock: Callable[[], datetime]) -> bool:
    """Look at more events, for about `TURN_SECONDS`; returns whether there is more to do.

    A batch and its progress are one transaction, and the row is locked meanwhile: a worker that dies leaves the
    trial where its last batch ended, and two workers never look at the same events.
    """
    end = time.monotonic() + TURN_SECONDS
    while _took_step(trial_id, clock=clock):
        if time.monotonic() > end:
            return True
    return False


def waiting_trials(*, idle_since: datetime) -> list[int]:
    """Trials that no worker has taken on for a while: their nudge was lost, or their worker was."""
    rows = PlanTrial.objects.filter(state=PlanTrial.State.RUNNING, updated_at__lt=idle_since)
    return list(rows.values_list("id", flat=True))


@transaction.atomic
def _took_step(trial_id: int, *, clock: Callable[[], datetime]) -> bool:
    """One batch, unless another worker is at it; returns whether more follow."""
    rows = PlanTrial.objects.select_for_update(skip_locked=True)
    found = rows.filter(pk=trial_id, state=PlanTrial.State.RUNNING).first()
    return found is not None and _step(found, now=clock())


def forget_old(*, now: datetime) -> None:
    PlanTrial.objects.filter(created_at__lt=now - KEPT).delete()


def _step(trial: PlanTrial, *, now: datetime) -> bool:
    rows = _batch(trial)
    try:
        plan = compile_plan(json.loads(trial.text))
        for id_, ts, name, kind, properties in rows:
            fields = _fields(properties)
            if OWN_PROPERTY not in trial.text:
                fields.pop(OWN_PROPERTY, None)
            _look_at(trial, plan, id_=id_, ts=ts, name=name, kind=kind, fields=fields)
    except (PlanError, ValueError, TypeError, LookupError, RecursionError) as error:
        trial.state, trial.error = PlanTrial.State.FAILED, str(error)[:500]
        trial.save(update_fields=["state", "error"])
        return False
    if rows:
        trial.cursor_ts, trial.cursor_id = rows[-1][1], uuid.UUID(rows[-1][0])
    trial.looked_at += len(rows)
    trial.updated_at = now
    if len(rows) < BATCH:
        trial.state = PlanTrial.State.DONE
    trial.save(update_fields=["cursor_ts", "cursor_id", "looked_at", "blocked", "result", "state", "updated_at"])
    return trial.state == PlanTrial.State.RUNNING


def _batch(trial: PlanTrial) -> list[tuple[str, datetime, str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id::text, e.ts, n.name, n.type, e.properties FROM event e"
            " JOIN event_name n ON n.id = e.name_id JOIN tracking_plan p ON p.source_id = e.source_id"
            " WHERE p.id = %s AND (e.ts, e.id) > (%s, %s::uuid) AND e.ts > %s AND e.ts <= %s"
            " AND n.name <> ALL(%s) ORDER BY e.ts, e.id LIMIT %s",
            [
                trial.plan_id,
                trial.cursor_ts,
                str(trial.cursor_id),
                trial.since,
                trial.until,
                list(OWN_EVENTS),
                BATCH,
            ],
        )
        return list(cursor.fetchall())


def _fields(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 300 else digits)
    return found


def _look_at(
    trial: PlanTrial, plan: CompiledPlan, *, id_: str, ts: datetime, name: str, kind: str, fields: dict[str, Any]
) -> None:
    violations = violations_of(plan, name=name, kind=kind, fields=fields)
    blocked = any(one.action is Action.BLOCK for one in violations)
    events = trial.result.setdefault("events", {})
    label = name if name in events or len(events) < MAX_EVENTS else "(others)"
    event = events.setdefault(label, {"total": 0, "valid": 0, "blocked": 0, "groups": []})
    event["total"] += 1
    event["valid"] += not violations
    event["blocked"] += blocked
    trial.blocked += blocked
    for violation in violations:
        _count(event["groups"], violation, id_=id_, ts=ts)


def _count(groups: list[dict[str, Any]], violation: Violation, *, id_: str, ts: datetime) -> None:
    key = (violation.kind.value, violation.where, violation.action.value)
    found = next((one for one in groups if (one["kind"], one["path"], one["action"]) == key), None)
    if found is None:
        if len(groups) >= MAX_GROUPS:
            return
        found = {"kind": key[0], "path": key[1], "action": key[2], "messages": 0, "examples": []}
        groups.append(found)
    found["messages"] += 1
    if len(found["examples"]) < EXAMPLES:
        found["examples"].append({"id": id_, "at": ts.isoformat(), "text": violation.what})


def violations_of(plan: CompiledPlan, *, name: str, kind: str, fields: dict[str, Any]) -> list[Violation]:
    """What the drain would find in such a message; `fields` may be changed."""
    part = part_of(plan, name=name, kind=kind)
    if part is not None:
        return judge(part, fields).violations
    action = plan.actions[Kind.UNKNOWN_EVENT]
    return [unknown_event(action)] if kind == "track" and action is not Action.ALLOW else []


def part_of(plan: CompiledPlan, *, name: str, kind: str) -> CompiledPart | None:
    if kind == "identify":
        return plan.traits
    return plan.group_traits if kind == "group" else plan.events.get(name)
