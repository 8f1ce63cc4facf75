"""A chunk of the inbox, step by step: its messages to events, traits and notes of what changed."""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import consent.queries
import identity.accounts.operations
import identity.candidates.queue
import identity.consents.operations
import identity.kinds.conflicts
import identity.kinds.stage
import identity.operations
import ingestion.ledger
import ingestion.quality.observe
from consent.subjects import subject_hash
from identity import last_seen
from identity.accounts.contracts import Belonging
from identity.contracts import Combination, Identifier, Resolution, Sighting
from identity.traits import TraitUpdate
from ingestion import deferred, event_log, inbox, messages, treatment
from ingestion.contracts import InboxRow, Incoming, Rejected, SourceTerms
from ingestion.enrich.operations import enrich
from ingestion.live import feed as live
from ingestion.plans import violations
from ingestion.quarantine import keep
from ingestion.quarantine.refuse import refuse_batches
from ingestion.sessions import operations as sessions
from ingestion.trace.drops import note_drops
from segments.changes import ANY_TRAIT, ProfileChange, note_account_changes, note_changes
from segments.regrouped import note_groups

NOTHING: frozenset[Any] = frozenset()
EVERY_TRAIT = frozenset({ANY_TRAIT})
CONTACTS = frozenset({"email", "phone"})

Outcome = ingestion.ledger.Outcome
Owned = tuple[Incoming, int]
"""A message and its profile."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one chunk of the inbox became."""

    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    quarantined: int = 0
    to_match: int = field(default=0, compare=False)
    """Profiles that may look like others now."""

    def __add__(self, other: "Drained") -> "Drained":
        return Drained(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


class Opened(NamedTuple):
    """Messages, those that cannot be read, and those whose events are stored and whose traits were put off."""

    decoded: list[Incoming]
    rejected: list[Rejected]
    again: list[Incoming]


def open_rows(rows: Iterable[InboxRow], sources: Mapping[int, SourceTerms]) -> Opened:
    """The messages of all rows; those of a source that is gone are dropped with it."""
    decoded: list[Incoming] = []
    rejected: list[Rejected] = []
    again: list[Incoming] = []
    for row in rows:
        terms = sources.get(row.source_id)
        if terms is None:
            continue
        if row.kind == deferred.KIND:
            taken = deferred.take_up(row)
            if type(taken) is Incoming:
                again.append(taken)
            elif type(taken) is Rejected:
                rejected.append(taken)
            continue
        items = messages.decode_row(row, allow_future=terms.settings.clock.allow_future)
        found = [item for item in items if type(item) is Incoming]
        decoded += found
        if len(found) < len(items):
            rejected += [item for item in items if type(item) is Rejected]
    return Opened(decoded, rejected, again)


def store(rows: Sequence[InboxRow], opened: Opened, sources: Mapping[int, SourceTerms], *, now: datetime) -> Drained:
    """All that follows from the messages of these rows, in the caller's transaction.

    Raises:
        UnpreparedError: roll back, `event_log.prepare`, and try again.
        RepeatedError: roll back, and try again.
    """
    decoded, rejected, again = opened
    admitted, refused = _ask_consent(decoded, sources, now=now)
    treated = treatment.treat(admitted, sources)
    spelt = identity.kinds.stage.spell(treated.kept)
    admitted, rejected = refuse_batches(spelt.kept, [*rejected, *treated.rejected, *spelt.rejected], sources)
    enrich(admitted, sources)
    visits = sessions.find_visits(admitted, sources)
    event_log.require_prepared([*admitted, *sessions.heralds(visits)])
    fresh = event_log.keep_unseen(admitted, now=now)
    if len(fresh) < len(admitted):
        visits = sessions.only_of(fresh, visits)
    again = identity.kinds.stage.spell(again).kept
    resolution = _resolve(admitted, visits, again, now=now)
    admitted_with = list(zip(admitted, resolution.ids, strict=False))  # the ids of those told again come after them
    owned = admitted_with if len(fresh) == len(admitted) else _only(fresh, admitted_with)
    woven = sessions.weave_in(
        visits, _homes_of(visits, owned), sources, absorbed=resolution.absorbed, origins=resolution.origins
    )
    event_log.append([*owned, *woven.started], origins=_origins(fresh, resolution) | woven.origins)
    telling = [pair for pair in owned if pair[0].traits]
    telling += zip(again, resolution.ids[len(admitted) :], strict=True)
    changed_traits = _write_traits(telling, resolution, sources, now=now)
    identity.consents.operations.note_resolved(resolution)
    last_seen.note(owned, created=resolution.created, now=now)
    accounts = identity.accounts.operations.note_belongings(_belongings(owned, resolution, sources), now=now)
    note_account_changes(accounts.traits)
    note_changes(
        changes_of([*owned, *woven.started], resolution, changed_traits, others=woven.changed, joined=accounts.joined)
    )
    note_groups((absorbed, survivor) for absorbed, survivor in resolution.absorbed.items())
    to_match = _to_match(admitted_with, resolution, changed_traits)
    identity.candidates.queue.note_changed(to_match)
    inbox.remove([row.id for row in rows])
    # From here on rows are counted up that every worker counts up: whoever comes second waits until this one commits.
    keep.keep(rejected, now=now)
    violations.record(fresh, rejected, now=now)
    identity.kinds.conflicts.record({**spelt.refused, **resolution.conflicts}, now=now)
    repeated = _without(fresh, admitted) if len(fresh) < len(admitted) else []
    ingestion.ledger.add_counts(
        ingestion.ledger.tally(
            {
                Outcome.STORED: fresh,
                Outcome.DUPLICATE: repeated,
                Outcome.NO_CONSENT: refused,
            },
            rejected,
        )
    )
    ingestion.quality.observe.observe(rows, owned, sources=sources)
    note_drops(refused=refused, duplicates=repeated, sources=sources)
    live.show_after_commit(stored=owned, duplicates=repeated, refused=refused, rejected=rejected)
    return Drained(len(rows), len(fresh), len(repeated), len(refused), len(rejected), len(to_match))


def _ask_consent(
    events: list[Incoming], sources: Mapping[int, SourceTerms], *, now: datetime
) -> tuple[list[Incoming], list[Incoming]]:
    """Part the messages of people who do not allow the purpose that their source collects for."""
    purposes = {id_: terms.purpose_id for id_, terms in sources.items() if terms.purpose_id is not None}
    if not purposes:
        return events, []
    refused: set[tuple[int, tuple[Identifier, ...]]] = set()
    for purpose_id in set(purposes.values()):
        people = {event.identifiers for event in events if purposes.get(event.source_id) == purpose_id}
        hashed = {person: [subject_hash(*identifier) for identifier in person] for person in people}
        decisions = consent.queries.decide_many(people=hashed, purpose_id=purpose_id, now=now)
        refused |= {(purpose_id, person) for person, decision in decisions.items() if not decision.allowed}
    admitted: list[Incoming] = []
    dropped: list[Incoming] = []
    for event in events:
        (dropped if (purposes.get(event.source_id), event.identifiers) in refused else admitted).append(event)
    return admitted, dropped


def _resolve(
    admitted: Sequence[Incoming], visits: sessions.Visits, again: Sequence[Incoming], *, now: datetime
) -> Resolution:
    """Whose sessions are written is locked for it at once, so that one worker at a time does.

    So are those whose traits had been put off: they are not put off again.
    """
    events = [*admitted, *again] if again else admitted

    def sightings_of(places: Sequence[int]) -> list[Sighting]:
        seen = (events[place] for place in places)
        return [Sighting(event.identifiers, event.source_id, event.message_id, event.ts) for event in seen]

    return identity.operations.resolve_identities(
        [event.person for event in events],
        sightings_of=sightings_of,
        writing=[*_places_of(visits, admitted), *range(len(admitted), len(events))],
        now=now,
    )


def _places_of(visits: sessions.Visits, events: Sequence[Incoming]) -> list[int]:
    if not visits:
        return []
    visiting = {id(event) for event, _ in visits}
    return [place for place, event in enumerate(events) if id(event) in visiting]


def _homes_of(visits: sessions.Visits, owned: Iterable[Owned]) -> dict[Combination, int]:
    """Whom sessions ask for."""
    return {event.identifiers: profile_id for event, profile_id in owned} if visits else {}


def _only(events: Iterable[Incoming], owned: Iterable[Owned]) -> list[Owned]:
    kept = {id(event) for event in events}
    return [pair for pair in owned if id(pair[0]) in kept]


def _origins(events: Iterable[Incoming], resolution: Resolution) -> dict[bytes, int]:
    """The origins of those events whose origin is not their profile itself: of people that were merged."""
    origins = resolution.origins
    return (
        {event.id: origins[event.identifiers] for event in events if event.identifiers in origins} if origins else {}
    )


def _write_traits(
    telling: Sequence[Owned], resolution: Resolution, sources: Mapping[int, SourceTerms], *, now: datetime
) -> dict[int, set[str]]:
    """As far as nobody else is writing to the same people; returns the names of those that changed, by profile.

    Of new messages only: a repetition, whose time may be corrected differently, says nothing newer.
    """
    written = identity.operations.write_traits(
        _trait_updates(telling, resolution, sources), resolution=resolution, wait=False, now=now
    )
    if written.busy:
        deferred.put_off(event for event, profile_id in telling if profile_id in written.busy)
    return written.changed


def _trait_updates(
    telling: Iterable[Owned], resolution: Resolution, sources: Mapping[int, SourceTerms]
) -> list[TraitUpdate]:
    return [
        TraitUpdate(
            profile_id,
            event.ts,
            event.source_id,
            sources[event.source_id].priority,
            event.traits or {},
            event.id,
            resolution.origins.get(event.identifiers),
        )
        for event, profile_id in telling
    ]


def _belongings(owned: Iterable[Owned], resolution: Resolution, sources: Mapping[int, SourceTerms]) -> list[Belonging]:
    """Which messages name an account; those of type group say what it is like."""
    return [
        Belonging(
            event.group,
            profile_id,
            event.ts,
            event.source_id,
            sources[event.source_id].priority,
            messages.decode_object(event.properties) if event.type == "group" else None,
            resolution.origins.get(event.identifiers),
        )
        for event, profile_id in owned
        if event.group is not None
    ]


def changes_of(
    owned: Iterable[Owned],
    resolution: Resolution,
    changed_traits: dict[int, set[str]],
    *,
    others: Iterable[tuple[int, int]] = (),
    joined: Collection[int] = NOTHING,
) -> list[ProfileChange]:
    """`others` are profiles with the id of an event name that changed otherwise than by new events.

    `joined` have come to belong to an account. What merged is noted by `note_groups`.
    """
    names: dict[int, frozenset[int]] = {}
    for profile_id, name_id in chain(others, event_log.names_of(owned)):
        known = names.get(profile_id, NOTHING)
        if name_id not in known:
            names[profile_id] = _with(known, name_id)
    return [
        ProfileChange(
            profile_id,
            names.get(profile_id, NOTHING),
            frozenset(changed_traits.get(profile_id, NOTHING)),
            merged=False,
            created=profile_id in resolution.created,
            accounts=EVERY_TRAIT if profile_id in joined else NOTHING,
        )
        for profile_id in sorted(names.keys() | changed_traits.keys() | resolution.created | set(joined))
    ]


@functools.lru_cache(maxsize=4_096)
def _with(names: frozenset[int], name_id: int) -> frozenset[int]:
    """The same few sets come again and again: they are built once."""
    return names | {name_id}


def _to_match(owned: Iterable[Owned], resolution: Resolution, changed_traits: dict[int, set[str]]) -> set[int]:
    """Who may now look like somebody else: visitors of whom nothing is known do not."""
    changed = {*changed_traits, *resolution.absorbed, *resolution.absorbed.values()}
    created = resolution.created
    if not created:
        return changed
    return changed | {
        profile_id
        for event, profile_id in owned
        if profile_id in created and any(kind in CONTACTS for kind, _ in event.identifiers)
    }


def _without(stored: Iterable[Incoming], events: Iterable[Incoming]) -> list[Incoming]:
    """The repetitions: every message but the first of each that was stored."""
    waiting = {event.id for event in stored}
    repeated = []
    for event in events:
        if event.id in waiting:
            waiting.discard(event.id)
        else:
            repeated.append(event)
    return repeated
