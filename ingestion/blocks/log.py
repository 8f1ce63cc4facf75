"""Events read from the log itself, a day at a time, packed by PostgreSQL so that a row of the answer is a day."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from cdp.kernel.copy import read_rows as copy_out
from ingestion.blocks.contracts import Column, Rows
from ingestion.blocks.paths import keys_of

HOUR = 3_600_000_000  # microseconds
DAY = 24 * HOUR
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
LONG_NUMBER = 4_000  # digits; Python refuses to read much longer ones as an int

Number = TypeVar("Number", np.int64, np.float64)
Stretch = tuple[int, int]
"""From, and before: microseconds since 2000."""


@dataclass(slots=True)
class Values:
    """The dictionary of one property: the code of a JSON value, as PostgreSQL writes it; it only grows."""

    codes: dict[bytes, int] = field(default_factory=lambda: {b"": -1})
    values: list[Any] = field(default_factory=list)

    def encode(self, written: list[bytes]) -> NDArray[np.int32]:
        found = list(map(self.codes.get, written))
        if None in found:
            for text in written:
                if text not in self.codes:
                    self.codes[text] = len(self.values)
                    self.values.append(read_json(text))
            found = list(map(self.codes.get, written))
        return np.array(found, dtype=np.int32)


Dictionaries = Mapping[str, Values]
"""By path."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events, and what of each; see `ingestion.blocks.read.read_rows`."""

    name_id: int
    times: bool
    values: bool
    properties: Dictionaries


def read_json(text: bytes) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < LONG_NUMBER else Decimal(digits)


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


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


_IN_TIME = "event AS e WHERE e.name_id = %(name)s AND e.ts >= %(since)s AND e.ts < %(until)s"
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
