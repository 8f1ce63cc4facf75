"""Judges pairs of profiles, each of which is the records of its origins, as profile linkage judges clusters.

A record that is added up of several says what none of them said: whoever is like one of them is then like all. So what
each origin of the one says of each origin of the other is compared, and the mean of the best 70% counts, by field.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .comparisons import Comparison
from .contracts import OTHERS, OTHERS_TOLD, Explanation, FieldEvidence
from .judge import Judge, Pairs
from .linkage import across, best_mean
from .model import Model
from .table import Floats, Ints

Text = Callable[[int, Comparison, int], str]
"""Of a record of the judge's and a comparison: the values as they were given, of this row of the record."""


@dataclass(frozen=True)
class Profiles:
    """Pairs (n × 2) of profiles by number; `owner` is the profile of each record of the judge's."""

    judge: Judge
    model: Model
    pairs: Pairs
    owner: Ints

    @cached_property
    def _across(self) -> tuple[Pairs, Ints]:
        return across(self.pairs, self.owner)

    @cached_property
    def scores(self) -> Floats:
        """Log2 odds that both are one person."""
        return self.judge.score_groups(*self._across, len(self.pairs)) if len(self.pairs) else np.zeros(0)

    def explain(self, places: Sequence[int], text: Text) -> list[Explanation]:
        """The waterfalls of the pairs at these places: of each field the mean, and the two values most alike."""
        return [self._explain(place, text) for place in places]

    def _explain(self, place: int, text: Text) -> Explanation:
        weights = self.judge.weights
        crossed, group = self._across
        inside = slice(*np.searchsorted(group, [place, place + 1]).tolist())
        evidence, compared, rows = self.judge.explain(crossed[inside])
        ranks = rows - np.searchsorted(self.judge.table.owner, crossed[inside])[:, None, :]
        total = float(self.scores[place])
        kept = 1 - weights.learned_share
        prior = kept * float(weights.shares[0] - weights.shares[1]) + weights.learned_shift
        one, _ = self.pairs[place].tolist()
        fields = []
        for at, comparison in enumerate(weights.comparisons):
            known = np.flatnonzero(evidence.known[:, at])
            gains = evidence.weights[known, at, 0].astype(np.float64)
            learned = evidence.learned[known, at].astype(np.float64)
            (gain,), (more,) = best_mean(gains, np.zeros(len(known), dtype=np.int64), 1, along=(learned,))
            shown = int(known[gains.argmax()]) if len(known) else 0
            level = comparison.words(int(compared.levels[shown, at]))
            sides = list(zip(crossed[inside][shown].tolist(), ranks[shown, at].tolist(), strict=True))
            if self.owner[sides[0][0]] != one:
                sides.reverse()
            fields.append(
                FieldEvidence(
                    comparison.name,
                    f"{level}, as a mean of {len(known)}" if len(known) > 1 else level,
                    kept * float(gain) + float(more),
                    *(text(record, comparison, rank) for record, rank in sides),
                )
            )
        rest = total - prior - sum(field.weight for field in fields)
        fields.append(FieldEvidence(OTHERS, OTHERS_TOLD, rest))
        return Explanation(prior, tuple(fields), total, float(self.model.probability(np.asarray(total))))
