"""What a pair's levels weigh: log2 odds that both records are one person."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .compare import Compared
from .model import Weights
from .table import Flags, Floats

GRAIN = 1024.0
"""Weights are whole multiples of 1/GRAIN: their sums are exact, in whatever order they are taken."""


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
    against = (weights.logs[:, :1] - weights.logs[:, 1:])[levels]
    with np.errstate(divide="ignore"):
        rarity = np.where(compared.shared > 0, np.log2(compared.shared) - weights.typical[levels], 0.0)
    against -= rarity[:, :, None] * weights.coincidence[None, :, :]
    return Evidence(
        (np.round(against * GRAIN) / GRAIN).astype(np.float32),
        weights.known[levels],
        (np.round(weights.learned[levels] * GRAIN) / GRAIN).astype(np.float32),
    )


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
