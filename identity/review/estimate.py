"""What a stratified sample of judged pairs says about thresholds. Pure: no Django here. R: C3

Pairs are drawn at random within strata of about the same score, since pairs near a threshold tell more than the many
clear ones. A judged pair then stands for the pairs of its stratum, shared out among all that were judged there
(Horvitz and Thompson 1952, with the strata's sizes known: post-stratification).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from identity.matching.evaluate import Interval, labelled_quality

# A score is here always the log2 odds of the probability that both are one person.
EDGES = (-7.0, -3.0, 0.0, 2.0, 4.0, 6.5, 10.0)
"""Scores (log2 odds) between strata: probabilities of 0.008, 0.11, 0.5, 0.8, 0.94, 0.989 and 0.999."""

GRID = tuple(step / 4 for step in range(-12, 61))
"""The scores that the chart asks about: from 0.11 to over 0.9999."""

_Z = 1.96
WANTED = 0.03
"""A useful estimate is right to three points."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A drawn pair that people judged: the share of them that said `same`."""

    score: float
    same: float
    stratum: int
    stands_for: float


@dataclass(frozen=True, slots=True)
class Point:
    """Expected precision and recall when everything of at least this score is merged."""

    score: float
    probability: float
    precision: Interval
    recall: Interval


@dataclass(frozen=True, slots=True)
class Sample:
    """Judged pairs, each with its weight: how many pairs it stands for."""

    scores: np.ndarray
    same: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def at(self, score: float) -> Point:
        quality = labelled_quality(self.scores, self.same, score, weights=self.weights)
        return Point(score, probability_of(score), quality.precision, quality.recall)

    def curve(self, grid: Sequence[float] = GRID) -> list[Point]:
        return [self.at(score) for score in grid]


def stratum_of(score: float) -> int:
    return sum(score >= edge for edge in EDGES)


def probability_of(score: float) -> float:
    return 1 / (1 + math.exp2(-max(min(score, 500.0), -500.0)))


def score_of(probability: float) -> float:
    """The log2 odds of a probability, as far as numbers go."""
    chance = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log2(chance / (1 - chance))


def weigh(judged: Iterable[Judged]) -> Sample:
    """Share a stratum's pairs out among those judged in it. Judges who disagree count for half a pair each way."""
    found = list(judged)
    drawn = Counter(one.stratum for one in found)
    size: defaultdict[int, float] = defaultdict(float)
    for one in found:
        size[one.stratum] = max(size[one.stratum], one.stands_for)
    rows: list[tuple[float, bool, float]] = []
    for one in found:
        weight = size[one.stratum] / drawn[one.stratum]
        rows += [(one.score, True, weight * one.same)] if one.same > 0 else []
        rows += [(one.score, False, weight * (1 - one.same))] if one.same < 1 else []
    scores, same, weights = zip(*rows, strict=True) if rows else ((), (), ())
    return Sample(np.array(scores, dtype=float), np.array(same, dtype=bool), np.array(weights, dtype=float))


def labels_needed(interval: Interval, labels: int, *, wanted: float = WANTED) -> int:
    """About how many more labels bring an estimate to within `wanted`; by the square root by which errors shrink."""
    half = (interval.high - interval.low) / 2
    if half <= wanted:
        return 0
    if not labels:
        return math.ceil(_Z**2 * 0.25 / wanted**2)
    return math.ceil(labels * (half / wanted) ** 2) - labels


def kappa(pairs: Iterable[tuple[str, str]]) -> tuple[float, float] | None:
    """How far two judges agree: the share, and Cohen's kappa (1960), which is 0 for chance and 1 for always."""
    found = list(pairs)
    if not found:
        return None
    agreed = sum(one == other for one, other in found) / len(found)
    counts = Counter(answer for pair in found for answer in pair)
    chance = sum((count / (2 * len(found))) ** 2 for count in counts.values())
    return agreed, 1.0 if chance >= 1 else (agreed - chance) / (1 - chance)


@dataclass(frozen=True, slots=True)
class Expected:
    """Precision and recall as the model's own probabilities have it: right only as far as these are."""

    score: float
    precision: float | None
    recall: float


def expected_by_model(bins: Sequence[tuple[float, int, float]], grid: Sequence[float] = GRID) -> list[Expected]:
    """`bins` are (lowest score, pairs, sum of their probabilities); bins lie within steps of the grid."""
    true = sum(likely for _, _, likely in bins)
    found = []
    for score in grid:
        above = [(pairs, likely) for low, pairs, likely in bins if low >= score]
        claimed, right = sum(pairs for pairs, _ in above), sum(likely for _, likely in above)
        found.append(Expected(score, right / claimed if claimed else None, right / true if true else 1.0))
    return found
