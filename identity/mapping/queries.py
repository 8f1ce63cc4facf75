"""Reads of this room: identifiers of one profile, and pages over all of them."""

from typing import Any

from django.db import connection

from identity.kinds import kind_of
from identity.mapping.contracts import IdentifierLine, MappingFilter

COLUMNS = (
    "p.kind, p.value, p.profile_id, p.source_id, p.first_seen_at, p.last_seen_at, coalesce(p.origin_id, p.profile_id)"
)
OF_A_PROFILE = 5_000

Key = tuple[int, str, str]
"""The profile, kind and value of the last line of a page."""


def identifiers_of(*, profile_id: int, limit: int = OF_A_PROFILE) -> list[IdentifierLine]:
    """Of one (leading) profile, those of the deciding kinds first, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM profile_identifier p WHERE p.profile_id = %s LIMIT %s", [profile_id, limit]
        )
        lines = [IdentifierLine(*row) for row in cursor.fetchall()]
    return sorted(lines, key=lambda line: (kind_of(line.kind).priority, line.kind, line.first_seen_at, line.value))


def page(*, narrowed: MappingFilter, after: Key | None, limit: int) -> list[IdentifierLine]:
    """Identifiers in the order of their profiles, behind the last one that was given."""
    where, values = conditions(narrowed)
    if after is not None:
        where += " AND (p.profile_id, p.kind, p.value) > (%(profile)s, %(kind)s, %(value)s)"
        values |= {"profile": after[0], "kind": after[1], "value": after[2]}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM profile_identifier p WHERE {where}"
            " ORDER BY p.profile_id, p.kind, p.value LIMIT %(limit)s",
            values | {"limit": limit},
        )
        return [IdentifierLine(*row) for row in cursor.fetchall()]


def conditions(narrowed: MappingFilter) -> tuple[str, dict[str, Any]]:
    """As SQL over `profile_identifier p`. A line has changed when it was first seen, and when its profile merged."""
    parts = ["true"]
    values: dict[str, Any] = {}
    if narrowed.kinds:
        parts.append("p.kind = ANY(%(kinds)s)")
        values["kinds"] = sorted(narrowed.kinds)
    if narrowed.source_id is not None:
        parts.append("p.source_id = %(source)s")
        values["source"] = narrowed.source_id
    if narrowed.changed_since is not None:
        parts.append(
            "(p.first_seen_at >= %(since)s OR p.profile_id IN"
            " (SELECT a.canonical_id FROM profile_alias a WHERE a.merged_at >= %(since)s))"
        )
        values["since"] = narrowed.changed_since
    return " AND ".join(parts), values
