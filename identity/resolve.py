"""Resolve a chunk's identifiers to profiles, set-wise: a fixed number of queries for any number of messages.

Several workers may do this at once. Whoever inserts an identifier first owns it: the other sees fewer rows come
back than it sent, and starts over (`ContendedError`). Profiles that are only written to are share-locked, those
that may gain identifiers are locked for update, all in id order; a merge deletes the absorbed row and so waits
for everybody who still writes to it.
"""

import struct
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from django.db import connection

from cdp.kernel.copy import copy_rows
from identity.cluster import Clusters
from identity.contracts import Conflict, Identifier, Resolution, Sighting
from identity.merge import absorb
from ingestion.messages import storable_text


class ContendedError(Exception):
    """Another worker linked or merged the same people meanwhile: roll back to the savepoint and resolve again."""


def resolve(
    sightings: Sequence[Sighting], *, writing_traits: Collection[tuple[Identifier, ...]] = (), now: datetime
) -> Resolution:
    """The profile of every combination of identifiers; creates, links and merges profiles as needed.

    `writing_traits` are the combinations whose profiles will be updated: they are locked for that at once.

    Raises:
        ContendedError: when the caller should roll back and try again.
    """
    # 1. One sighting per combination, the earliest. 2. Where known identifiers lead. 3. Combinations that are
    # settled need no more than a lock; 4. the others are clustered. 5. What came out is written.
    combinations = _earliest(sightings)
    homes = _look_up({identifier for combination in combinations for identifier in combination})
    settled = {c: homes[c[0]] for c in combinations if _is_settled(c, homes)}
    open_sightings = [sighting for combination, sighting in combinations.items() if combination not in settled]
    open_sightings.sort(key=_age)
    involved = {homes[i] for sighting in open_sightings for i in sighting.identifiers if i in homes}
    updated = involved | {settled[c] for c in writing_traits if c in settled}
    _lock(updated, strength="NO KEY UPDATE")
    _lock(set(settled.values()) - updated, strength="KEY SHARE")
    if not open_sightings:
        return Resolution(profiles=settled)
    clusters = Clusters(homes=homes, holdings=_holdings(involved))
    nodes = {sighting.identifiers: clusters.add(sighting) for sighting in open_sightings}
    return _write(clusters, nodes, settled, now=now)


def _write(
    clusters: Clusters,
    nodes: dict[tuple[Identifier, ...], int],
    settled: dict[tuple[Identifier, ...], int],
    *,
    now: datetime,
) -> Resolution:
    roots = {clusters.root(node) for node in nodes.values()} | {clusters.root(node) for _, node, _ in clusters.linked}
    created = _create_profiles(sorted((root for root in roots if root < 0), reverse=True), now=now)

    def profile_of(node: int) -> int:
        root = clusters.root(node)
        return created.get(root, root)

    absorbed = {node: profile_of(node) for node in clusters.merged() if node > 0}
    _insert_identifiers([(identifier, profile_of(node), sighting) for identifier, node, sighting in clusters.linked])
    inherited = absorb(absorbed, now=now) if absorbed else {}
    _record_conflicts([(conflict, profile_of(conflict.node)) for conflict in clusters.conflicts], now=now)
    profiles = {c: absorbed.get(profile, profile) for c, profile in settled.items()}
    profiles |= {c: profile_of(node) for c, node in nodes.items()}
    return Resolution(profiles=profiles, absorbed=absorbed, inherited=inherited, created=frozenset(created.values()))


def _earliest(sightings: Iterable[Sighting]) -> dict[tuple[Identifier, ...], Sighting]:
    found: dict[tuple[Identifier, ...], Sighting] = {}
    for sighting in sightings:
        known = found.get(sighting.identifiers)
        if known is None or _age(sighting) < _age(known):
            found[sighting.identifiers] = sighting
    return found


def _age(sighting: Sighting) -> tuple[int, str]:
    return sighting.at, sighting.message_id


def _is_settled(combination: tuple[Identifier, ...], homes: dict[Identifier, int]) -> bool:
    first = homes.get(combination[0])
    return first is not None and all(homes.get(identifier) == first for identifier in combination)


def _look_up(identifiers: Collection[Identifier]) -> dict[Identifier, int]:
    """One text goes out and one comes back: rows of Python objects would cost more than the search."""
    asked = list(identifiers)
    if not asked:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(u.place || ' ' || i.profile_id, ' ')"
            f" FROM unnest({_TEXTS}, {_TEXTS}) WITH ORDINALITY AS u(kind, value, place)"
            " JOIN identifier i ON i.kind = u.kind AND i.value = u.value",
            [_texts(kind for kind, _ in asked), _texts(value for _, value in asked)],
        )
        numbers = [int(number) for number in (cursor.fetchone()[0] or "").split()]
    return {asked[place - 1]: id_ for place, id_ in zip(numbers[::2], numbers[1::2], strict=True)}


def _lock(ids: Collection[int], *, strength: str) -> None:
    """Lock profiles in id order. One that is gone was absorbed a moment ago."""
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM"
            f" (SELECT FROM profile WHERE id = ANY(%s::bigint[]) ORDER BY id FOR {strength}) AS locked",
            [_array(ids)],
        )
        if cursor.fetchone()[0] < len(ids):
            raise ContendedError


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
    return dict(zip(nodes, ids, strict=True))


def _insert_identifiers(links: list[tuple[Identifier, int, Sighting]]) -> None:
    if not links:
        return
    links = sorted(links, key=lambda link: link[0])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identifier (kind, value, profile_id)"
            f" SELECT * FROM unnest({_TEXTS}, {_TEXTS}, %s::bigint[]) ON CONFLICT DO NOTHING",
            [
                _texts(kind for (kind, _), _, _ in links),
                _texts(value for (_, value), _, _ in links),
                "{" + ",".join(str(profile_id) for _, profile_id, _ in links) + "}",
            ],
        )
        if cursor.rowcount < len(links):
            raise ContendedError
    rows = bytearray()
    for (kind, value), profile_id, sighting in sorted(links, key=lambda link: (link[1], link[0])):
        kind_bytes, value_bytes = kind.encode(), value.encode()
        rows += struct.pack(">hiqi", 5, 8, profile_id, len(kind_bytes)) + kind_bytes
        rows += struct.pack(">i", len(value_bytes)) + value_bytes
        rows += struct.pack(">iqiq", 8, sighting.at, 8, sighting.source_id)
    copy_rows(
        table="profile_identifier", columns=("profile_id", "kind", "value", "first_seen_at", "source_id"), rows=rows
    )


def _record_conflicts(conflicts: list[tuple[Conflict, int]], *, now: datetime) -> None:
    if not conflicts:
        return
    rows = [
        (now, c.sighting.source_id, storable_text(c.sighting.message_id), profile_id, *c.identifier, c.reason)
        for c, profile_id in conflicts
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identity_conflict (at, source_id, message_id, profile_id, kind, value, reason)"
            " SELECT * FROM unnest(%s::timestamptz[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[],"
            " %s::text[])",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _array(items: Iterable[int]) -> str:
    return "{" + ",".join(map(str, sorted(items))) + "}"


_TEXTS = "string_to_array(%s, E'\\x1f')"


def _texts(items: Iterable[str]) -> str:
    """An array of texts as one text, for `_TEXTS`: no identifier holds a control character."""
    return "\x1f".join(items)
