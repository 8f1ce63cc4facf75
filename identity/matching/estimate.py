"""Estimate the weights without any labels: Fellegi and Sunter's model, fitted by expectation-maximisation.

All pairs of records are a mixture of four classes (`model.CLASSES`), in each of which comparisons are independent.
The pairs of a household and of namesakes have a class each: without them, EM takes brothers for duplicates. Every
candidate pair counts once, and a random sample stands for all others, so that the shares of agreement among random
pairs are those of the whole population, cleared of the matches in it.

Fellegi and Sunter, A theory for record linkage, JASA 64 (1969); Winkler, String comparator metrics and enhanced
decision rules in the Fellegi-Sunter model of record linkage (1990).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from .compare import Packed
from .comparisons import ID, Comparison, Role
from .model import (
    CLASSES,
    Sharing,
    Weights,
    default_classes,
    default_shares,
    household_sharing,
    mixed,
    namesake_shares,
    neighbour_sharing,
    other_guesses,
)
from .table import Floats, Ints

MATCH, RANDOM, HOUSEHOLD, NAMESAKE, NEIGHBOUR = range(len(CLASSES))
MOST_ROUNDS = 30
SETTLED = 1e-3
"""EM stops when no class's share changes by more than this part of itself."""

STRENGTH = {MATCH: 30.0, RANDOM: 100.0}
"""How many pairs the default shares of a class weigh as."""
FLOOR = 0.02
"""No level is rarer among random pairs than this part of its default."""


@dataclass(frozen=True)
class Patterns:
    """Different combinations of levels, and how many pairs each stands for."""

    levels: Ints
    """Patterns × comparisons, as indices into all levels laid side by side."""
    count: Floats
    size: int
    """How many levels there are in all."""

    @cached_property
    def incidence(self) -> csr_array:
        """Patterns × levels: 1 where a pattern has a level."""
        patterns, comparisons = self.levels.shape
        ends = (
            np.arange(0, patterns * comparisons + 1, comparisons) if comparisons else np.zeros(patterns + 1, dtype=int)
        )
        return csr_array((np.ones(self.levels.size), self.levels.ravel(), ends), shape=(patterns, self.size))


def find_patterns(levels: Packed, weight: Floats, comparisons: Sequence[Comparison]) -> Patterns:
    sizes = [comparison.size for comparison in comparisons]
    mixed = np.zeros(len(levels), dtype=np.uint64)
    for at, size in enumerate(sizes):
        mixed = mixed * np.uint64(2 * size + 1) + levels[:, at].astype(np.uint64)
    which, _ = pd.factorize(mixed)
    count = np.bincount(which, weights=weight)
    first = np.zeros(len(count), dtype=np.int64)
    first[which[::-1]] = np.arange(len(which))[::-1]
    offsets = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64)
    return Patterns(levels[first] + offsets, count.astype(np.float64), sum(sizes))


LEAST_PAIRS = 0.5
"""Pairs that every class has at least: that none was seen does not make the next one impossible."""


def estimate(comparisons: Sequence[Comparison], patterns: Patterns, *, records: int, sampled: float) -> Weights:
    """Weights from patterns of all pairs. `sampled`: how many pairs one random pair stands for.

    1. Start from the default shares; random pairs from the counts themselves.
    2. Expect: how likely is each pattern of each class?  Maximise: the shares of levels and classes given that.
    3. Classes share what cannot differ: members of a household are named as any two people are.
    """
    size = sum(comparison.size for comparison in comparisons)
    starts = np.concatenate(([0], np.cumsum([c.size for c in comparisons]))).astype(int)
    slices = [slice(low, high) for low, high in pairwise(starts.tolist())]
    defaults = [default_classes(comparison) for comparison in comparisons]
    logs = np.zeros((size, len(CLASSES)))
    shares = default_shares(records)
    everything_random = np.broadcast_to(np.eye(len(CLASSES))[RANDOM], (len(patterns.count), len(CLASSES)))
    counts = _expected(patterns, everything_random)
    for inside, comparison, default in zip(slices, comparisons, defaults, strict=True):
        random = _random_shares(comparison, counts[inside, RANDOM], default[RANDOM], sampled)
        guesses = other_guesses(comparison, default[MATCH], random)
        logs[inside] = np.log2(np.stack([default[MATCH], random, *guesses], axis=1))
    total = patterns.count.sum()
    for _ in range(MOST_ROUNDS):
        chances = _sharpen(_chances(patterns, logs, shares))
        counts = _expected(patterns, chances)
        for inside, comparison, default in zip(slices, comparisons, defaults, strict=True):
            logs[inside] = np.log2(_maximise(comparison, counts[inside], np.exp2(logs[inside]), default, sampled))
        masses = (chances * patterns.count[:, None]).sum(axis=0) + LEAST_PAIRS
        before, shares = shares, np.log2(masses / total)
        if np.abs(np.exp2(shares - before) - 1).max() < SETTLED:
            break
    return Weights(tuple(comparisons), logs, shares, np.zeros(size))


def _chances(patterns: Patterns, logs: Floats, shares: Floats) -> Floats:
    """Patterns × classes: how likely each pattern is of each class."""
    sums = patterns.incidence @ logs + shares
    sums -= sums.max(axis=1, keepdims=True)
    odds = np.exp2(sums)
    result: Floats = odds / odds.sum(axis=1, keepdims=True)
    return result


SHARPNESS = 2.0
"""Pairs that are matches with little confidence count for less than their chance. There are very many of them, and
where names, years and places depend on each other more than the model knows, together they would drag it off."""


def _sharpen(chances: Floats) -> Floats:
    match = chances[:, MATCH] ** SHARPNESS
    rest = (1 - chances[:, MATCH]) ** SHARPNESS
    sharp = match / (match + rest)
    others = chances[:, RANDOM:] * ((1 - sharp) / np.maximum(1 - chances[:, MATCH], 1e-300))[:, None]
    return np.concatenate([sharp[:, None], others], axis=1)


def _expected(patterns: Patterns, chances: npt.NDArray[np.float64]) -> Floats:
    """Levels × classes: how many pairs of each class are at each level."""
    counts: Floats = patterns.incidence.T @ (chances * patterns.count[:, None])
    return counts


def _maximise(
    comparison: Comparison, counts: Floats, before: Floats, default: tuple[Floats, ...], sampled: float
) -> Floats:
    """Shares of the levels of one comparison by class, from the expected counts and the shares of the round before."""
    match = _shares(comparison, counts[:, MATCH], default[MATCH], STRENGTH[MATCH])
    if comparison.role in PERSONAL or comparison.parts[0] is ID:
        match = _bound_difference(comparison, match)
    random = _random_shares(comparison, counts[:, RANDOM], default[RANDOM], sampled)
    household = _sharing(household_sharing(comparison), counts[:, HOUSEHOLD], before[:, HOUSEHOLD], before)
    neighbour = _sharing(neighbour_sharing(comparison), counts[:, NEIGHBOUR], before[:, NEIGHBOUR], before)
    return np.stack(
        [
            match,
            random,
            mixed(match, random, household),
            namesake_shares(comparison, random),
            mixed(match, random, neighbour),
        ],
        axis=1,
    )


def _sharing(sharing: Sharing | None, counts: Floats, before: Floats, shares: Floats) -> float:
    """How often pairs of a class share a thing: of each level, what part is owed to sharing it.

    Only this one number is estimated for them. Were all their levels free, the classes would wander off to whatever
    else the data holds.
    """
    if sharing is None:
        return 0.0
    match, random = shares[:, MATCH], shares[:, RANDOM]
    apart = np.abs(match - random) > 1e-9
    mass = counts[apart]
    owed = (before[apart] - random[apart]) / (match[apart] - random[apart])
    was = float(np.clip(np.median(owed), sharing.least, sharing.most)) if apart.any() else sharing.start
    part = was * match[apart] / np.maximum(before[apart], 1e-300)
    total = float(mass.sum()) + SHARING_STRENGTH
    found = (float((mass * part).sum()) + SHARING_STRENGTH * sharing.start) / total
    return float(np.clip(found, sharing.least, sharing.most))


SHARING_STRENGTH = 60.0
"""Pairs that what is usually shared counts for."""

PERSONAL = {Role.NAME, Role.SURNAME, Role.BIRTH, Role.PERSON}
MOST_DIFFERENT = 0.3
"""Of the records of one person, the share whose names, birth dates or numbers may be wholly different. Without a bound
a crowd at one address, of whom some have one name, could be taken for the matches."""


def _bound_difference(comparison: Comparison, match: Floats) -> Floats:
    different = comparison.combinations[:, 0] == comparison.shape[0] - 1
    totals = np.bincount(comparison.presence, weights=match * different)[comparison.presence]
    excess = np.where(different & (totals > MOST_DIFFERENT), MOST_DIFFERENT / np.maximum(totals, 1e-12), 1.0)
    return _normalise(comparison, match * excess)


def _random_shares(comparison: Comparison, counts: Floats, default: Floats, sampled: float) -> Floats:
    shares = _shares(comparison, counts, default, STRENGTH[RANDOM] * sampled)
    return _normalise(comparison, np.maximum(shares, FLOOR * default))


def _shares(comparison: Comparison, counts: Floats, default: Floats, strength: float) -> Floats:
    """Shares of levels among those of equal presence, drawn towards what independent parts would give."""
    prior = default if len(comparison.parts) == 1 else _independent(comparison, counts, default, strength)
    return _normalise(comparison, counts + strength * prior)


def _independent(comparison: Comparison, counts: Floats, default: Floats, strength: float) -> Floats:
    """What the shares would be if the parts had nothing to do with each other."""
    shares = np.ones(comparison.size)
    for at in range(len(comparison.parts)):
        levels = comparison.combinations[:, at]
        mass = np.bincount(levels, weights=counts, minlength=comparison.shape[at])
        base = np.bincount(levels, weights=default, minlength=comparison.shape[at])
        known = mass[1:] + strength * base[1:] / base[1:].sum()
        shares *= np.concatenate(([1.0], known / known.sum()))[levels]
    return shares


def _normalise(comparison: Comparison, mass: Floats) -> Floats:
    totals = np.bincount(comparison.presence, weights=mass)
    return np.where(comparison.presence > 0, mass / totals[comparison.presence], 1.0)
