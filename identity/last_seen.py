"""When identifiers were last seen, written at most once a day for each.

Every process remembers, on the `Person`, until when a message says nothing newer: who comes all day costs a
comparison. The first meeting of a day is one row of one UPDATE for the whole chunk, which leaves alone what another
process has written on that day, or holds just now.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from django.db import connection, transaction

from cdp.kernel.copy import timestamp_micros
from ingestion.contracts import Person

DAY = 86_400_000_000  # microseconds


class Seen(Protocol):
    """A message, as far as this matters; `ts` is in microseconds since 2000-01-01 UTC."""

    @property
    def person(self) -> Person: ...
    @property
    def ts(self) -> int: ...


def note(owned: Iterable[tuple[Seen, int]], *, created: Collection[int], now: datetime) -> None:
    """Messages with their profiles, inside the transaction that stores them. What lies in the future counts as now.

    Of people who were `created` by them, the first meeting is written with their identifiers.
    """
    beyond = [(message, profile_id) for message, profile_id in owned if message.ts >= message.person.noted_until]
    if not beyond:
        return
    latest = timestamp_micros(now)
    met: dict[Person, int] = {}
    known: dict[tuple[int, Person], int] = {}
    for message, profile_id in beyond:
        who, at = message.person, min(message.ts, latest)
        if at > met.get(who, who.noted_until - 1):
            met[who] = at
            if profile_id not in created:
                known[profile_id, who] = at
    if known:
        _write(known)
    if met:
        transaction.on_commit(lambda: _remember(met))


def _remember(met: Mapping[Person, int]) -> None:
    for who, at in met.items():
        who.noted_until = at - at % DAY + DAY


def _write(met: Mapping[tuple[int, Person], int]) -> None:
    rows: dict[tuple[int, str, str], int] = {}
    for (profile_id, who), at in met.items():
        for kind, value in who.identifiers:
            key = (profile_id, kind, value)
            if at > rows.get(key, -1):
                rows[key] = at
    with connection.cursor() as cursor:
        cursor.execute(
            _UPDATE,
            [
                "{" + ",".join(str(profile_id) for profile_id, _, _ in rows) + "}",
                "\x1f".join(kind for _, kind, _ in rows),
                "\x1f".join(value for _, _, value in rows),
                "{" + ",".join(map(str, rows.values())) + "}",
            ],
        )


# Locked in the order of keys; what somebody else has locked is written by them, or tomorrow. Each is found by its key:
# left to choose, the planner reads all identifiers that there are, twice.
_UPDATE = """
    SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
    WITH seen AS (
        SELECT u.profile_id, u.kind, u.value, '2000-01-01 00:00Z'::timestamptz + u.at * interval '1 microsecond' AS at
        FROM unnest(%s::bigint[], string_to_array(%s, E'\\x1f'), string_to_array(%s, E'\\x1f'), %s::bigint[])
            AS u(profile_id, kind, value, at)
    ), held AS (
        SELECT p.profile_id, p.kind, p.value, s.at FROM profile_identifier p JOIN seen s
            ON p.profile_id = s.profile_id AND p.kind = s.kind AND p.value = s.value
        WHERE greatest(p.last_seen_at, p.first_seen_at) < date_trunc('day', s.at, 'UTC')
        ORDER BY 1, 2, 3 FOR NO KEY UPDATE OF p SKIP LOCKED
    )
    UPDATE profile_identifier p SET last_seen_at = held.at FROM held
    WHERE p.profile_id = held.profile_id AND p.kind = held.kind AND p.value = held.value;
    SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on
"""
