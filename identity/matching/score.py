"""What a pair's levels weigh: log2 odds that both records are one person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .compare import Compared
from .model import CLASSES, GRAIN, Weights
from .table import Flags, Floats


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
    against = weights.gains[levels]
    for at in range(levels.shape[1]):
        agreed = np.flatnonzero(compared.shared[:, at])
        if len(agreed):
            rarity = np.log2(compared.shared[agreed, at]) - weights.typical[levels[agreed, at]]
            chance = (np.round(rarity * GRAIN) / GRAIN)[:, None] * weights.coincidence[at]
            against[agreed, at] -= chance.astype(np.float32)
    return Evidence(against, weights.known[levels], weights.learned_gains[levels])


def combine(sums: Floats, weights: Weights) -> Floats:
    """Log2 odds from the summed weights against each other class: pairs × 3."""
    against = sums + (weights.shares[0] - weights.shares[1:])
    low = against.min(axis=1)
    with np.errstate(over="ignore"):
        odds: Floats = low - np.log2(np.exp2(low[:, None] - against).sum(axis=1))
    return odds


def score(evidence: Evidence, weights: Weights) -> Floats:
    odds = combine(evidence.weights.sum(axis=1, dtype=np.float64), weights)
    return blend(odds, evidence.learned.sum(axis=1, dtype=np.float64), weights)


def blend(odds: Floats, learned: Floats, weights: Weights) -> Floats:
    """What was estimated and what was learned from labels, each with its share."""
    total: Floats = (1 - weights.learned_share) * odds + learned + weights.learned_shift
    return total


def household_chance(evidence: Evidence, weights: Weights) -> Floats:
    """How likely pairs are two people of one household."""
    against = evidence.weights.sum(axis=1, dtype=np.float64) + (weights.shares[0] - weights.shares[1:])
    logs = np.concatenate([np.zeros((len(against), 1)), -against], axis=1)
    odds = np.exp2(logs - logs.max(axis=1, keepdims=True))
    chance: Floats = odds[:, CLASSES.index("household")] / odds.sum(axis=1)
    return chance
