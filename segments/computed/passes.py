"""Compute a version for everybody, aside, and put it in place at once.

1. `begin` estimates what a definition takes from the whole population (the bounds of RFM), and from then on every
   change is followed in this version too.
2. Batch by batch, by id, the profiles are asked. A batch and its progress are one transaction, and the pass's row is
   locked meanwhile: a worker that dies leaves it where the last batch ended.
3. `_switch` gives profiles the new values, all in one transaction, and has the segments that read them follow.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction

from identity.operations import write_computed
from segments.computed.definition import Rfm, read
from segments.computed.evaluate import EVALUATE_SECONDS, InForce, lock_profiles, note, refresh
from segments.computed.models import ComputedPass, ComputedTrait, ComputedValue
from segments.computed.queries import estimate_bounds
from segments.engine import fetch, population_settings, reason_of
from segments.sql import Sql, sql
from segments.states import is_of_the_segment

BATCH = 1_000  # a statement about so many ends in time even where the planner knows nothing of the tables yet
POPULATION_SECONDS = 900
MAX_ERROR = 500

log = structlog.get_logger(__name__)


def take_step(*, trait_id: int, now: datetime) -> bool:
    """One step of the pass of a trait; returns whether more follow. False too where another worker is at it."""
    try:
        with transaction.atomic():
            return _step(trait_id, now)
    except Exception as error:
        if not is_of_the_segment(error):
            raise
        _fail(trait_id, error)
        return False


def waiting(*, idle_since: datetime) -> list[int]:
    """Traits whose pass no worker has taken on for a while: the nudge was lost, or the worker was."""
    rows = ComputedPass.objects.filter(touched_at__lt=idle_since, trait__state=ComputedTrait.State.COMPUTING)
    return list(rows.order_by("trait_id").values_list("trait_id", flat=True))


def _step(trait_id: int, now: datetime) -> bool:
    found = ComputedPass.objects.select_for_update(skip_locked=True).filter(trait_id=trait_id).first()
    if found is None:
        return False
    if not found.begun:
        _begin(found, now)
        return True
    rows = fetch(sql("SELECT name FROM computed_trait WHERE id = {id} AND version = {version} FOR SHARE",
                     id=trait_id, version=found.version))  # fmt: skip
    if not rows:
        return False
    one = InForce(trait_id, rows[0][0], found.version, read(found.definition), found.bounds, live=False)
    next_ids = "SELECT id FROM profile WHERE id > {after} ORDER BY id LIMIT {limit}"
    ids = [row[0] for row in fetch(sql(next_ids, after=found.after_id, limit=BATCH))]
    if not ids:
        return _switch(found, now)
    existing = lock_profiles(ids)
    refresh([one], {(trait_id, found.version): existing}, now=now)
    found.after_id, found.touched_at = ids[-1], now
    found.save(update_fields=["after_id", "touched_at"])
    return True


def _begin(found: ComputedPass, now: datetime) -> None:
    definition = read(found.definition)
    if isinstance(definition, Rfm):
        with population_settings(timeout_seconds=POPULATION_SECONDS):
            found.bounds = estimate_bounds(definition, now=now)
    found.until_id = fetch(Sql("SELECT coalesce(max(id), 0) FROM profile"))[0][0]
    found.begun, found.touched_at = True, now
    found.save(update_fields=["bounds", "until_id", "begun", "touched_at"])


_DIFFERING = """
SELECT p.id, v.value::text FROM profile AS p
LEFT JOIN computed_value AS v ON v.profile_id = p.id AND v.trait_id = {trait} AND v.version = {version}
WHERE (p.traits -> {name}::text) IS DISTINCT FROM v.value ORDER BY p.id
"""


def _switch(found: ComputedPass, now: datetime) -> bool:
    """Holding the trait alone waits for every chunk that still goes by the version before, and lets none begin."""
    trait = ComputedTrait.objects.select_for_update(no_key=True).get(pk=found.trait_id)
    if trait.version != found.version or trait.state != ComputedTrait.State.COMPUTING:
        return False
    with population_settings(timeout_seconds=POPULATION_SECONDS):
        differing = fetch(sql(_DIFFERING, trait=trait.pk, version=found.version, name=trait.name))
        for start in range(0, len(differing), BATCH):
            _put(trait.name, differing[start : start + BATCH], now)
    ComputedValue.objects.filter(trait_id=trait.pk).exclude(version=found.version).delete()
    trait.state, trait.error = ComputedTrait.State.LIVE, ""
    trait.live_version, trait.live_definition, trait.live_bounds = found.version, found.definition, found.bounds
    trait.holders = ComputedValue.objects.filter(trait_id=trait.pk, value__isnull=False).count()
    trait.computed_at = now
    trait.save()
    found.delete()
    return False


def _put(name: str, rows: Sequence[tuple[int, str | None]], now: datetime) -> None:
    ids = lock_profiles([id_ for id_, _ in rows])
    values = {id_: {name: value} for id_, value in rows if id_ in ids}
    write_computed(values, now=now)
    note({id_: {name} for id_ in values})


def _fail(trait_id: int, error: Exception) -> None:
    """What profiles have stays, of the version before; changes are followed in that one."""
    reason = reason_of(error, seconds=EVALUATE_SECONDS, otherwise="read fewer events")
    log.error("computed_trait_failed", trait=trait_id, error=reason)
    with transaction.atomic():
        ComputedTrait.objects.filter(pk=trait_id).update(
            state=ComputedTrait.State.FAILED, error=reason.strip()[:MAX_ERROR]
        )
        ComputedPass.objects.filter(trait_id=trait_id).delete()
