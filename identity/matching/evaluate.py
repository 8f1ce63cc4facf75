"""How good a matching is, where the truth is known, and what can be said of it where it is not. R: C2

Clusters and truth are arrays with one label a record; a truth below 0 is unknown, and such records are left out.
Pairs are counted from the table of clusters by true persons and never listed: a million records take a second.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
Pairs = NDArray[np.int64]
"""m × 2: the numbers of the two records of each pair."""

UNKNOWN = -1


class PairQuality(msgspec.Struct, frozen=True):
    """Of all pairs of records: those put together rightly, wrongly, and those that were left apart."""

    true_positives: float
    false_positives: float
    false_negatives: float

    @property
    def precision(self) -> float:
        return share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        return harmonic(self.precision, self.recall)


class Quality(msgspec.Struct, frozen=True):
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        return harmonic(self.precision, self.recall)


class Interval(msgspec.Struct, frozen=True):
    """An estimate and where the truth lies in 95 of 100 cases."""

    value: float
    low: float
    high: float


class LabelledQuality(msgspec.Struct, frozen=True):
    """What a sample of judged pairs says of a threshold. F1's bounds come of those of the other two: they are wide."""

    pairs: int
    precision: Interval
    recall: Interval
    f1: Interval


class Curve(msgspec.Struct, frozen=True):
    """Quality of pairs at every threshold that makes a difference, the highest first."""

    thresholds: list[float]
    precision: list[float]
    recall: list[float]
    f1: list[float]


class Histogram(msgspec.Struct, frozen=True):
    """How many pairs score from `edges[i]` to below `edges[i + 1]`; the last bin takes its upper edge too."""

    edges: list[float]
    matches: list[int]
    non_matches: list[int]
    unknown: list[int]


class SizeCount(msgspec.Struct, frozen=True):
    size: int
    clusters: int
    records: int


def share(part: float, whole: float) -> float:
    """Nothing claimed is nothing wrong: of none, all are right."""
    return part / whole if whole else 1.0


def harmonic(one: float, other: float) -> float:
    return 2 * one * other / (one + other) if one + other else 0.0


def truth_codes(values: Sequence[Any]) -> Labels:
    """The texts of a truth column as numbers; None and blanks are unknown."""
    codes: dict[str, int] = {}
    texts = ["" if value is None else str(value).strip() for value in values]
    return np.array([codes.setdefault(text, len(codes)) if text else UNKNOWN for text in texts], dtype=np.int64)


# --- Clusters against truth ---------------------------------------------------------------------------------
def compare_clusters(clusters: Labels, truth: Labels) -> PairQuality:
    _, _, cells, rows, columns = contingency(clusters, truth)
    together, claimed, true = pairs_in(cells), pairs_in(rows), pairs_in(columns)
    return PairQuality(together, claimed - together, true - together)


def b_cubed(clusters: Labels, truth: Labels) -> Quality:
    """Means over records: what share of its cluster is the same person, what share of the person is in its cluster.

    Bagga and Baldwin (1998). Unlike pairs it does not let one big cluster outweigh all the small ones.
    """
    row_of, column_of, cells, rows, columns = contingency(clusters, truth)
    total = cells.sum()
    if not total:
        return Quality(1.0, 1.0)
    squares = cells.astype(float) ** 2
    return Quality(float((squares / rows[row_of]).sum() / total), float((squares / columns[column_of]).sum() / total))


def contingency(clusters: Labels, truth: Labels) -> tuple[Labels, Labels, Labels, Labels, Labels]:
    """The cells that are not empty: their row, column and count; and the sums of the rows and columns."""
    known = truth >= 0
    _, row = np.unique(clusters[known], return_inverse=True)
    _, column = np.unique(truth[known], return_inverse=True)
    width = int(column.max()) + 1 if len(column) else 1
    keys, cells = np.unique(row.astype(np.int64) * width + column, return_counts=True)
    return keys // width, keys % width, cells, np.bincount(row), np.bincount(column)


def pairs_in(sizes: Labels) -> int:
    return int((sizes.astype(np.int64) * (sizes - 1) // 2).sum())


def cluster_sizes(clusters: Labels) -> list[SizeCount]:
    """How many clusters there are of each size, the smallest first."""
    _, sizes = np.unique(clusters, return_counts=True)
    size, count = np.unique(sizes, return_counts=True)
    return [SizeCount(int(s), int(c), int(s * c)) for s, c in zip(size, count, strict=True)]


# --- Pairs and their scores ---------------------------------------------------------------------------------
def same_person(pairs: Pairs, truth: Labels) -> NDArray[np.int8]:
    """1 the same, 0 not, -1 where it is not known."""
    one, other = truth[pairs[:, 0]], truth[pairs[:, 1]]
    return np.where((one < 0) | (other < 0), UNKNOWN, one == other).astype(np.int8)


def quality_by_threshold(
    scores: Floats, same: NDArray[Any], *, weights: Floats | None = None, never_proposed: float = 0, points: int = 200
) -> Curve:
    """`never_proposed` true pairs, which no threshold can win, count as left apart. Thinned to about `points`."""
    known = np.asarray(same) >= 0
    scores, right = np.asarray(scores, dtype=float)[known], np.asarray(same)[known].astype(float)
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=float)[known]
    order = np.argsort(-scores, kind="stable")
    scores, right, weight = scores[order], right[order], weight[order]
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], len(scores) > 0))  # all of one score, or none
    won = np.cumsum(right * weight)[last]
    claimed = np.cumsum(weight)[last]
    true = float((right * weight).sum()) + never_proposed
    keep = np.unique(np.linspace(0, len(last) - 1, points).astype(int)) if len(last) else np.array([], dtype=int)
    precision = won[keep] / claimed[keep]
    recall = won[keep] / true if true else np.ones(len(keep))
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(keep)), where=both > 0)
    return Curve(scores[last][keep].tolist(), precision.tolist(), recall.tolist(), f1.tolist())


def blocking_coverage(pairs: Pairs, truth: Labels) -> float:
    """The share of true pairs that were compared at all: no later step can win back the others."""
    proposed = np.sort(pairs, axis=1)
    proposed = np.unique(proposed[same_person(proposed, truth) == 1], axis=0)
    _, sizes = np.unique(truth[truth >= 0], return_counts=True)
    return share(len(proposed), pairs_in(sizes))


def score_histogram(scores: Floats, same: NDArray[Any], *, low: float, high: float, bins: int = 40) -> Histogram:
    """Scores beyond the edges are counted in the outermost bins."""
    edges = np.linspace(low, high, bins + 1)
    within = np.clip(scores, low, high)
    counts = [np.histogram(within[np.asarray(same) == kind], edges)[0].tolist() for kind in (1, 0, UNKNOWN)]
    return Histogram(edges.tolist(), *counts)


def unlinkable_share(self_scores: Floats, thresholds: Sequence[float]) -> list[float]:
    """For each threshold, the share of records that say too little to reach it even against themselves.

    As Splink's chart of unlinkables: https://moj-analytical-services.github.io/splink/charts/unlinkables_chart.html
    """
    ordered = np.sort(self_scores)
    below = np.searchsorted(ordered, np.asarray(thresholds, dtype=float), side="left")
    return (below / max(1, len(ordered))).tolist()  # type: ignore[no-any-return]


def mistakes(
    pairs: Pairs, scores: Floats, clusters: Labels, truth: Labels, *, most: int = 50
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The compared pairs that came out wrong, as positions in `pairs`: false positives, then false negatives.

    Those that the score was surest of come first: wrongly together by high score, wrongly apart by low score.
    """
    same = same_person(pairs, truth)
    together = clusters[pairs[:, 0]] == clusters[pairs[:, 1]]
    wrong, missed = np.flatnonzero(together & (same == 0)), np.flatnonzero(~together & (same == 1))
    return (
        wrong[np.argsort(-scores[wrong], kind="stable")][:most],
        missed[np.argsort(scores[missed], kind="stable")][:most],
    )


# --- Estimates from a sample --------------------------------------------------------------------------------
def labelled_quality(
    scores: Floats, same: NDArray[Any], threshold: float, *, weights: Floats | None = None
) -> LabelledQuality:
    """Pairs judged by people, each standing for `weight` pairs. `same` is 1 or 0."""
    right = np.asarray(same).astype(bool)
    claimed = np.asarray(scores) >= threshold
    weight = np.ones(len(right)) if weights is None else np.asarray(weights, dtype=float)
    precision = wilson(right[claimed], weight[claimed])
    recall = wilson(claimed[right], weight[right])
    f1 = Interval(
        harmonic(precision.value, recall.value),
        harmonic(precision.low, recall.low),
        harmonic(precision.high, recall.high),
    )
    return LabelledQuality(len(right), precision, recall, f1)


def wilson(hits: NDArray[np.bool_], weights: Floats, *, z: float = 1.96) -> Interval:
    """Wilson's interval (1927) of a weighted share, with Kish's effective sample size (1965) for the count.

    Of no cases nothing is known: from 0 to 1.
    """
    total = float(weights.sum())
    if not total:
        return Interval(1.0, 0.0, 1.0)
    value = min(1.0, float(weights[hits].sum()) / total)
    size = total**2 / float((weights**2).sum())
    centre = (value + z * z / (2 * size)) / (1 + z * z / size)
    spread = z * math.sqrt(value * (1 - value) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    return Interval(value, max(0.0, min(value, centre - spread)), min(1.0, max(value, centre + spread)))
