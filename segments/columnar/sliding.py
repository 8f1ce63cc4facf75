"""Measures that events can leave again: a window that moves on is followed without reading anything twice."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from segments.columnar.bounds import Bounds
from segments.columnar.measures import Batch, Counted, ExactSum, Extreme, FloatSum, Gathering, Numbers, Verdict

_ONE = np.int32(1)


class Sliding(Gathering):
    @abstractmethod
    def take(self, batch: Batch) -> None:
        """Take away what was added before."""


class SlidingCount(Counted, Sliding):
    def take(self, batch: Batch) -> None:
        np.subtract.at(self.counts, batch.places, _ONE)


class _SlidingSum(Numbers, Sliding):
    """Each step rounds, also one that takes away: the error is that of all numbers that ever were in the sum."""

    def __init__(self, size: int, bounds: Bounds, *, average: bool = False) -> None:
        super().__init__(size, bounds, average=average)
        self.sizes = np.zeros(size)
        self.steps = np.zeros(size, np.int32)

    def add(self, batch: Batch) -> None:
        super().add(batch)
        np.add.at(self.steps, batch.places, _ONE)

    def take(self, batch: Batch) -> None:
        if batch.operand is None:
            raise TypeError(batch)
        usable = self._usable(batch.operand)
        places, numbers = batch.places[usable], batch.operand[usable]
        np.subtract.at(self.sums, places, numbers)
        np.subtract.at(self.counts, places, _ONE)
        np.add.at(self.steps, places, _ONE)
        self.sums[places[self.counts[places] == 0]] = 0

    def _terms(self) -> NDArray[np.int32]:
        return self.steps


class SlidingFloatSum(_SlidingSum, FloatSum):
    pass


class SlidingExactSum(_SlidingSum, ExactSum):
    pass


class SlidingExtreme(Extreme, Sliding):
    """Counts how many numbers tell, where the other only asks whether there is one."""

    def __init__(self, size: int, bounds: Bounds, *, largest: bool, rounded: bool) -> None:
        super().__init__(size, bounds, largest=largest, rounded=rounded)
        self.numbers = np.zeros(size, np.int32)
        self.counts = {cut: np.zeros(size, np.int32) for cut in bounds.cuts}

    def add(self, batch: Batch) -> None:
        self._change(batch, _ONE)

    def take(self, batch: Batch) -> None:
        self._change(batch, -_ONE)

    def _change(self, batch: Batch, by: np.int32) -> None:
        seen, telling = self.told(batch)
        np.add.at(self.numbers, seen, by)
        for cut, places in telling.items():
            np.add.at(self.counts[cut], places, by)

    def verdict(self) -> Verdict:
        return self.verdict_of(self.numbers > 0, {cut: counts > 0 for cut, counts in self.counts.items()})
