"""When identifiers were last seen, written at most once a day for each.

Every process remembers on which day it has met a combination of identifiers, so a combination that comes all day costs
a look into a set. The first meeting of a day is one row of one UPDATE for the whole chunk, which leaves alone
what another process has written on that day, or holds just now.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar, Protocol

from django.db import connection, transaction

from cdp.kernel.copy import timestamp_micros
from identity.contracts import Combination, Resolution

DAY = 86_400_000_000  # microseconds
REMEMBERED = 200_000  # combinations; then the process starts over, and asks once more for each

_days: dict[Combination, int] = {}


class _Today:
    """Whom nothing can be written of before tomorrow."""

    number: int = -1
    met: ClassVar[set[Combination]] = set()


class Seen(Protocol):
    """A message, as far as this matters; `ts` is in microseconds since 2000-01-01 UTC."""

    @property
    def identifiers(self) -> Combination: ...
    @property
    def ts(self) -> int: ...


def note(messages: Iterable[Seen], resolution: Resolution, *, now: datetime) -> None:
    """Inside the transaction that stores the messages. What lies in the future counts as now."""
    today, days = timestamp_micros(now), _days
    _begin(today // DAY)
    over = _Today.met
    met: dict[Combination, int] = {}
    for message in [message for message in messages if message.identifiers not in over]:
        who = message.identifiers
        day = days.get(who, -1)
        if message.ts // DAY > day:
            at = min(message.ts, today)
            if at // DAY > day and at > met.get(who, -1):
                met[who] = at
    if met:
        _write(met, resolution)
        transaction.on_commit(lambda: _remember(met))


def forget_all() -> None:
    _days.clear()
    _Today.met.clear()


def _begin(day: int) -> None:
    if day != _Today.number:
        _Today.number = day
        _Today.met = {who for who, known in _days.items() if known >= day}


def _remember(met: Mapping[Combination, int]) -> None:
    if len(_days) > REMEMBERED:
        forget_all()
    days = {who: at // DAY for who, at in met.items()}
    _days.update(days)
    _Today.met.update([who for who, day in days.items() if day >= _Today.number])


def _write(met: Mapping[Combination, int], resolution: Resolution) -> None:
    """Of people who are new, the first meeting is written with their identifiers."""
    profiles, created = resolution.profiles, resolution.created
    rows: dict[tuple[int, str, str], int] = {}
    for combination, at in met.items():
        if (profile_id := profiles[combination]) in created:
            continue
        for kind, value in combination:
            key = (profile_id, kind, value)
            if at > rows.get(key, -1):
                rows[key] = at
    if not rows:
        return
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


# Locked in the order of keys; what somebody else has locked is written by them, or tomorrow.
_UPDATE = """
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
    WHERE p.profile_id = held.profile_id AND p.kind = held.kind AND p.value = held.value
"""
