"""Passes over all profiles that try a policy or apply one, batch by batch.

A batch and its progress are one transaction, and the run's row is locked meanwhile: a worker that dies leaves it where
the last batch ended, and two workers never look at the same profiles.

What was said before a policy was in force is found again where that policy needs more than the newest word of each
source: in the history of traits and in the identify events that are still in the log.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from identity.operations import Held, Lock, hold_traits, write_held
from identity.survivorship.models import PolicyRun
from identity.traits import Policy, Rule, Statement

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
    looks_back = rule not in {Rule.NEWEST, Rule.PRIORITY}
    passed = _next_profiles(run)
    holders = [id_ for id_, has_trait, _ in passed if has_trait]
    ids = holders if looks_back else [id_ for id_, _, is_said_otherwise in passed if is_said_otherwise]
    held = hold_traits(ids, lock=Lock.WAIT if run.kind == PolicyRun.Kind.APPLY else Lock.NONE) if ids else {}
    earlier = _said_before(ids, trait=run.trait) if looks_back else {}
    step = Step(more=len(passed) == BATCH)
    for id_, one in sorted(held.items()):
        before = one.state.traits.get(run.trait)
        _decide(one, run.trait, Policy(rule, tuple(run.sources)), earlier.get(id_, {}))
        if one.state.changed:
            step.changed[id_] = one.state.changed
            _note_example(run, id_, before, one.state.traits.get(run.trait))
    if run.kind == PolicyRun.Kind.APPLY:
        write_held({id_: one for id_, one in held.items() if _is_touched(one)}, now=now)
    run.after_id = passed[-1][0] if passed else run.until_id
    run.looked_at += len(holders)
    run.differing += len(step.changed)
    run.updated_at = now
    if not step.more:
        run.state = PolicyRun.State.DONE
    run.save()
    return step if run.kind == PolicyRun.Kind.APPLY else Step(more=step.more)


def _decide(held: Held, trait: str, policy: Policy, earlier: Mapping[int, list[Statement]]) -> None:
    """Choose for the profile, and for each origin of a merged one from what that origin said."""
    held.state.policies = {trait: policy}
    held.state.decide(trait, [one for said in earlier.values() for one in said])
    for origin, part in (held.parts or {}).items():
        part.state.policies = {trait: policy}
        part.state.decide(trait, earlier.get(origin, ()))


def _is_touched(held: Held) -> bool:
    return held.state.touched or any(part.state.touched for part in (held.parts or {}).values())


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


_SAID_BEFORE = """
    SELECT s.profile_id, coalesce(s.origin_id, s.profile_id),
        (extract(epoch FROM s.at) * 1000000)::bigint - 946684800000000, s.source_id,
        coalesce(o.priority, 100), s.value
    FROM (
        SELECT h.profile_id, h.origin_id, h.at, h.source_id, h.traits -> %(trait)s AS value FROM trait_history h
        WHERE h.profile_id = ANY(%(ids)s) AND h.traits ? %(trait)s
        UNION ALL
        SELECT e.profile_id, e.origin_id, e.ts, e.source_id, e.properties -> %(trait)s FROM event e
        WHERE e.profile_id = ANY(%(ids)s) AND e.name_id = ANY(SELECT id FROM event_name WHERE type = 'identify')
            AND e.properties ? %(trait)s
    ) AS s LEFT JOIN ingestion_source o ON o.id = s.source_id
"""


def _said_before(ids: Collection[int], *, trait: str) -> dict[int, dict[int, list[Statement]]]:
    """By profile and origin."""
    found: defaultdict[int, defaultdict[int, list[Statement]]] = defaultdict(lambda: defaultdict(list))
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(_SAID_BEFORE, {"trait": trait, "ids": sorted(ids)})
            for profile_id, origin, at, source_id, priority, value in cursor.fetchall():
                found[profile_id][origin].append((at, source_id, priority, json.loads(value)))
    return {profile_id: dict(by_origin) for profile_id, by_origin in found.items()}
