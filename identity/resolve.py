"""Resolve a chunk's identifiers to profiles, set-wise: a fixed number of queries for any number of messages.

Several workers may do this at once. Whoever inserts an identifier first owns it: the other runs into its key and
starts over (`ContendedError`). Profiles that are only written to are share-locked, those that may gain identifiers are
locked for update, all in id order; a merge deletes the absorbed row and so waits for everybody who still writes to it.

The same people come again and again, so each process remembers where settled ones led (`homes`). That is
checked by the lock, which fails for a profile that was merged away or erased, and by the epoch, which has moved where
a profile has lost identifiers and stands.
"""

import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from operator import itemgetter

from django.db import IntegrityError, connection

from cdp.kernel.copy import NULL, copy_rows, timestamp_micros
from identity import homes, statements
from identity.cluster import Clusters, by_priority
from identity.columns.notes import note_profiles
from identity.contracts import (
    Combination,
    Conflict,
    ConflictKey,
    ConflictSample,
    ConflictTallies,
    ConflictTally,
    Identifier,
    Resolution,
    Sighting,
    Tie,
)
from identity.kinds import PREVIOUS
from identity.kinds.rules import OTHERS, current
from identity.merging import constraints, record
from identity.merging.move import absorb
from identity.models import Merge
from identity.parts import Parts
from ingestion.contracts import Person

KINDS_AT_ONCE = 16
"""In one query; senders can name many, and each is a part of the plan."""

SightingsOf = Callable[[Sequence[int]], Iterable[Sighting]]
"""The messages at these places, each of one of the people that are asked for."""


class ContendedError(Exception):
    """Another worker linked or merged the same people meanwhile: roll back to the savepoint and resolve again."""


def resolve(
    people: Sequence[Person],
    *,
    sightings_of: SightingsOf,
    writing: Collection[int] = (),
    now: datetime,
) -> Resolution:
    """The profile of everybody that messages name; creates, links and merges profiles as needed.

    `sightings_of` gives the messages in which people were named; it is asked for those that are not settled.
    `writing` are the places of those whose profiles will be updated in any case: they are locked for that at once.

    Raises:
        ContendedError: when the caller should roll back and try again.
    """
    # 1. What is remembered. 2. Where the other known identifiers lead. 3. Combinations that are settled need no more
    # than a lock; 4. the others are clustered, the earliest sighting first, by what alias messages said too. 5. What
    # came out is written.
    if homes.is_new():
        homes.holds()
    ids, unknown = homes.recall(people)
    others = dict.fromkeys([people[place].identifiers for place in unknown])
    origins = homes.origins_of(people)
    places, known_origins = _look_up(chain.from_iterable(others))
    found, opened = _settled(others, places)
    found_origins = _origins_of(found, known_origins) if known_origins else {}
    for place in unknown:
        ids[place] = found.get(people[place].identifiers, 0)
    origins |= found_origins
    stated = _statements(opened, places)
    involved = {places[identifier] for combination in opened for identifier in combination if identifier in places}
    involved |= set(stated.places.values())
    settled = set(ids) - {0}
    updated = involved | {ids[place] for place in writing if ids[place]}
    if gone := _lock(updated, settled - updated):
        homes.forget(people, gone)
        raise ContendedError
    if not homes.holds():
        raise ContendedError
    for place in unknown:
        if ids[place]:
            homes.remember(people[place], home=ids[place], origin=origins.get(people[place].identifiers, 0))
    if not opened:
        return Resolution(ids=ids, origins=origins)
    seen = list(sightings_of([place for place in unknown if not ids[place]]))
    clusters, nodes = _cluster(seen, involved, places=places, origins=known_origins, stated=stated)
    statements.keep(stated.made, now=now)
    resolution, leading = _write(clusters, nodes, seen, now=now)
    if resolution.absorbed:
        _follow(ids, resolution.absorbed, people, origins)
    for place in unknown:
        ids[place] = ids[place] or leading[people[place].identifiers]
    resolution.ids = ids
    resolution.origins = origins | resolution.origins
    return resolution


@dataclass(frozen=True, slots=True)
class _Stated:
    """What alias messages say of the ids at hand: earlier ones (`known`), and those among them (`made`).

    `places` says where the ids that they speak of lead, `origins` of which origin they are if of another.
    """

    known: dict[str, set[str]]
    made: set[tuple[str, str]]
    places: dict[Identifier, int]
    origins: dict[Identifier, int]


def _cluster(
    seen: Iterable[Sighting],
    involved: Collection[int],
    *,
    places: dict[Identifier, int],
    origins: dict[Identifier, int],
    stated: _Stated,
) -> tuple[Clusters, dict[Combination, int]]:
    """What comes together, the earliest sighting first, and the node of each combination."""
    sightings = sorted(_earliest(seen).values(), key=_age)
    holdings, times = _holdings(involved), _times(involved)

    def cluster(never: Collection[tuple[int, int]]) -> tuple[Clusters, dict[Combination, int]]:
        clusters = Clusters(
            homes=places | stated.places,
            holdings=holdings,
            statements=stated.known,
            times=times,
            origins=origins | stated.origins,
            never=never,
        )
        return clusters, {sighting.identifiers: clusters.add(sighting) for sighting in sightings}

    clusters, nodes = cluster(())
    if clusters.ties and (never := constraints.never_among(involved)):
        clusters, nodes = cluster(never)  # seldom: only who would merge asks whether a person has forbidden it
    return clusters, nodes


def _follow(
    ids: list[int],
    absorbed: Mapping[int, int],
    people: Sequence[Person],
    origins: dict[Combination, int],
) -> None:
    """Lead those of absorbed profiles to the survivors. Their origin is the absorbed one, if no earlier one."""
    for place, id_ in enumerate(ids):
        if id_ in absorbed:
            ids[place] = absorbed[id_]
            origins.setdefault(people[place].identifiers, id_)


def _statements(combinations: Collection[Combination], places: dict[Identifier, int]) -> _Stated:
    """Only an id that is new here can have been spoken of before it came."""
    named = {identifier for combination in combinations for identifier in combination}
    made = {
        (value, combination[0][1]) for combination in combinations for kind, value in combination if kind == PREVIOUS
    }
    new = {value for kind, value in named if kind in statements.KINDS and (kind, value) not in places}
    known = statements.about(new, making=bool(made))
    subjects = {(kind, previous) for previous, _ in made for kind in statements.KINDS}
    spoken_of = subjects | {("user_id", user) for users in known.values() for user in users}
    leading, origins = _look_up(spoken_of - places.keys())
    leading |= {one: places[one] for one in spoken_of & places.keys()}
    return _Stated(known=known, made=made, places=leading, origins=origins)


def _write(
    clusters: Clusters, nodes: dict[Combination, int], seen: Iterable[Sighting], *, now: datetime
) -> tuple[Resolution, dict[Combination, int]]:
    """What changed, with the origins of these combinations; and the profiles that these lead to."""
    ends = {node: clusters.root(node) for node in {*nodes.values(), *(node for _, node, _ in clusters.linked)}}
    created = _create_profiles(sorted({root for root in ends.values() if root < 0}, reverse=True), now=now)
    leading = {node: created.get(root, root) for node, root in ends.items()}
    alone = clusters.apart()

    def profile_of(node: int) -> int:
        root = clusters.root(node)
        return created.get(root, root)

    def origin_of(identifier: Identifier, node: int) -> int:
        if node in alone:
            return leading[node]
        origin = clusters.origin(identifier)
        return created.get(origin, origin)

    absorbed = {node: profile_of(node) for node in clusters.merged() if node > 0}
    _insert_identifiers(
        [
            (identifier, leading[node], origin_of(identifier, node), sighting)
            for identifier, node, sighting in clusters.linked
        ]
    )
    inherited = _merge(clusters.ties, absorbed, now=now) if absorbed else {}
    profiles: dict[Combination, int] = {}
    origins: dict[Combination, int] = {}
    for combination, node in nodes.items():
        profiles[combination] = profile_id = leading[node]
        if node not in alone and (origin := origin_of(by_priority(combination)[0], node)) != profile_id:
            origins[combination] = origin
    resolution = Resolution(
        origins=origins,
        absorbed=absorbed,
        inherited=inherited,
        created=frozenset(created.values()),
        linked=frozenset([leading[node] for _, node, _ in clusters.linked]),
        conflicts=_tally(clusters.conflicts, seen, profile_of=profile_of),
    )
    return resolution, profiles


def _merge(ties: Collection[Tie], absorbed: dict[int, int], *, now: datetime) -> dict[int, Parts]:
    moved = absorb(absorbed, now=now)
    record.keep(
        [
            record.Made(
                survivor_id=tie.survivor,
                absorbed_id=tie.absorbed,
                one_origin=tie.one_origin,
                other_origin=tie.other_origin,
                cause=Merge.Cause.ALIAS if tie.stated else Merge.Cause.IDENTIFIER,
                evidence=record.met_in_message(tie),
                moved=moved.counts[tie.absorbed],
            )
            for tie in ties
        ],
        now=now,
    )
    return moved.parts


def _origins_of(found: Collection[Combination], origins: Mapping[Identifier, int]) -> dict[Combination, int]:
    """Of settled combinations, the origins that are not the profile itself: those of the identifiers that decide."""
    deciding = {c: by_priority(c)[0] for c in found if any(identifier in origins for identifier in c)}
    return {c: origins[first] for c, first in deciding.items() if first in origins}


def _earliest(sightings: Iterable[Sighting]) -> dict[Combination, Sighting]:
    found: dict[Combination, Sighting] = {}
    for sighting in sightings:
        known = found.get(sighting.identifiers)
        if known is None or _age(sighting) < _age(known):
            found[sighting.identifiers] = sighting
    return found


def _age(sighting: Sighting) -> tuple[int, str]:
    return sighting.at, sighting.message_id


def _settled(
    combinations: Iterable[Combination], places: Mapping[Identifier, int]
) -> tuple[dict[Combination, int], list[Combination]]:
    """Those of which every identifier leads to the same profile, with that; and the others."""
    found: dict[Combination, int] = {}
    opened: list[Combination] = []
    for combination in combinations:
        homes_of = {places.get(identifier, 0) for identifier in combination}
        if len(homes_of) == 1 and (home := homes_of.pop()):
            found[combination] = home
        else:
            opened.append(combination)
    return found, opened


def _look_up(identifiers: Iterable[Identifier]) -> tuple[dict[Identifier, int], dict[Identifier, int]]:
    """Where they lead, and the origins that are another profile."""
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for kind, value in identifiers:
        by_kind[kind].append(value)
    kinds = sorted(by_kind)
    rows: list[tuple[str, str, int, int | None]] = []
    for start in range(0, len(kinds), KINDS_AT_ONCE):
        rows += _look_up_kinds({kind: by_kind[kind] for kind in kinds[start : start + KINDS_AT_ONCE]})
    leading = {(kind, value): profile_id for kind, value, profile_id, _ in rows}
    return leading, {(kind, value): origin for kind, value, _, origin in rows if origin is not None}


def _look_up_kinds(asked: Mapping[str, Collection[str]]) -> list[tuple[str, str, int, int | None]]:
    """One walk through the index for each kind. A join with what is asked would be left to hash the whole table."""
    one = f"SELECT kind, value, profile_id, origin_id FROM identifier WHERE kind = %s AND value = ANY({_TEXTS})"
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join([one] * len(asked)),
            [text for kind, values in asked.items() for text in (kind, _texts(values))],
        )
        rows: list[tuple[str, str, int, int | None]] = cursor.fetchall()
    return rows


def _lock(updated: Collection[int], written_to: Collection[int]) -> set[int]:
    """Lock profiles in id order, first those that may gain something themselves, in one way there and back.

    Returns those that are gone: absorbed a moment ago, or since they were remembered.
    """
    if not updated and not written_to:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [_array(updated), _array(written_to)])
        if cursor.fetchone()[0] == len(updated) + len(written_to):
            return set()
        ids = {*updated, *written_to}
        cursor.execute("SELECT id FROM profile WHERE id = ANY(%s::bigint[])", [_array(ids)])
        return ids - {id_ for (id_,) in cursor.fetchall()}


def _locked(strength: str) -> str:
    return (
        "(SELECT count(*) FROM"
        f" (SELECT FROM profile WHERE id = ANY(%s::bigint[]) ORDER BY id FOR {strength}) AS locked)"
    )


_LOCK = f"SELECT {_locked('NO KEY UPDATE')} + {_locked('KEY SHARE')}"


def _holdings(ids: Collection[int]) -> dict[int, list[Identifier]]:
    found: dict[int, list[Identifier]] = {id_: [] for id_ in ids}
    if ids:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT profile_id, kind, value FROM profile_identifier WHERE profile_id = ANY(%s::bigint[])",
                [_array(ids)],
            )
            for profile_id, kind, value in cursor.fetchall():
                found[profile_id].append((kind, value))
    return found


def _times(ids: Collection[int]) -> dict[Identifier, int]:
    """When the identifiers were first seen whose kind has a limit by period. Asked only where one has."""
    timed = current().timed
    if not ids or not timed:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, value, first_seen_at FROM profile_identifier WHERE profile_id = ANY(%s::bigint[])"
            " AND (kind = ANY(%s) OR (%s AND NOT kind = ANY(%s)))",
            [_array(ids), sorted(timed), OTHERS in timed, sorted(current().settings)],
        )
        return {(kind, value): timestamp_micros(at) for kind, value, at in cursor.fetchall()}


def _create_profiles(nodes: Sequence[int], *, now: datetime) -> dict[int, int]:
    """New profiles for provisional nodes, ids in the order in which the nodes came up."""
    if not nodes:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profile (traits, provenance, created_at, updated_at)"
            " SELECT '{}', '{}', %s, %s FROM generate_series(1, %s) RETURNING id",
            [now, now, len(nodes)],
        )
        ids = sorted(id_ for (id_,) in cursor.fetchall())
    note_profiles(ids)
    return dict(zip(nodes, ids, strict=True))


def _insert_identifiers(links: list[tuple[Identifier, int, int, Sighting]]) -> None:
    """From both sides. Nobody led anywhere a moment ago: a key that is taken now was taken by another worker."""
    if not links:
        return
    ways: list[bytes] = []
    held: list[tuple[int, bytes, bytes]] = []
    kinds = {kind: _text(kind) for kind in {link[0][0] for link in links}}
    for (kind, value), profile_id, origin, sighting in sorted(links, key=_first):
        name, owner = kinds[kind] + _text(value), NULL if origin == profile_id else _ID(8, origin)
        ways += (_FOUR, name, _ID(8, profile_id), owner)
        held.append((profile_id, name, _SEEN(8, sighting.at, 8, sighting.source_id) + owner))
    try:
        copy_rows(table="identifier", columns=("kind", "value", "profile_id", "origin_id"), rows=b"".join(ways))
    except IntegrityError:
        raise ContendedError from None
    copy_rows(
        table="profile_identifier",
        columns=("profile_id", "kind", "value", "first_seen_at", "source_id", "origin_id"),
        rows=b"".join([_SIX(6, 8, profile_id) + name + rest for profile_id, name, rest in sorted(held)]),
    )


_first = itemgetter(0)
_FOUR = struct.pack(">h", 4)
_SIX = struct.Struct(">hiq").pack
_ID = struct.Struct(">iq").pack
_SEEN = struct.Struct(">iqiq").pack


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(4, "big") + data


def _tally(
    found: Collection[Conflict], seen: Iterable[Sighting], *, profile_of: Callable[[int], int]
) -> ConflictTallies:
    """Every message counts in which it happened, though the combination was judged once."""
    if not found:
        return {}
    messages = Counter(sighting.identifiers for sighting in seen)
    tallies: defaultdict[ConflictKey, ConflictTally] = defaultdict(ConflictTally)
    for one in found:
        shared = one.shared or one.identifier
        tallies[*shared, one.reason, one.limit_of].add(
            messages=messages[one.sighting.identifiers],
            met=one.met or one.identifier,
            sample=ConflictSample(
                one.sighting.source_id,
                one.sighting.message_id,
                one.identifier,
                profile_of(one.node),
                None if one.other is None else profile_of(one.other),
            ),
        )
    return tallies


def _array(items: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(items))) + "}"


_TEXTS = "string_to_array(%s, E'\\x1f')"


def _texts(items: Iterable[str]) -> str:
    """An array of texts as one text, for `_TEXTS`: no identifier holds a control character."""
    return "\x1f".join(items)
