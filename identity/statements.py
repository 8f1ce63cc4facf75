"""What alias messages said: that a previous id, whatever kind it turns out to be, is this user.

A statement may come before the id that it speaks of, and the other way round. So whoever brings in an id that is new
asks for statements about it, and whoever makes a statement looks for the id; a lock that the former share and the
latter have alone keeps two workers from missing each other.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import connection

KINDS = ("user_id", "anonymous_id")
"""The kinds of identifiers that a previous id may be."""

_LOCK = 0x5452_4942_0001  # any number that nobody else locks


def about(ids: Collection[str], *, making: bool) -> dict[str, set[str]]:
    """The users that these new ids are by statement; with `making`, the caller is going to make statements."""
    if not ids and not making:
        return {}
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        # Two statements: the second must see what was committed while the first waited.
        cursor.execute(
            f"SELECT pg_advisory_xact_lock{'' if making else '_shared'}(%s);"
            " SELECT previous, user_id FROM identity_statement"
            " WHERE previous = ANY(string_to_array(%s, E'\\x1f')) ORDER BY 1, 2",
            [_LOCK, "\x1f".join(sorted(ids))],
        )
        for previous, user in cursor.fetchall():
            found.setdefault(previous, set()).add(user)
    return found


def keep(made: Collection[tuple[str, str]], *, now: datetime) -> None:
    """Remember `(previous id, user id)` pairs."""
    if not made:
        return
    rows = sorted(made)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identity_statement (previous, user_id, stated_at)"
            " SELECT u.previous, u.user_id, %s FROM unnest(%s::text[], %s::text[]) AS u(previous, user_id)"
            " ON CONFLICT DO NOTHING",
            [now, [previous for previous, _ in rows], [user for _, user in rows]],
        )
