"""What matching has learnt of a deployment's people: everything that a pair is judged by, as plain data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from .comparisons import Comparison, Role, plan_comparisons
from .contracts import ColumnType, Types
from .table import Flags, Floats, Ints

GRAIN = 1024.0
"""Weights are whole multiples of 1/GRAIN: their sums are exact, in whatever order they are taken."""

CLASSES = ("match", "random", "household", "namesake", "neighbour")
"""What a pair can be: one person, any two people, relatives or others who share a home, people of one name,
those who have a place or a number in common but nothing else."""


class FieldWeights(msgspec.Struct, frozen=True):
    """Log2 of the share of pairs at each level of one comparison, by class."""

    name: str
    match: list[float]
    random: list[float]
    household: list[float]
    namesake: list[float]
    neighbour: list[float]
    learned: list[float] = []
    """Added by what people answered, in log2 odds; empty where nobody was asked."""


class Model(msgspec.Struct, frozen=True):
    """JSON-able by `msgspec.to_builtins`, and back by `msgspec.convert(…, Model)`."""

    types: dict[str, ColumnType]
    fields: list[FieldWeights]
    shares: list[float]
    """Log2 of how many of all pairs are of each class."""
    formats: dict[str, tuple[bool, bool]] = {}
    """By column of dates: day before month, year before both."""
    frequencies: dict[str, dict[str, float]] = {}
    """By field: the share of people that have a value; only of values that are not rare."""
    rarest: dict[str, float] = {}
    """By field: the share that stands for all other values."""
    passes: dict[str, int] = {}
    """By blocking key in use: the largest block that is compared."""
    crowded: list[int] = []
    """Blocking keys that too many records share: only of use together with a second one."""
    prior_shift: float = 0.0
    """Added by what people answered."""
    learned_share: float = 0.0
    """How much what people answered weighs against what was estimated."""
    calibration: tuple[float, float] = (1.0, 0.0)
    """Slope and shift of log2 odds before they become a probability."""
    threshold: float = 0.5
    records: int = 0
    """How many records it was estimated from; 0 for the default weights."""
    version: int = 1

    def probability(self, score: Floats) -> Floats:
        slope, shift = self.calibration
        odds = np.clip(slope * np.asarray(score) + shift, -60, 60)
        result: Floats = 1 / (1 + np.exp2(-odds))
        return result

    def odds_at(self, probability: float) -> float:
        """The score at which this probability is reached."""
        slope, shift = self.calibration
        wanted = (
            math.log2(probability / (1 - probability)) if 0 < probability < 1 else math.copysign(60, probability - 0.5)
        )
        return (wanted - shift) / slope


@dataclass(frozen=True)
class Weights:
    """A model's weights as arrays, laid side by side for all comparisons."""

    comparisons: tuple[Comparison, ...]
    logs: Floats
    """Levels of all comparisons × classes."""
    shares: Floats
    """Log2 shares of the classes."""
    learned: Floats
    """By level: log2 odds that labels add."""
    learned_shift: float = 0.0
    learned_share: float = 0.0

    @cached_property
    def offsets(self) -> Ints:
        sizes = [comparison.size for comparison in self.comparisons]
        return np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64) if sizes else np.zeros(0, dtype=np.int64)

    @cached_property
    def gains(self) -> npt.NDArray[np.float32]:
        """Levels × classes but the first: how much likelier a level is for one person."""
        return (np.round((self.logs[:, :1] - self.logs[:, 1:]) * GRAIN) / GRAIN).astype(np.float32)

    @cached_property
    def learned_gains(self) -> npt.NDArray[np.float32]:
        return (np.round(self.learned * GRAIN) / GRAIN).astype(np.float32)

    @cached_property
    def known(self) -> Flags:
        """By level: whether anything of it is known."""
        return np.concatenate([comparison.presence > 0 for comparison in self.comparisons] or [np.zeros(0, bool)])

    @cached_property
    def typical(self) -> Floats:
        """By level of agreement: log2 of the frequency that its weight stands for; nan at other levels."""
        found = []
        for at, comparison in enumerate(self.comparisons):
            logs = self.logs[self.offsets[at] : self.offsets[at] + comparison.size]
            found.append(_typical(comparison, np.exp2(logs[:, 0]), np.exp2(logs[:, 1])))
        return np.concatenate(found or [np.zeros(0)])

    @cached_property
    def coincidence(self) -> Floats:
        """Comparisons × classes but the first: 1 where agreement of that class is by chance, so that rarity counts."""
        by_role = {
            Role.NAME: (1, 1, 1, 1),
            Role.SURNAME: (1, 0, 1, 1),
            Role.BIRTH: (1, 0, 1, 1),
            Role.PERSON: (1, 1, 1, 1),
            Role.FAMILY: (1, 0, 1, 0),
        }
        return np.asarray([by_role[c.role] for c in self.comparisons], dtype=np.float64).reshape(-1, len(CLASSES) - 1)


def _typical(comparison: Comparison, match: Floats, random: Floats) -> Floats:
    """A value's own frequency p replaces the level's: the weight becomes log2(share of matches that agree / p)."""
    result = np.full(comparison.size, np.nan)
    agrees = comparison.agrees
    for presence in np.unique(comparison.presence[agrees]):
        inside = agrees & (comparison.presence == presence)
        grades = comparison.combinations[:, 0]
        for grade in np.unique(grades[inside]):
            level = inside & (grades == grade)
            result[level] = math.log2(match[inside].sum() * random[level].sum() / match[level].sum())
    return result


def unpack(model: Model) -> Weights:
    comparisons = tuple(plan_comparisons(model.types))
    logs = [np.stack([getattr(f, name) for name in CLASSES], axis=1) for f in model.fields]
    learned = [np.asarray(f.learned or np.zeros(len(f.match))) for f in model.fields]
    return Weights(
        comparisons,
        np.concatenate(logs) if logs else np.zeros((0, len(CLASSES))),
        np.asarray(model.shares),
        np.concatenate(learned) if learned else np.zeros(0),
        model.prior_shift,
        model.learned_share,
    )


def pack_fields(weights: Weights) -> list[FieldWeights]:
    fields = []
    for at, comparison in enumerate(weights.comparisons):
        inside = slice(int(weights.offsets[at]), int(weights.offsets[at]) + comparison.size)
        match, random, household, namesake, neighbour = (
            [round(v, 4) for v in of] for of in weights.logs[inside].T.tolist()
        )
        learned = [round(v, 4) for v in weights.learned[inside].tolist()] if weights.learned[inside].any() else []
        fields.append(FieldWeights(comparison.name, match, random, household, namesake, neighbour, learned))
    return fields


def default_model(
    types: Types, *, formats: Mapping[str, tuple[bool, bool]] | None = None, people: int = 1000
) -> Model:
    """Weights for a deployment too small to estimate any: shares as they are usual, frequencies unknown."""
    kept: dict[str, ColumnType] = {name: kind for name, kind in types.items() if kind is not ColumnType.IGNORE}
    comparisons = tuple(plan_comparisons(kept))
    logs = [np.log2(np.stack(default_classes(comparison), axis=1)) for comparison in comparisons]
    weights = Weights(
        comparisons,
        np.concatenate(logs) if logs else np.zeros((0, len(CLASSES))),
        default_shares(people),
        np.zeros(sum(c.size for c in comparisons)),
    )
    return Model(types=kept, fields=pack_fields(weights), shares=weights.shares.tolist(), formats=dict(formats or {}))


def default_shares(people: int) -> Floats:
    """Every second record has a double, a relative and a namesake."""
    rare = 1.0 / max(20, people)
    return np.log2([0.5 * rare, 1 - 2 * rare, 0.5 * rare, 0.5 * rare, 0.5 * rare])


def default_classes(comparison: Comparison) -> tuple[Floats, ...]:
    match, random = comparison.default(match=True), comparison.default(match=False)
    return match, random, *other_guesses(comparison, match, random)


@dataclass(frozen=True)
class Sharing:
    """How often pairs of a class have a thing in common, where they are not one person: at first, least and most."""

    start: float
    least: float
    most: float


_PLACE = Sharing(0.8, 0.4, 0.98)
AT_HOME: dict[str, Sharing] = {
    "surname": Sharing(0.8, 0.5, 0.95),
    "birth": Sharing(0.03, 0.003, 0.15),
    "age": Sharing(0.03, 0.003, 0.15),
    "id": Sharing(0.02, 0.0005, 0.2),
    "email": Sharing(0.15, 0.001, 0.6),
    "phone": Sharing(0.3, 0.001, 0.7),
    "category": Sharing(0.5, 0.01, 0.98),
}
NEXT_DOOR: dict[str, Sharing] = {
    "id": Sharing(0.005, 0.0005, 0.1),
    "email": Sharing(0.05, 0.0005, 0.5),
    "phone": Sharing(0.1, 0.0005, 0.5),
    "category": Sharing(0.5, 0.01, 0.98),
}
"""By the leading part of a comparison; places are not listed."""
NAMED_ALIKE = 0.97


def household_sharing(comparison: Comparison) -> Sharing | None:
    """What relatives share; None where they are as any two people."""
    if comparison.role in {Role.NAME, Role.PERSON}:
        return None
    return AT_HOME.get(comparison.parts[0].name, _PLACE)


def neighbour_sharing(comparison: Comparison) -> Sharing | None:
    return NEXT_DOOR.get(comparison.parts[0].name, _PLACE) if comparison.role is Role.FAMILY else None


def other_guesses(comparison: Comparison, match: Floats, random: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares of levels among pairs of a household, of namesakes and of neighbours, before anything is estimated."""
    home, next_door = household_sharing(comparison), neighbour_sharing(comparison)
    return (
        mixed(match, random, home.start if home else 0.0),
        namesake_shares(comparison, random),
        mixed(match, random, next_door.start if next_door else 0.0),
    )


def mixed(match: Floats, random: Floats, shared: float) -> Floats:
    """Those who share a thing agree on it as well as records of one person do, the others as any two people."""
    return shared * match + (1 - shared) * random


def namesake_shares(comparison: Comparison, random: Floats) -> Floats:
    """Namesakes agree by chance: on frequent names more than on rare ones."""
    if comparison.role not in {Role.NAME, Role.SURNAME}:
        return random
    agrees = comparison.agrees * random
    totals = np.bincount(comparison.presence, weights=agrees)[comparison.presence]
    alike = np.where(totals > 0, agrees / np.maximum(totals, 1e-300), random)
    return mixed(alike, random, NAMED_ALIKE)
