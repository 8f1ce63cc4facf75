"""Passes over all profiles that try a policy or apply one, batch by batch.

A batch and its progress are one transaction, and the run's row is locked meanwhile: a worker that dies leaves it where
the last batch ended, and two workers never look at the same profiles.

What was said before a policy was in force is found again where that policy needs more than the newest word of each
source: in the history of traits and in the identify events that are still in the log.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from identity.survivorship.models import PolicyRun
from identity.traits import Policy, Rule, Statement, TraitState

BATCH = 2_000
EXAMPLES = 10


@dataclass(slots=True)
class Step:
    """What one batch did: the profiles whose value is another now, and whether more follow."""

    changed: dict[int, set[str]] = field(default_factory=dict)
    more: bool = False


@transaction.atomic
def take_step(*, run_id: int, now: datetime) -> Step:
    """One batch, unless another worker is at it or it is done."""
    rows = PolicyRun.objects.select_for_update(skip_locked=True)
    run = rows.filter(pk=run_id, state=PolicyRun.State.RUNNING).first()
    return Step() if run is None else _step(run, now=now)


def waiting_runs(*, idle_since: datetime) -> list[int]:
    """Runs that no worker has taken on for a while: their nudge was lost, or their worker was."""
    rows = PolicyRun.objects.filter(state=PolicyRun.State.RUNNING, updated_at__lt=idle_since)
    return list(rows.order_by("id").values_list("id", flat=True))


def _step(run: PolicyRun, *, now: datetime) -> Step:
    # 1. The next profiles, of which many lack the trait. 2. Those for which the policy may matter. 3. Choose again.
    rule = Rule(run.rule)
    passed = _next_profiles(run)
    holders = [id_ for id_, has_trait, _ in passed if has_trait]
    several = [id_ for id_, _, is_said_otherwise in passed if is_said_otherwise]
    ids = several if rule in {Rule.NEWEST, Rule.PRIORITY} else holders
    states = _read_states(ids, lock=run.kind == PolicyRun.Kind.APPLY)
    earlier = {} if rule in {Rule.NEWEST, Rule.PRIORITY} else _said_before(ids, trait=run.trait)
    step = Step(more=len(passed) == BATCH)
    for id_, state in sorted(states.items()):
        before = state.traits.get(run.trait)
        state.policies = {run.trait: Policy(rule, tuple(run.sources))}
        state.decide(run.trait, earlier.get(id_, ()))
        if state.changed:
            step.changed[id_] = state.changed
            _note_example(run, id_, before, state.traits.get(run.trait))
    if run.kind == PolicyRun.Kind.APPLY:
        write_states({id_: state for id_, state in states.items() if state.touched}, now=now)
    run.after_id = passed[-1][0] if passed else run.until_id
    run.looked_at += len(holders)
    run.differing += len(step.changed)
    run.updated_at = now
    if not step.more:
        run.state = PolicyRun.State.DONE
    run.save()
    return step if run.kind == PolicyRun.Kind.APPLY else Step(more=step.more)


def _note_example(run: PolicyRun, profile_id: int, before: Any, after: Any) -> None:
    if len(run.examples) < EXAMPLES:
        run.examples.append({"profile": profile_id, "before": before, "after": after})


def _next_profiles(run: PolicyRun) -> list[tuple[int, bool, bool]]:
    """Ids, whether they have the trait, and whether more than one word about it is kept."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, provenance ? %(trait)s, coalesce(jsonb_array_length(provenance -> %(trait)s) > 3, false)"
            " FROM profile WHERE id > %(after)s AND id <= %(until)s ORDER BY id LIMIT %(limit)s",
            {"trait": run.trait, "after": run.after_id, "until": run.until_id, "limit": BATCH},
        )
        return list(cursor.fetchall())


def _read_states(ids: Collection[int], *, lock: bool) -> dict[int, TraitState]:
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, traits, provenance FROM profile WHERE id = ANY(%s) ORDER BY id"
            + (" FOR NO KEY UPDATE" if lock else ""),
            [sorted(ids)],
        )
        return {id_: TraitState(json.loads(traits), json.loads(stamps)) for id_, traits, stamps in cursor.fetchall()}


def write_states(states: dict[int, TraitState], *, now: datetime) -> None:
    if not states:
        return
    ids = sorted(states)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE profile p SET traits = u.traits, provenance = u.provenance, updated_at = u.now"
            " FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[], %s::timestamptz[])"
            " AS u(id, traits, provenance, now) WHERE p.id = u.id",
            [
                ids,
                [_dump(states[id_].traits) for id_ in ids],
                [_dump(states[id_].provenance) for id_ in ids],
                [now] * len(ids),
            ],
        )


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_SAID_BEFORE = """
    SELECT s.profile_id, (extract(epoch FROM s.at) * 1000000)::bigint - 946684800000000, s.source_id,
        coalesce(o.priority, 100), s.value
    FROM (
        SELECT h.profile_id, h.at, h.source_id, h.traits -> %(trait)s AS value FROM trait_history h
        WHERE h.profile_id = ANY(%(ids)s) AND h.traits ? %(trait)s
        UNION ALL
        SELECT e.profile_id, e.ts, e.source_id, e.properties -> %(trait)s FROM event e
        WHERE e.profile_id = ANY(%(ids)s) AND e.name_id = ANY(SELECT id FROM event_name WHERE type = 'identify')
            AND e.properties ? %(trait)s
    ) AS s LEFT JOIN ingestion_source o ON o.id = s.source_id
"""


def _said_before(ids: Collection[int], *, trait: str) -> dict[int, list[Statement]]:
    found: defaultdict[int, list[Statement]] = defaultdict(list)
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(_SAID_BEFORE, {"trait": trait, "ids": sorted(ids)})
            for profile_id, at, source_id, priority, value in cursor.fetchall():
                found[profile_id].append((at, source_id, priority, json.loads(value)))
    return found
