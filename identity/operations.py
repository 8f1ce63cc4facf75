"""Writes of this room: whose a message is, and what it says about that person."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import connection, transaction

from identity.contracts import Combination, Resolution
from identity.resolve import ContendedError, SightingsOf, resolve
from identity.survivorship.history import record_news
from identity.survivorship.policies import read_policies
from identity.traits import TraitState, TraitUpdate, fold

ATTEMPTS = 5


def resolve_identities(
    combinations: Collection[Combination],
    *,
    sightings_of: SightingsOf,
    writing_traits: Collection[Combination] = (),
    now: datetime,
) -> Resolution:
    """The profile of every combination of identifiers, inside the caller's transaction.

    `sightings_of` gives the messages in which some combinations were seen. Starts over, from a savepoint, when another
    worker linked or merged the same people at the same time.
    """
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return resolve(combinations, sightings_of=sightings_of, writing_traits=writing_traits, now=now)
        except ContendedError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError  # the last attempt has returned or raised


def write_traits(
    updates: Iterable[TraitUpdate], *, resolution: Resolution | None = None, now: datetime
) -> dict[int, set[str]]:
    """Merge traits into their profiles; returns per profile the names whose values changed."""
    pending = list(updates)
    merged = resolution or Resolution()
    ids = {update.profile_id for update in pending} | set(merged.absorbed.values())
    if not ids:
        return {}
    states = _read_states(ids)
    policies = read_policies()
    for state in states.values():
        state.policies = policies
    for absorbed_id, survivor_id in merged.absorbed.items():
        states[survivor_id].absorb(merged.inherited[absorbed_id])
    fold(states, pending)
    _write_states({id_: state for id_, state in states.items() if state.touched}, now=now)
    record_news(states.values(), now=now)
    return {id_: state.changed for id_, state in states.items() if state.changed}


def _read_states(ids: Collection[int]) -> dict[int, TraitState]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, traits, provenance FROM profile WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [sorted(ids)],
        )
        found = {id_: TraitState(json.loads(traits), json.loads(stamps)) for id_, traits, stamps in cursor.fetchall()}
    return {id_: found.get(id_) or TraitState() for id_ in ids}


def _write_states(states: dict[int, TraitState], *, now: datetime) -> None:
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
