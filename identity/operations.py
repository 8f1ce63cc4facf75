"""Writes of this room: whose a message is, and what it says about that person."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.db import connection, transaction

from cdp.kernel.copy import timestamp_micros
from identity.columns.notes import note_profiles
from identity.contracts import Resolution
from identity.parts import Part, Parts, dump, load, parts_of
from identity.resolve import ContendedError, SightingsOf, resolve
from identity.survivorship.history import record_news
from identity.survivorship.policies import read_policies
from identity.traits import COMPUTED_SOURCE, Policy, Rule, TraitState, TraitUpdate, dump_json, fold, load_state
from ingestion.contracts import Person
from ingestion.trace import left_out

ATTEMPTS = 5


def resolve_identities(
    people: Sequence[Person],
    *,
    sightings_of: SightingsOf,
    writing: Collection[int] = (),
    now: datetime,
) -> Resolution:
    """The profile of everybody that messages name, inside the caller's transaction.

    `sightings_of` gives the messages in which those at some places were named. Starts over, from a savepoint, when
    another worker linked or merged the same people at the same time.
    """
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return resolve(people, sightings_of=sightings_of, writing=writing, now=now)
        except ContendedError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError  # the last attempt has returned or raised


@dataclass(frozen=True, slots=True)
class Written:
    """By profile, the names of traits whose values changed; and the profiles that were left alone, being `busy`."""

    changed: dict[int, set[str]]
    busy: Collection[int] = ()


def write_traits(
    updates: Iterable[TraitUpdate], *, resolution: Resolution | None = None, wait: bool = True, now: datetime
) -> Written:
    """Merge traits into their profiles.

    With `wait` off, profiles that somebody else has locked are passed over and their updates with them. The caller
    keeps all of them from being deleted, and has locked those that take others in.
    """
    # 1. The profiles as they are; of merged ones, what each origin said. 2. What absorbed ones bring. 3. What is new.
    pending = list(updates)
    merged = resolution or Resolution()
    ids = {update.profile_id for update in pending} | set(merged.absorbed.values())
    if not ids:
        return Written({})
    held = hold_traits(ids, lock=Lock.WAIT if wait else Lock.SKIP)
    if busy := ids - held.keys():
        pending = [update for update in pending if update.profile_id not in busy]
    policies = read_policies()
    left_out.note(_left_out(pending, policies), now=now)
    for one in held.values():
        one.state.policies = policies
    for absorbed_id, survivor_id in merged.absorbed.items():
        held[survivor_id].take(merged.inherited[absorbed_id])
    fold({id_: one.state for id_, one in held.items()}, pending)
    for update in pending:
        if (parts := held[update.profile_id].parts) is not None:
            part = _part_of(update, parts, now=now)
            part.state.policies = policies
            part.state.apply(update)
    write_held(held, now=now)
    record_news((one.state for one in held.values()), now=now)
    return Written({id_: one.state.changed for id_, one in held.items() if one.state.changed}, busy)


def _left_out(updates: Iterable[TraitUpdate], policies: Mapping[str, Policy]) -> Counter[tuple[int, str]]:
    """By source and trait, the messages that set what only is computed."""
    reserved = {trait for trait, policy in policies.items() if policy.rule is Rule.COMPUTED}
    if not reserved:
        return Counter()
    return Counter((update.source_id, trait) for update in updates for trait in update.traits.keys() & reserved)


def write_computed(values: Mapping[int, Mapping[str, str | None]], *, now: datetime) -> None:
    """Set traits that follow from others, of profiles that the caller has locked: JSON by name, None to take it away.

    Their names are reserved (`survivorship.operations.reserve_trait`). No origin said them, so whoever computes them
    does so again after a merge or an undo.
    """
    stamp = [timestamp_micros(now), COMPUTED_SOURCE, 0]
    ids = sorted(values)
    put: list[str] = []
    stamps: list[str] = []
    gone: list[str] = []
    for id_ in ids:
        kept = {name: value for name, value in values[id_].items() if value is not None}
        put.append("{" + ",".join(f"{dump_json(name)}:{value}" for name, value in kept.items()) + "}")
        stamps.append(dump_json(dict.fromkeys(kept, stamp)))
        gone.append(dump_json([name for name, value in values[id_].items() if value is None]))
    if ids:
        _update(_COMPUTED, [ids, put, stamps, gone, [now] * len(ids)])
        note_profiles(ids)


@dataclass(slots=True)
class Held:
    """A profile whose traits are being written; `parts` only of one that is merged."""

    id: int
    state: TraitState
    created_at: datetime
    parts: Parts | None = None

    def take(self, inherited: Parts) -> None:
        """Become one with the parts of an absorbed profile."""
        if self.parts is None:
            self.parts = parts_of(profile_id=self.id, state=self.state, created_at=self.created_at, stored=None)
        self.parts |= inherited
        for part in inherited.values():
            self.state.absorb(part.state)
        self.state.touched = True


def _part_of(update: TraitUpdate, parts: Parts, *, now: datetime) -> Part:
    origin = update.origin_id or update.profile_id
    return parts.setdefault(origin, Part(TraitState(), now.isoformat()))


class Lock(StrEnum):
    """How to lock profiles; those that somebody else has locked are left out by `SKIP`."""

    NONE = ""
    WAIT = " FOR NO KEY UPDATE"
    SKIP = " FOR NO KEY UPDATE SKIP LOCKED"


def hold_traits(ids: Collection[int], *, lock: Lock = Lock.WAIT) -> dict[int, Held]:
    """What is known of these profiles, locked for writing; empty for those that are gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, traits, provenance, created_at, parts FROM profile WHERE id = ANY(%s) ORDER BY id{lock}",
            [sorted(ids)],
        )
        found = {
            id_: Held(id_, load_state(traits, stamps), created, None if stored is None else load(stored))
            for id_, traits, stamps, created, stored in cursor.fetchall()
        }
    if lock is Lock.SKIP:
        return found
    return {id_: found.get(id_) or Held(id_, TraitState(), _LONG_AGO) for id_ in ids}


def write_held(held: dict[int, Held], *, now: datetime) -> None:
    """Write those whose traits were touched, and those that are merged."""
    plain = [id_ for id_ in sorted(held) if held[id_].state.touched and held[id_].parts is None]
    merged = [id_ for id_ in sorted(held) if held[id_].parts is not None]
    if plain:
        _update(_TRAITS, [plain, *_columns(held, plain), [now] * len(plain)])
    if merged:
        parts = [dump(held[id_].parts or {}) for id_ in merged]
        _update(_TRAITS_AND_PARTS, [merged, *_columns(held, merged), [now] * len(merged), parts])
    note_profiles([id_ for id_ in sorted(held) if held[id_].state.changed])


def _columns(held: dict[int, Held], ids: Iterable[int]) -> list[list[str]]:
    states = [held[id_].state for id_ in ids]
    return [[state.dump_traits() for state in states], [state.dump_provenance() for state in states]]


def _update(statement: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_TRAITS = (
    "UPDATE profile p SET traits = u.traits, provenance = u.provenance, updated_at = u.now"
    " FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[], %s::timestamptz[])"
    " AS u(id, traits, provenance, now) WHERE p.id = u.id"
)
_COMPUTED = (
    "UPDATE profile p SET traits = (p.traits || u.put) - u.gone, provenance = (p.provenance || u.stamps) - u.gone,"
    " updated_at = u.now FROM (SELECT id, put, stamps, now, ARRAY(SELECT jsonb_array_elements_text(gone)) AS gone"
    " FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[], %s::jsonb[], %s::timestamptz[])"
    " AS w(id, put, stamps, gone, now)) AS u WHERE p.id = u.id"
)
_TRAITS_AND_PARTS = (
    "UPDATE profile p SET traits = u.traits, provenance = u.provenance, updated_at = u.now, parts = u.parts"
    " FROM unnest(%s::bigint[], %s::jsonb[], %s::jsonb[], %s::timestamptz[], %s::jsonb[])"
    " AS u(id, traits, provenance, now, parts) WHERE p.id = u.id"
)
