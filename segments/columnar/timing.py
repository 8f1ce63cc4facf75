"""When a measured condition can next change by time alone: what `segments.compile` writes as SQL, over arrays."""

import numpy as np
from numpy.typing import NDArray

from cdp.kernel.copy import timestamp_micros
from segments.ast import Op
from segments.ast.times import MICROSECOND
from segments.columnar.people import Flags, Places
from segments.compile import FALLING
from segments.plan import Clock, Measured

NEVER = np.iinfo(np.int64).max
Moments = NDArray[np.int64]
"""Microseconds since 2000; `NEVER` for none, which PostgreSQL takes for infinity."""


class Timing:
    """Told of each event in the window or still to come into it, once it has passed the tests."""

    def __init__(self, measured: Measured, size: int, clock: Clock) -> None:
        self.measured, self.extent = measured, measured.extent
        self.now = timestamp_micros(clock.now)
        self.coming = np.full(size, NEVER, np.int64)
        self.oldest = np.full(size if self.extent.slides else 0, NEVER, np.int64)
        self.any = np.zeros(size if self.extent.turns else 0, bool)

    def add(self, places: Places, times: NDArray[np.int64] | None, kept: Flags | None) -> Flags:
        """Which of `kept` count now."""
        if times is None:
            raise TypeError(times)
        counts: Flags = times <= self.now
        later = ~counts if kept is None else kept & ~counts
        if later.any():
            np.minimum.at(self.coming, places[later], times[later])
        if self.extent.turns:
            self.any[places if kept is None else places[kept]] = True
            if self.extent.until:
                counts &= times < timestamp_micros(self.extent.until)
        if kept is not None:
            counts &= kept
        if self.extent.slides:
            np.minimum.at(self.oldest, places[counts], times[counts])
        return counts

    def due(self, holds: Flags) -> Moments:
        due = self.coming
        if self.extent.turns:
            due = np.where(self.any, np.minimum(due, timestamp_micros(self.extent.turns)), due)
        if self.extent.slides:
            leaves = np.where(self.oldest == NEVER, NEVER, self.oldest + self.extent.slides // MICROSECOND)
            due = np.minimum(due, np.where(self._matters(holds), leaves, NEVER))
        return due

    def _matters(self, holds: Flags) -> Flags:
        """Whether an event that leaves can change the answer: a count can only fall then."""
        falls, op = self.measured.measure in FALLING, self.measured.test.op
        if falls and op in {Op.GT, Op.GTE}:
            return holds
        if falls and op in {Op.LT, Op.LTE}:
            return ~holds
        return np.ones(len(holds), bool)
