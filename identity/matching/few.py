"""Judges few pairs of records that were read one by one: what `judge.Judge` says, without what arrays cost first."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .model import Weights
from .rowlevels import RowComparer
from .rows import Row
from .score import blend, chance, combine
from .table import Floats, Ints


@dataclass(frozen=True)
class Judged:
    """What was found of pairs, by comparison and pair."""

    levels: Ints
    """Among the levels of all comparisons."""
    against: npt.NDArray[np.float32]
    """Last, by class but the first."""
    learned: npt.NDArray[np.float32]
    scores: Floats
    """By pair."""

    def of(self, places: Sequence[int]) -> "Judged":
        """Of some of the pairs."""
        chosen = list(places)
        return Judged(self.levels[:, chosen], self.against[:, chosen], self.learned[:, chosen], self.scores[chosen])


class FewJudge:
    def __init__(self, weights: Weights, by: RowComparer) -> None:
        self.weights, self._by = weights, by

    @cached_property
    def _offsets(self) -> Ints:
        return self.weights.offsets[:, None]

    def judge(self, rows: Sequence[Row], pairs: Ints) -> Judged:
        """Pairs (n × 2, at least one) of rows, each of which is all that a record says."""
        weights = self.weights
        ones, others = pairs.T.tolist()
        found = self._by.compare([rows[at] for at in ones], [rows[at] for at in others])
        levels = np.array([levels for levels, _ in found], dtype=np.int64).reshape(-1, len(pairs)) + self._offsets
        against = weights.gains[levels]
        for at, (_, shares) in enumerate(found):
            agreed = [place for place, share in enumerate(shares) if share]
            if agreed:
                shared = np.array([shares[place] for place in agreed], dtype=np.float32)
                against[at, agreed] -= chance(shared, levels[at, agreed], weights, weights.coincidence[at])
        learned = weights.learned_gains[levels]
        odds = combine(against.sum(axis=0, dtype=np.float64), weights)
        return Judged(levels, against, learned, blend(odds, learned.sum(axis=0, dtype=np.float64), weights))
