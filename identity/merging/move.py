"""Move what belongs to profiles from one key to another: all of it when they merge, some origins when they part.

Rows keyed by profile are deleted and inserted, never updated: on a cluster they live elsewhere.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from identity.columns.notes import note_profiles
from identity.parts import Part, Parts, dump, fold_parts, parts_of
from identity.survivorship.policies import read_policies
from identity.traits import Policy, load_state
from ingestion.blocks import notes

_PAIRS = "unnest(%(from)s::bigint[], %(to)s::bigint[]) AS m(absorbed, survivor)"

COUNTED = ("identifiers", "traits", "accounts", "sessions", "events")


@dataclass(frozen=True, slots=True)
class Moved:
    """Of each absorbed profile what its origins said, and how many of what were moved."""

    parts: dict[int, Parts]
    counts: dict[int, dict[str, int]]


def absorb(merges: Mapping[int, int], *, now: datetime) -> Moved:
    """Move all that the absorbed profiles (keys) have to their survivors (values).

    `identity.operations.write_traits` is then to fold what they said into the survivors' traits.
    """
    # 1. Waits for everybody who still writes to the absorbed. 2. What leads to them. 3. What they hold.
    values: dict[str, Any] = {"from": list(merges.keys()), "to": list(merges.values()), "now": now}
    with connection.cursor() as cursor:
        cursor.execute(_REMOVE, values)
        parts = {
            id_: parts_of(profile_id=id_, state=load_state(traits, stamps), created_at=created, stored=stored)
            for id_, traits, stamps, stored, created in cursor.fetchall()
        }
        for statement in (_ALIAS, _RETARGET, _IDENTIFIERS):
            cursor.execute(statement, values)
        counts = {id_: dict.fromkeys(COUNTED, 0) for id_ in merges}
        for what, statement in zip(COUNTED, _HOLDINGS, strict=True):
            cursor.execute(statement, values)
            for id_, count in cursor.fetchall():
                counts[id_][what] = count
    notes.note_merged(merges)
    note_profiles(merges)
    return Moved(parts, counts)


def release(
    *, profile_id: int, restored_id: int, origins: Collection[int], parts: Parts, now: datetime
) -> dict[str, int]:
    """Give some origins of a profile, which the caller has locked, a profile of their own; returns how much moved.

    `parts` are those of the whole profile, and both sides' traits follow from them.
    """
    # 1. The restored profile and what leads to it. 2. What it holds. 3. What is left to the other.
    policies = read_policies()
    given = {origin: part for origin, part in parts.items() if origin in origins}
    values: dict[str, Any] = {"from": profile_id, "to": restored_id, "origins": sorted(origins), "now": now}
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(_RESTORE, values | _columns(restored_id, given, policies) | {"created": _created(given, now)})
        for statement in (_UNALIAS, _REALIAS, _RELEASE_IDENTIFIERS):
            cursor.execute(statement, values)
        for what, statement in zip(COUNTED, _RELEASED, strict=True):
            cursor.execute(statement, values)
            counts[what] = cursor.rowcount
        kept = {origin: part for origin, part in parts.items() if origin not in origins}
        cursor.execute(_LEAVE, values | _columns(profile_id, kept, policies))
    notes.note_parted(profile_id=profile_id, restored_id=restored_id, origins=origins)
    note_profiles([profile_id, restored_id])
    return counts


def _columns(profile_id: int, parts: Mapping[int, Part], policies: Mapping[str, Policy]) -> dict[str, Any]:
    """The columns of a profile that consists of these parts; of a single one, its own, nothing more is kept."""
    state = fold_parts(parts.values(), policies=policies)
    alone = set(parts) <= {profile_id}
    return {
        "traits": state.dump_traits(),
        "provenance": state.dump_provenance(),
        "parts": None if alone else dump(parts),
    }


def _created(parts: Mapping[int, Part], now: datetime) -> str:
    return min((part.created_at for part in parts.values()), default=now.isoformat())


_REMOVE = (
    "DELETE FROM profile WHERE id IN"
    " (SELECT id FROM profile WHERE id = ANY(%(from)s::bigint[]) ORDER BY id FOR UPDATE)"
    " RETURNING id, traits, provenance, parts, created_at"
)
_ALIAS = (
    "INSERT INTO profile_alias (profile_id, canonical_id, merged_at)"
    f" SELECT m.absorbed, m.survivor, %(now)s FROM {_PAIRS} ORDER BY 1"
)
_RETARGET = f"UPDATE profile_alias a SET canonical_id = m.survivor FROM {_PAIRS} WHERE a.canonical_id = m.absorbed"
_IDENTIFIERS = (
    "UPDATE identifier i SET profile_id = m.survivor, origin_id = coalesce(p.origin_id, m.absorbed)"
    f" FROM {_PAIRS} JOIN profile_identifier p ON p.profile_id = m.absorbed"
    " WHERE i.kind = p.kind AND i.value = p.value"
)


def _moving(table: str, columns: str, *, order: str) -> str:
    """Everything of the absorbed in a table, with its origin; returns the numbers of rows."""
    names = columns.split(", ")
    read = ", ".join(f"t.{name}" for name in names)
    return (
        f"WITH moved AS (DELETE FROM {table} t USING {_PAIRS} WHERE t.profile_id = m.absorbed"
        f" RETURNING m.absorbed, m.survivor AS profile_id, coalesce(t.origin_id, m.absorbed) AS origin_id, {read}),"
        f" kept AS (INSERT INTO {table} ({columns}, profile_id, origin_id)"
        f" SELECT {columns}, profile_id, origin_id FROM moved ORDER BY {order})"
        " SELECT absorbed, count(*) FROM moved GROUP BY 1"
    )


def _releasing(table: str, columns: str, *, order: str, origin: str = "nullif(t.origin_id, %(to)s)") -> str:
    names = columns.split(", ")
    read = ", ".join(f"t.{name}" for name in names)
    return (
        f"WITH moved AS (DELETE FROM {table} t WHERE t.profile_id = %(from)s AND t.origin_id = ANY(%(origins)s)"
        f" RETURNING {read}, {origin} AS origin_id)"
        f" INSERT INTO {table} ({columns}, profile_id, origin_id)"
        f" SELECT {columns}, %(to)s, origin_id FROM moved ORDER BY {order}"
    )


_HELD = "kind, value, first_seen_at, last_seen_at, source_id"
_TOLD = "at, event_id, source_id, recorded_at, traits"
_BELONGING = "account_id, first_seen_at, last_seen_at"
_VISIT = "device, first, first_id, last, due, ended, source_id, state"
_LOGGED = "ts, id, name_id, value, properties, context, source_id, received_at"

# Sessions before the events: that waits for whoever is just ending one of the absorbed, and writes an event for it.
_HOLDINGS = (
    _moving("profile_identifier", _HELD, order="profile_id, kind, value"),
    _moving("trait_history", _TOLD, order="profile_id, at, event_id"),
    _moving("account_member", _BELONGING, order="profile_id, account_id, origin_id"),
    _moving("device_session", _VISIT, order="profile_id, device, first, first_id"),
    _moving("event", _LOGGED, order="profile_id, name_id, ts"),
)

_RESTORE = (
    "INSERT INTO profile (id, traits, provenance, parts, created_at, updated_at)"
    " VALUES (%(to)s, %(traits)s, %(provenance)s, %(parts)s, %(created)s, %(now)s)"
)
_LEAVE = (
    "UPDATE profile SET traits = %(traits)s, provenance = %(provenance)s, parts = %(parts)s, updated_at = %(now)s"
    " WHERE id = %(from)s"
)
_UNALIAS = "DELETE FROM profile_alias WHERE profile_id = %(to)s"
_REALIAS = "UPDATE profile_alias SET canonical_id = %(to)s WHERE profile_id = ANY(%(origins)s)"
_RELEASE_IDENTIFIERS = (
    "UPDATE identifier i SET profile_id = %(to)s, origin_id = nullif(p.origin_id, %(to)s) FROM profile_identifier p"
    " WHERE p.profile_id = %(from)s AND p.origin_id = ANY(%(origins)s) AND i.kind = p.kind AND i.value = p.value"
)
_RELEASED = (
    _releasing("profile_identifier", _HELD, order="kind, value"),
    _releasing("trait_history", _TOLD, order="at, event_id"),
    _releasing("account_member", _BELONGING, order="account_id, origin_id", origin="t.origin_id"),
    _releasing("device_session", _VISIT, order="device, first, first_id"),
    _releasing("event", _LOGGED, order="name_id, ts"),
)
