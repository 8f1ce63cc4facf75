"""Judges pairs of records of one table by a model's weights: the best over all values that they have."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .compare import Compared, Comparer, Packed, counted, join
from .comparisons import Comparison
from .linkage import best_mean
from .model import Model, Weights
from .score import Evidence, Sums, add_up, blend, combine, judge_sums, weigh, weigh_at_once, weigh_field
from .table import Floats, Ints, Table

Pairs = npt.NDArray[np.int64]
CHUNK = 400_000
"""Pairs that are judged at once, to bound memory."""


class _Memory:
    """Levels of pairs that were compared once."""

    def __init__(self, records: int, pairs: Pairs, levels: Packed) -> None:
        """The pairs are in order, the smaller record first, as all that is asked for."""
        self._records = records
        self._coded, self._levels = self._code(pairs), levels

    def _code(self, pairs: Pairs) -> Ints:
        coded: Ints = pairs[:, 0] * np.int64(self._records) + pairs[:, 1]
        return coded

    def find(self, pairs: Pairs, compare: Callable[[Pairs], Compared]) -> Packed:
        """Levels of different pairs. What is not known yet is compared, and known from then on."""
        coded = self._code(pairs)
        order = np.argsort(coded, kind="stable")  # what is looked up in order is near what was looked up before
        coded = coded[order]
        at = np.searchsorted(self._coded, coded)
        new = np.ones(len(coded), dtype=bool)
        inside = at < len(self._coded)
        new[inside] = self._coded[at[inside]] != coded[inside]
        if new.any():
            found = compare(pairs[order[new]]).levels
            self._coded = np.insert(self._coded, at[new], coded[new])
            self._levels = np.insert(self._levels, at[new], found, axis=0)
            at += np.cumsum(new) - new
        levels = np.empty((len(pairs), self._levels.shape[1]), dtype=self._levels.dtype)
        levels[order] = np.take(self._levels, at, axis=0)
        return levels


class Judge:
    """Scores pairs of records, and pairs of clusters by all that their records say of each other."""

    def __init__(
        self, table: Table, weights: Weights, frequencies: Mapping[str, Floats], *, comparer: Comparer | None = None
    ) -> None:
        self.table = table
        self.weights = weights
        self.comparer = comparer or Comparer(table, weights.comparisons, frequencies)
        self._height = np.bincount(table.owner, minlength=table.records)
        self._start = np.cumsum(self._height) - self._height
        self._memory: _Memory | None = None

    def remember(self, pairs: Pairs, compared: Compared) -> None:
        """What `compare_leading` said of pairs, for `score_groups` to use."""
        if self.table.single:
            self._memory = _Memory(self.table.records, pairs, compared.levels)

    def compare_leading(self, pairs: Pairs) -> Compared:
        """Levels by the leading values alone."""
        rows = pairs if self.table.single else self._start[pairs]
        parts = [self.comparer.compare(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)]
        return join(parts, len(self.weights.comparisons))

    def evidence(self, pairs: Pairs) -> Evidence:
        if self.table.single:
            return weigh(self.comparer.compare(pairs), self.weights)
        return self._best_of_values(pairs)[0]

    def explain(self, pairs: Pairs) -> tuple[Evidence, Compared, Pairs]:
        """Evidence, the levels it comes from, and which rows of the table it compares (pairs × comparisons × 2)."""
        if self.table.single:
            compared = self.comparer.compare(pairs)
            rows = np.repeat(pairs[:, None, :], len(self.weights.comparisons), axis=1)
            return weigh(compared, self.weights), compared, rows
        return self._best_of_values(pairs)

    def score(self, pairs: Pairs) -> Floats:
        return self.judge(pairs)[0]

    def judge(self, pairs: Pairs, compared: Compared | None = None) -> tuple[Floats, Floats]:
        """Log2 odds of one person, and how likely the two are of one household. `compared`: by `compare_leading`."""
        odds, at_home = [np.zeros(0)], [np.zeros(0)]
        for start in range(0, len(pairs), CHUNK):
            chunk = slice(start, start + CHUNK)
            found = judge_sums(self._sums(pairs[chunk], compared.take(chunk) if compared else None), self.weights)
            odds.append(found[0])
            at_home.append(found[1])
        return np.concatenate(odds), np.concatenate(at_home)

    def judge_and_remember(self, pairs: Pairs, *, above: float) -> tuple[Floats, Floats]:
        """As `judge`, and keeps for `score_groups` what it saw of pairs whose odds are above this."""
        if not self.table.single:
            return self.judge(pairs)
        found = [(np.zeros(0), np.zeros(0))]
        kept = [join([], len(self.weights.comparisons)).levels]
        for start in range(0, len(pairs), CHUNK):
            compared = self.comparer.compare(pairs[start : start + CHUNK])
            found.append(judge_sums(weigh_at_once(compared, self.weights), self.weights))
            kept.append(compared.levels[found[-1][0] > above])
        odds, at_home = (np.concatenate(column) for column in zip(*found, strict=True))
        self._memory = _Memory(self.table.records, pairs[odds > above], np.concatenate(kept))
        return odds, at_home

    def _sums(self, pairs: Pairs, compared: Compared | None) -> Sums:
        if not self.table.single:
            return add_up(self._best_of_values(pairs)[0])
        known = self.comparer.share_anew(compared.levels, pairs) if compared else self.comparer.compare(pairs)
        return weigh_at_once(known, self.weights)

    def score_groups(self, pairs: Pairs, group: Ints, groups: int) -> Floats:
        """For profile linkage: per field the mean of the best 70% of what is known, then as for a single pair."""
        weights, compared = self.weights, self._of_leading_or_best(pairs)
        sums = np.zeros((groups, weights.gains.shape[1]))
        learned = np.zeros(groups)
        for at, offset in enumerate(weights.offsets.tolist()):
            levels = compared.levels[:, at] + offset
            known = np.flatnonzero(weights.known[levels])
            levels = levels[known]
            found = weigh_field(levels, compared.shared[known, at], weights, at).astype(np.float64)
            first, *others = np.ascontiguousarray(found.T)
            extra = (weights.learned_gains[levels].astype(np.float64),) if weights.learned_share else ()
            means = best_mean(first, group[known], groups, along=(*others, *extra))
            sums += np.stack(means[: sums.shape[1]], axis=1)
            learned += means[-1] if extra else 0.0
        return blend(combine(sums, self.weights), learned, self.weights)

    def _of_leading_or_best(self, pairs: Pairs) -> Compared:
        if self._memory is not None:
            return self.comparer.share_anew(self._memory.find(pairs, self.comparer.compare), pairs)
        return self.comparer.compare(pairs) if self.table.single else self._best_of_values(pairs)[1]

    def _best_of_values(self, pairs: Pairs) -> tuple[Evidence, Compared, Pairs]:
        rows, group = self._rows_of(pairs)
        compared = self.comparer.compare(rows)
        evidence = weigh(compared, self.weights)
        fields = np.arange(len(self.weights.comparisons))
        first = evidence.weights[:, :, 0]
        best = np.zeros((len(pairs), len(fields)), dtype=np.int64)
        start = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1]))) if len(group) else np.zeros(0, int)
        for at in fields.tolist():
            value = np.where(evidence.known[:, at], first[:, at].astype(np.float64), -np.inf)
            best[:, at] = _first_best(value, group, start)
        chosen = Evidence(evidence.weights[best, fields], evidence.known[best, fields], evidence.learned[best, fields])
        return chosen, Compared(compared.levels[best, fields], compared.shared[best, fields]), rows[best]

    def _rows_of(self, pairs: Pairs) -> tuple[Pairs, Ints]:
        """All pairs of rows of two records, and the record pair of each."""
        tall, wide = self._height[pairs[:, 0]], self._height[pairs[:, 1]]
        cells = tall * wide
        group = np.repeat(np.arange(len(pairs)), cells)
        inside = np.arange(cells.sum()) - np.repeat(np.cumsum(cells) - cells, cells)
        one = self._start[pairs[group, 0]] + inside // wide[group]
        other = self._start[pairs[group, 1]] + inside % wide[group]
        return np.stack([one, other], axis=1), group


def _first_best(values: Floats, group: Ints, start: Ints) -> Ints:
    """Index of the greatest value of each group, the first of equal ones."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    greatest = np.maximum.reduceat(values, start)
    hits = np.flatnonzero(values == greatest[group])
    _, first = np.unique(group[hits], return_index=True)
    result: Ints = hits[first]
    return result


def frequencies_by_entity(comparisons: Sequence[Comparison], table: Table, entity: Ints) -> dict[str, Floats]:
    """The share of people with each value: a person of ten records counts once."""
    found = {}
    for comparison in comparisons:
        feature = counted(comparison, table)
        if feature is None:
            continue
        rows = np.flatnonzero(feature.known)
        width = len(feature.vocabulary)
        if not len(rows):
            found[comparison.name] = np.zeros(width)
            continue
        once = np.sort(entity[table.owner[rows]] * np.int64(width) + feature.codes[rows])
        once = once[np.concatenate(([True], once[1:] != once[:-1]))]
        found[comparison.name] = np.bincount(once % width, minlength=width) / len(once)
    return found


def frequencies_of_model(comparisons: Sequence[Comparison], table: Table, model: Model) -> dict[str, Floats]:
    found = {}
    for comparison in comparisons:
        feature = counted(comparison, table)
        if feature is not None:
            stored = model.frequencies.get(comparison.name, {})
            rarest = model.rarest.get(comparison.name, 0.0)
            found[comparison.name] = np.asarray(
                [stored.get(value, rarest) for value in feature.vocabulary], dtype=np.float64
            )
    return found
