"""What a pair's levels weigh: log2 odds that both records are one person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .compare import Compared
from .model import CLASSES, GRAIN, Weights
from .table import Flags, Floats

FEW = 5_000
"""Pairs that are weighed in one go."""


@dataclass(frozen=True)
class Evidence:
    """Pairs × comparisons × (random, household, namesake): log2 of how much likelier a level is for one person."""

    weights: npt.NDArray[np.float32]
    known: Flags
    """Pairs × comparisons: whether anything is known."""
    learned: npt.NDArray[np.float32]
    """Pairs × comparisons: what labels add."""

    def take(self, chosen: npt.NDArray[np.int64] | Flags) -> "Evidence":
        return Evidence(self.weights[chosen], self.known[chosen], self.learned[chosen])


def weigh(compared: Compared, weights: Weights) -> Evidence:
    levels = compared.levels + weights.offsets
    against: npt.NDArray[np.float32] = weights.gains[levels]
    agreed = np.nonzero(compared.shared)
    if len(agreed[0]):
        against[agreed] -= chance(compared.shared[agreed], levels[agreed], weights, weights.coincidence[agreed[1]])
    return Evidence(against, weights.known[levels], weights.learned_gains[levels])


@dataclass(frozen=True)
class Sums:
    """The same, summed over all comparisons."""

    against: Floats
    learned: Floats


def add_up(evidence: Evidence) -> Sums:
    return Sums(evidence.weights.sum(axis=1, dtype=np.float64), evidence.learned.sum(axis=1, dtype=np.float64))


def weigh_at_once(compared: Compared, weights: Weights) -> Sums:
    """What `add_up(weigh(…))` says; of many pairs field by field, since all weights would fill the memory."""
    if len(compared.levels) <= FEW:
        return add_up(weigh(compared, weights))
    against = np.zeros((len(compared.levels), len(CLASSES) - 1), dtype=np.float32)
    learned = np.zeros(len(against))
    for at, offset in enumerate(weights.offsets.tolist()):
        level = compared.levels[:, at] + offset
        against += weigh_field(level, compared.shared[:, at], weights, at)
        if weights.learned_share:
            learned += weights.learned_gains[level]
    return Sums(against.astype(np.float64), learned)


def weigh_field(
    level: npt.NDArray[np.int64], shared: npt.NDArray[np.float32], weights: Weights, at: int
) -> npt.NDArray[np.float32]:
    """Pairs × classes but the first: the weights of one comparison, whose levels are given among all levels."""
    against: npt.NDArray[np.float32] = weights.gains[level]
    agreed = np.flatnonzero(shared)
    if len(agreed):
        against[agreed] -= chance(shared[agreed], level[agreed], weights, weights.coincidence[at])
    return against


def chance(
    shared: npt.NDArray[np.float32], level: npt.NDArray[np.int64], weights: Weights, coincidence: Floats
) -> npt.NDArray[np.float32]:
    """What agreement weighs less, or more, than it does on average, by how frequent the value is."""
    rarity = np.log2(shared) - weights.typical[level]
    weight: npt.NDArray[np.float32] = ((np.round(rarity * GRAIN) / GRAIN)[:, None] * coincidence).astype(np.float32)
    return weight


def combine(sums: Floats, weights: Weights) -> Floats:
    """Log2 odds from the summed weights against each other class: pairs × classes but the first."""
    return _odds_and_parts(sums, weights)[0]


def _odds_and_parts(sums: Floats, weights: Weights) -> tuple[Floats, Floats, Floats]:
    against = sums + (weights.shares[0] - weights.shares[1:])
    low = against.min(axis=1)
    with np.errstate(over="ignore"):
        parts = np.exp2(low[:, None] - against)
    odds: Floats = low - np.log2(parts.sum(axis=1))
    return odds, low, parts


def score(evidence: Evidence, weights: Weights) -> Floats:
    return judge_sums(add_up(evidence), weights)[0]


def judge_sums(sums: Sums, weights: Weights) -> tuple[Floats, Floats]:
    """Log2 odds of pairs, and how likely they are two people of one household."""
    odds, low, parts = _odds_and_parts(sums.against, weights)
    at_home = parts[:, CLASSES.index("household") - 1] / (np.exp2(np.minimum(low, 1000.0)) + parts.sum(axis=1))
    return blend(odds, sums.learned, weights), at_home


def blend(odds: Floats, learned: Floats, weights: Weights) -> Floats:
    """What was estimated and what was learned from labels, each with its share."""
    total: Floats = (1 - weights.learned_share) * odds + learned + weights.learned_shift
    return total
