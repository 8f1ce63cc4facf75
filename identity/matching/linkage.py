"""Profile linkage: from scored pairs to clusters.

Connected components chain: one wrong pair joins two people. Here clusters are profiles. Two of them merge when each is
the other's best partner and the mean of what their records say of each other, field by field, is for one person. The
order of records does not matter.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .table import Floats, Ints

Pairs = npt.NDArray[np.int64]
ScoreGroups = Callable[[Pairs, Ints, int], Floats]
"""Scores of groups of record pairs: (pairs, the group of each, number of groups) -> one log2 odds per group."""

BEST_SHARE = 0.7
"""Of the pairs between two clusters, the share that is looked at: one odd record does not keep a person apart."""
MOST_MEMBERS = 12
"""Records of a cluster that are compared with those of another."""
MOST_ROUNDS = 60
GRAIN = 4096.0


def link(
    pairs: Pairs,
    scores: Floats,
    n: int,
    *,
    threshold: float = 0.0,
    score_groups: ScoreGroups | None = None,
    largest: int = 100,
    never: Iterable[tuple[int, int]] = (),
    must: Iterable[tuple[int, int]] = (),
) -> Ints:
    """Cluster of every record: the smallest index of a record in it.

    `scores` are log2 odds; pairs below `threshold` still count in the mean. Without `score_groups`, a pair of clusters
    is judged by the mean of the best scores between their records.

    1. Start from single records, those that must be one already together.
    2. Score every pair of clusters that a record pair joins; those known from the round before stay as they are.
    3. Merge every two that are each other's best, are above the threshold, and may. Until none are left.
    """
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    scores = np.round(np.asarray(scores, dtype=np.float64) * GRAIN) / GRAIN
    forbidden = _as_pairs(never)
    clusters = _join(np.arange(n), _as_pairs(must))
    judge = score_groups or _mean_of_scores(pairs, scores, n)
    known = _Known(n)
    for _ in range(MOST_ROUNDS):
        apart = clusters[pairs[:, 0]] != clusters[pairs[:, 1]]
        pairs, scores = pairs[apart], scores[apart]
        edges, at = _between(pairs, clusters, n)
        if not len(edges):
            break
        values = _score(edges, at, scores, clusters=clusters, known=known, judge=judge)
        size = np.bincount(clusters, minlength=n)
        allowed = (values > threshold) & (size[edges[:, 0]] + size[edges[:, 1]] <= largest)
        if len(forbidden):
            allowed &= ~np.isin(_coded(edges, n), _coded(_between(forbidden, clusters, n)[0], n))
        merging = _mutual(edges[allowed], values[allowed], n)
        if not len(merging):
            break
        known.forget(merging)
        names = np.arange(n)
        names[merging[:, 1]] = merging[:, 0]
        clusters = names[clusters]
    return clusters


def _as_pairs(pairs: Iterable[tuple[int, int]]) -> Pairs:
    return np.asarray(list(pairs), dtype=np.int64).reshape(-1, 2)


def _coded(pairs: Pairs, n: int) -> Ints:
    return pairs[:, 0] * np.int64(n) + pairs[:, 1]


def _join(clusters: Ints, pairs: Pairs) -> Ints:
    """Merge the clusters of each pair; a cluster is named by its smallest record."""
    if not len(pairs):
        return clusters
    n = len(clusters)
    one, other = clusters[pairs[:, 0]], clusters[pairs[:, 1]]
    graph = coo_matrix((np.ones(len(pairs), dtype=bool), (one, other)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    smallest = np.full(component.max() + 1, n, dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(n))
    result: Ints = smallest[component[clusters]]
    return result


def _between(pairs: Pairs, clusters: Ints, n: int) -> tuple[Pairs, Ints]:
    """Pairs of different clusters that a pair joins, the smaller first; and for each one, one of its record pairs."""
    one, other = clusters[pairs[:, 0]], clusters[pairs[:, 1]]
    apart = np.flatnonzero(one != other)
    low, high = np.minimum(one[apart], other[apart]), np.maximum(one[apart], other[apart])
    coded, first = np.unique(low * np.int64(n) + high, return_index=True)
    return np.stack([coded // n, coded % n], axis=1), apart[first]


class _Known:
    """Scores of cluster pairs, kept from round to round."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._coded = np.zeros(0, dtype=np.int64)
        self._values = np.zeros(0)

    def get(self, edges: Pairs) -> Floats:
        """Values, nan where unknown."""
        values = np.full(len(edges), np.nan)
        if len(self._coded):
            coded = _coded(edges, self._n)
            at = np.minimum(np.searchsorted(self._coded, coded), len(self._coded) - 1)
            found = self._coded[at] == coded
            values[found] = self._values[at[found]]
        return values

    def put(self, edges: Pairs, values: Floats) -> None:
        self._coded, self._values = _coded(edges, self._n), values

    def forget(self, merged: Pairs) -> None:
        changed = np.zeros(self._n, dtype=bool)
        changed[merged.ravel()] = True
        stays = ~changed[self._coded // self._n] & ~changed[self._coded % self._n]
        self._coded, self._values = self._coded[stays], self._values[stays]


def _score(edges: Pairs, at: Ints, scores: Floats, *, clusters: Ints, known: _Known, judge: ScoreGroups) -> Floats:
    size = np.bincount(clusters, minlength=len(clusters))
    values = known.get(edges)
    single = (size[edges[:, 0]] == 1) & (size[edges[:, 1]] == 1)
    values[single] = scores[at[single]]
    asked = np.flatnonzero(np.isnan(values))
    if len(asked):
        pairs, group = across(edges[asked], clusters)
        values[asked] = np.round(judge(pairs, group, len(asked)) * GRAIN) / GRAIN
    known.put(edges, values)
    return values


def across(edges: Pairs, clusters: Ints) -> tuple[Pairs, Ints]:
    """All record pairs between the clusters of each edge, and the edge of each."""
    asked = np.zeros(len(clusters), dtype=bool)
    asked[edges] = True
    members = np.flatnonzero(asked[clusters])
    order = members[np.argsort(clusters[members], kind="stable")]
    size = np.bincount(clusters[members], minlength=len(clusters))
    start = np.cumsum(size) - size
    height = np.minimum(size, MOST_MEMBERS)
    tall, wide = height[edges[:, 0]], height[edges[:, 1]]
    cells = tall * wide
    group = np.repeat(np.arange(len(edges)), cells)
    inside = np.arange(cells.sum()) - np.repeat(np.cumsum(cells) - cells, cells)
    one = order[start[edges[group, 0]] + inside // wide[group]]
    other = order[start[edges[group, 1]] + inside % wide[group]]
    return np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1), group


def _mutual(edges: Pairs, values: Floats, n: int) -> Pairs:
    """Edges that are the best of both their ends; of equal ones, which are in order, the first."""
    order = np.argsort(-values, kind="stable")
    ranked = edges[order]
    best = np.full(n, len(ranked), dtype=np.int64)
    rank = np.arange(len(ranked))[::-1]
    for end in (0, 1):
        first = np.full(n, len(ranked), dtype=np.int64)
        first[ranked[::-1, end]] = rank
        best = np.minimum(best, first)
    chosen = np.arange(len(ranked))
    mutual: Pairs = ranked[(best[ranked[:, 0]] == chosen) & (best[ranked[:, 1]] == chosen)]
    return mutual


def best_mean(values: Floats, group: Ints, groups: int, *, along: Sequence[Floats] = ()) -> list[Floats]:
    """Mean of each group's best 70%; of `along`, the mean over the same members."""
    count = np.bincount(group, minlength=groups)
    taken = np.ceil(BEST_SHARE * count - 1e-9).astype(np.int64)
    counts = np.ones(len(group), dtype=bool)
    choosy = np.flatnonzero((taken < count)[group])
    if len(choosy):
        order = choosy[np.lexsort((-values[choosy], group[choosy]))]
        among = np.bincount(group[order], minlength=groups)
        place = np.arange(len(order)) - np.repeat(np.cumsum(among) - among, among)
        counts[order[place >= taken[group[order]]]] = False
    best = group[counts]
    return [np.bincount(best, weights=of[counts], minlength=groups) / np.maximum(taken, 1) for of in (values, *along)]


@dataclass(frozen=True)
class _MeanOfScores:
    coded: Ints
    scores: Floats
    n: int

    def __call__(self, pairs: Pairs, group: Ints, groups: int) -> Floats:
        coded = _coded(pairs, self.n)
        at = np.minimum(np.searchsorted(self.coded, coded), len(self.coded) - 1)
        known = self.coded[at] == coded
        mean: Floats = best_mean(self.scores[at[known]], group[known], groups)[0]
        return np.where(np.bincount(group[known], minlength=groups) > 0, mean, -np.inf)


def _mean_of_scores(pairs: Pairs, scores: Floats, n: int) -> ScoreGroups:
    low, high = pairs.min(axis=1, initial=n), pairs.max(axis=1, initial=-1)
    coded = low * np.int64(n) + high
    order = np.argsort(coded, kind="stable")
    return _MeanOfScores(coded[order], scores[order], n)
