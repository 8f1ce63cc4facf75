"""The local day, hour and weekday of events, as PostgreSQL tells them, by quarters of an hour.

Clocks have differed from UTC by whole quarters of an hour everywhere since 1972; what is older is left to SQL.
"""

import numpy as np
from numpy.typing import NDArray

from segments.columnar.errors import DeclinedError
from segments.engine import fetch
from segments.sql import Sql, sql

QUARTER = 900_000_000
_AHEAD = 4 * 24 * 32
_FIRST = -982_080  # 1972, in quarters since 2000
_END = 4 * 24 * 365 * 100

DAY, HOUR, WEEKDAY = "day", "hour", "weekday"
_TOLD = {
    DAY: "l.at::date - DATE '2000-01-01'",
    HOUR: "extract(hour FROM l.at)::int",
    WEEKDAY: "extract(isodow FROM l.at)::int",
}


class LocalTime:
    """One of `DAY` (since 2000-01-01), `HOUR` (0 to 23), `WEEKDAY` (1 for Monday) in a zone."""

    def __init__(self, what: str, zone: str) -> None:
        self.what, self.zone = what, zone
        self.first = 0
        self.known = np.empty(0, np.int64)

    def of(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """`times` are microseconds since 2000."""
        quarters = times // QUARTER
        if len(quarters):
            self._learn(int(quarters.min()), int(quarters.max()) + 1)
        return self.known[quarters - self.first]

    def _learn(self, first: int, end: int) -> None:
        if first < _FIRST or end > _END:
            raise DeclinedError
        if not len(self.known):
            self.first, self.known = first, self._ask(first, end + _AHEAD)
        if first < self.first:
            earlier = max(first - _AHEAD, _FIRST)
            self.known = np.concatenate([self._ask(earlier, self.first), self.known])
            self.first = earlier
        known_end = self.first + len(self.known)
        if end > known_end:
            self.known = np.concatenate([self.known, self._ask(known_end, end + _AHEAD)])

    def _ask(self, first: int, end: int) -> NDArray[np.int64]:
        ((told,),) = fetch(
            sql(
                "SELECT array_agg({told} ORDER BY q.number) FROM generate_series({first}::int, {last}::int)"
                " AS q(number) CROSS JOIN LATERAL (SELECT (timestamptz '2000-01-01 00:00Z'"
                " + q.number * interval '15 minutes') AT TIME ZONE {zone} AS at) AS l",
                told=Sql(_TOLD[self.what]),
                first=first,
                last=end - 1,
                zone=self.zone,
            )
        )
        return np.array(told, np.int64)
