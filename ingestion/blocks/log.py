"""Events read from the log itself, packed by PostgreSQL so that a row of the answer is a day or an hour of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from cdp.kernel.copy import read_rows as copy_out
from ingestion.blocks.contracts import Column, Rows
from ingestion.blocks.paths import keys_of
from ingestion.blocks.stretches import DAY, HOUR, Stretch, moment
from ingestion.blocks.values import Values

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events, and what of each; `properties` are dictionaries by path."""

    name_id: int
    times: bool
    values: bool
    properties: Mapping[str, Values]


def read_log(asked: Asked, stretch: Stretch) -> Iterator[Rows]:
    """Every event in a stretch of time, by day, or by hour where properties are asked for; empty ones cost nothing."""
    at, until = stretch
    length = HOUR if asked.properties else DAY
    first: int | None = at
    while first is not None:
        end = min((first // length + 1) * length, until)
        rows = _read(asked, _IN_TIME, {"since": moment(first), "until": moment(end)})
        if rows is not None:
            yield rows
        first = end if rows is not None and end < until else _first(asked.name_id, end, until)


def read_profiles(asked: Asked, wanted: Sequence[tuple[int, Stretch]]) -> Rows | None:
    """The events of some profiles, each in a stretch of its own; None where there are none."""
    if not wanted:
        return None
    params = {
        "ids": [profile_id for profile_id, _ in wanted],
        "since": [moment(since) for _, (since, _) in wanted],
        "until": [moment(until) for _, (_, until) in wanted],
    }
    return _read(asked, _OF_PROFILES, params)


def first_event(name_id: int, stretch: Stretch) -> int | None:
    """When the first event of a name happened in a stretch, if any did."""
    return _first(name_id, *stretch)


_IN_TIME = "event AS e WHERE e.name_id = %(name)s AND e.ts >= %(since)s AND e.ts < %(until)s"
# LATERAL, and not a join, so that nothing but a look into the index for each of them comes into question.
_OF_PROFILES = (
    "unnest(%(ids)s::bigint[], %(since)s::timestamptz[], %(until)s::timestamptz[]) AS u(profile_id, since, until)"
    " CROSS JOIN LATERAL (SELECT * FROM event AS o WHERE o.profile_id = u.profile_id AND o.name_id = %(name)s"
    " AND o.ts >= u.since AND o.ts < u.until OFFSET 0) AS e"
)
_FIRST = """
SELECT (extract(epoch FROM min(ts)) * 1000000)::bigint - 946684800000000
FROM event WHERE name_id = %s AND ts >= %s AND ts < %s
"""


def _first(name_id: int, since: int, until: int) -> int | None:
    if since >= until:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, [name_id, moment(since), moment(until)])
        first: int | None = cursor.fetchone()[0]
        return first


def _read(asked: Asked, source: str, params: dict[str, Any]) -> Rows | None:
    """One round trip, and one row: each column's values, in their binary form, one behind the other."""
    columns = ["count(*)", "string_agg(int8send(e.profile_id), '')"]
    if asked.times:
        columns.append("string_agg(timestamptz_send(e.ts), '')")
    if asked.values:
        columns.append("string_agg(float8send(coalesce(e.value, 'NaN')), '')")
    for place, path in enumerate(asked.properties):
        base, keys = keys_of(path)
        steps = "".join(f" -> %({base}{place}_{number})s::text" for number in range(len(keys)))
        params |= {f"{base}{place}_{number}": key for number, key in enumerate(keys)}
        columns.append(f"string_agg(coalesce((e.{base}{steps})::text, ''), E'\\n')")
    query = f"SELECT {', '.join(columns)} FROM {source}"
    ((count, profiles, *rest),) = copy_out(query, params | {"name": asked.name_id})
    if count is None or profiles is None or not any(count):
        return None
    found = iter(rest)
    return Rows(
        profiles=_numbers(profiles, ">i8", np.int64),
        times=_numbers(next(found), ">i8", np.int64) if asked.times else None,
        values=_numbers(next(found), ">f8", np.float64) if asked.values else None,
        columns={
            path: Column(known.encode(bytes(next(found) or b"").split(b"\n")), known.values)
            for path, known in asked.properties.items()
        },
    )


def _numbers(packed: memoryview | None, sent: str, dtype: type[Number]) -> NDArray[Number]:
    return np.frombuffer(packed or b"", dtype=sent).astype(dtype)
