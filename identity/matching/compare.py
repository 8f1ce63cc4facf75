"""How alike two records are, field by field: every comparison ends in one of a few levels.

Levels are found with array operations on codes; string similarity is computed once per different pair of values.
Parts that depend on each other (given name and sex; street, number, city, postcode and state) are one comparison,
whose level is the combination of its parts' levels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from .contracts import ColumnType, Types
from .table import Feature, Flags, Floats, Layout, Table

Pairs = npt.NDArray[np.int64]
Levels = npt.NDArray[np.int32]
Packed = npt.NDArray[np.int16]


class Role(StrEnum):
    """What a comparison can say of pairs that are not one person."""

    PERSON = "person"
    """Differs between members of a household as between any two people."""
    NAME = "name"
    """As above, and namesakes share it."""
    SURNAME = "surname"
    """Shared by households and by namesakes."""
    BIRTH = "birth"
    """As PERSON, but twins share it."""
    FAMILY = "family"
    """Shared by households."""


@dataclass(frozen=True)
class Part:
    """Levels of one thing that is compared; the first is always `missing`. `same` counts levels of full agreement."""

    name: str
    words: tuple[str, ...]
    match: tuple[float, ...]
    """Default shares among records of one person, of every level but `missing`."""
    random: tuple[float, ...]
    """Among random pairs."""
    neutral: int = 0
    """A level that says nothing, like `missing`."""
    graded: bool = False
    """The first three levels after `missing` are full agreement, by how rare the value is."""


RARE, USUAL = 0.0005, 0.005
"""Shares of people with a value, up to which it is rare or usual; above it is common."""

_SAME = ("the same, rare", "the same", "the same, common")

GIVEN = Part(
    "given",
    (
        "missing",
        *_SAME,
        "given name and surname swapped",
        "the given name is the other's surname",
        "nickname",
        "nearly the same",
        "initial",
        "alike",
        "faintly alike",
        "different",
    ),
    (0.25, 0.35, 0.2, 0.01, 0.005, 0.03, 0.08, 0.02, 0.015, 0.01, 0.03),
    (0.00005, 0.0015, 0.005, 0.00001, 0.001, 0.002, 0.002, 0.003, 0.015, 0.04, 0.93),
    graded=True,
)
SURNAME = Part(
    "surname",
    ("missing", *_SAME, "nearly the same", "one holds the other", "alike", "faintly alike", "different"),
    (0.4, 0.3, 0.1, 0.1, 0.01, 0.02, 0.01, 0.06),
    (0.0001, 0.001, 0.001, 0.0015, 0.0005, 0.015, 0.03, 0.951),
    graded=True,
)
BIRTH = Part(
    "birth",
    (
        "missing",
        *_SAME,
        "day and month swapped",
        "one digit differs",
        "two of year, month and day agree",
        "within a month",
        "two digits differ",
        "within a year",
        "different",
    ),
    (0.8, 0.03, 0.01, 0.01, 0.06, 0.03, 0.01, 0.02, 0.01, 0.02),
    (0.00004, 0.00001, 0.00001, 0.00005, 0.0006, 0.003, 0.002, 0.008, 0.02, 0.966),
    graded=True,
)
AGE = Part("age", ("missing", "the same", "a year apart", "different"), (0.75, 0.2, 0.05), (0.015, 0.03, 0.955))
EMAIL = Part(
    "email",
    (
        "missing",
        *_SAME,
        "the same before the @",
        "nearly the same",
        "alike",
        "alike only in that both repeat the name",
        "different",
    ),
    (0.6, 0.01, 0.005, 0.06, 0.08, 0.02, 0.025, 0.2),
    (0.00001, 0.000003, 0.000003, 0.00001, 0.00001, 0.00005, 0.0003, 0.9995),
    neutral=7,
    graded=True,
)
PHONE = Part(
    "phone",
    ("missing", *_SAME, "one digit differs", "two digits differ", "different"),
    (0.6, 0.02, 0.01, 0.08, 0.02, 0.27),
    (0.00002, 0.000005, 0.000005, 0.00002, 0.0004, 0.99955),
    graded=True,
)
ID = Part(
    "id",
    ("missing", *_SAME, "one character differs", "two characters differ", "different"),
    (0.85, 0.01, 0.005, 0.09, 0.015, 0.03),
    (0.000001, 0.000001, 0.000001, 0.00002, 0.0004, 0.9996),
    graded=True,
)
STREET = Part(
    "street",
    ("missing", *_SAME, "nearly the same", "alike", "different"),
    (0.4, 0.2, 0.1, 0.1, 0.03, 0.17),
    (0.0002, 0.0004, 0.0004, 0.001, 0.003, 0.995),
    graded=True,
)
NUMBER = Part(
    "number", ("missing", "the same", "nearly the same", "different"), (0.77, 0.04, 0.19), (0.012, 0.08, 0.908)
)
POSTCODE = Part(
    "postcode", ("missing", "the same", "one character differs", "different"), (0.8, 0.06, 0.14), (0.002, 0.01, 0.988)
)
CITY = Part(
    "city",
    ("missing", "the same", "nearly the same", "alike", "different"),
    (0.78, 0.06, 0.02, 0.14),
    (0.01, 0.003, 0.02, 0.967),
)
STATE = Part("state", ("missing", "the same", "different"), (0.92, 0.08), (0.15, 0.85))
SEX = Part("sex", ("missing", "the same", "different"), (0.97, 0.03), (0.5, 0.5))
INITIAL = Part("initial", ("missing", "the same", "different"), (0.92, 0.08), (0.08, 0.92))
CATEGORY = Part(
    "category", ("missing", *_SAME, "different"), (0.1, 0.1, 0.65, 0.15), (0.0001, 0.003, 0.25, 0.7469), graded=True
)
UNIT = Part("unit", ("missing", *_SAME, "different"), (0.4, 0.2, 0.1, 0.3), (0.0005, 0.003, 0.02, 0.9765), graded=True)
LINE = Part(
    "line",
    ("missing", *_SAME, "nearly the same", "different"),
    (0.4, 0.2, 0.1, 0.1, 0.2),
    (0.0002, 0.001, 0.001, 0.002, 0.9958),
    graded=True,
)


@dataclass(frozen=True)
class Comparison:
    """Some columns, judged together."""

    name: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    role: Role

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(part.words) for part in self.parts)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @cached_property
    def combinations(self) -> npt.NDArray[np.int64]:
        """Every level's parts' levels: size × parts."""
        return np.asarray(list(product(*map(range, self.shape))), dtype=np.int64)

    @cached_property
    def presence(self) -> npt.NDArray[np.int64]:
        """By level: which of the parts are known, as a number. Shares add up to one among levels of equal presence."""
        neutral = np.asarray([part.neutral for part in self.parts])
        known = (self.combinations > 0) & (self.combinations != neutral)
        known = known * (1 << np.arange(len(self.parts)))
        return np.asarray(known.sum(axis=1), dtype=np.int64)

    @cached_property
    def agrees(self) -> Flags:
        """Levels at which the value that frequencies are counted of is the same."""
        if not self.parts[0].graded:
            return np.zeros(self.size, dtype=bool)
        same = (self.combinations[:, 0] >= 1) & (self.combinations[:, 0] <= 3)
        if NUMBER in self.parts:
            same &= self.combinations[:, self.parts.index(NUMBER)] == 1
        return np.asarray(same)

    def words(self, level: int) -> str:
        levels = self.combinations[level]
        if not levels.any():
            return "missing"
        if len(self.parts) == 1:
            return str(self.parts[0].words[levels[0]])
        return ", ".join(f"{p.name} {p.words[at]}" for p, at in zip(self.parts, levels, strict=True) if at)

    def default(self, *, match: bool) -> Floats:
        """Shares of all levels, the parts taken as independent."""
        shares = np.ones(self.size)
        for at, part in enumerate(self.parts):
            known = np.asarray(part.match if match else part.random)
            known = np.concatenate(([1.0], known))
            known[part.neutral] = 1.0
            shares *= known[self.combinations[:, at]]
        totals = np.bincount(self.presence, weights=shares)
        return np.where(self.presence > 0, shares / totals[self.presence], 1.0)


def plan_comparisons(types: Types) -> list[Comparison]:
    """What is compared, given the columns there are."""
    layout = Layout({name: kind for name, kind in types.items() if kind is not ColumnType.IGNORE})
    made: list[Comparison] = []
    sex = layout.of(ColumnType.SEX)
    for at, column in enumerate(layout.given):
        joined = sex[:1] if at == 0 else ()
        parts = (GIVEN, SEX) if joined else (GIVEN,)
        made.append(Comparison(_label(column, "given", layout), (column, *joined), parts, Role.NAME))
    made += [
        Comparison(_label(column, "surname", layout), (column,), (SURNAME,), Role.SURNAME) for column in layout.surname
    ]
    simple = (
        (ColumnType.INITIAL, INITIAL, Role.NAME),
        (ColumnType.BIRTH_DATE, BIRTH, Role.BIRTH),
        (ColumnType.AGE, AGE, Role.BIRTH),
        (ColumnType.EMAIL, EMAIL, Role.FAMILY),
        (ColumnType.PHONE, PHONE, Role.FAMILY),
        (ColumnType.NATIONAL_ID, ID, Role.FAMILY),
        (ColumnType.CATEGORY, CATEGORY, Role.FAMILY),
    )
    made += [Comparison(c, (c,), (part,), role) for kind, part, role in simple for c in layout.of(kind)]
    made += [Comparison(c, (c,), (SEX,), Role.PERSON) for c in (sex if not layout.given else sex[1:])]
    return made + _plan_places(layout)


def _label(column: str, part: str, layout: Layout) -> str:
    return f"{column} ({part})" if layout.types[column] is ColumnType.FULL_NAME else column


def _plan_places(layout: Layout) -> list[Comparison]:
    leading = [
        (columns[:1], part)
        for columns, part in (
            (layout.street, STREET),
            (layout.number, NUMBER),
            (layout.of(ColumnType.POSTCODE), POSTCODE),
            (layout.of(ColumnType.CITY), CITY),
            (layout.of(ColumnType.STATE), STATE),
        )
        if columns
    ]
    made = []
    if leading:
        columns = tuple(dict.fromkeys(column for chosen, _ in leading for column in chosen))
        made.append(Comparison(" + ".join(columns), columns, tuple(part for _, part in leading), Role.FAMILY))
    for kinds, part in (
        ((ColumnType.STREET, ColumnType.ADDRESS), LINE),
        ((ColumnType.HOUSE_NUMBER,), UNIT),
        ((ColumnType.POSTCODE,), UNIT),
        ((ColumnType.CITY,), LINE),
        ((ColumnType.STATE,), CATEGORY),
    ):
        made += [Comparison(column, (column,), (part,), Role.FAMILY) for column in layout.of(*kinds)[1:]]
    return made


def counted(comparison: Comparison, table: Table) -> Feature | None:
    """The values whose frequency matters to this comparison."""
    column, part = comparison.columns[0], comparison.parts[0]
    if part is GIVEN:
        return table.given(column)
    if part is SURNAME:
        return table.surname(column)
    if part is STREET:
        return _address(comparison, table) if NUMBER in comparison.parts else table.street(column)
    return table.clean(column) if part.graded else None


def _address(comparison: Comparison, table: Table) -> Feature:
    key = (comparison.name, "address")
    if key not in table.cache:
        street, number = table.street(comparison.columns[0]), table.number(table.layout.number[0])
        width = len(number.vocabulary) + 1
        joined = np.where(street.known & number.known, street.codes.astype(np.int64) * width + number.codes, -1)
        codes, values = pd.factorize(joined[joined >= 0])
        texts = np.empty(len(values), dtype=object)
        texts[:] = [
            f"{street.vocabulary[value // width]} {number.vocabulary[value % width]}" for value in values.tolist()
        ]
        spread = np.full(len(joined), -1, dtype=np.int32)
        spread[joined >= 0] = codes
        table.cache[key] = Feature(spread, texts)
    return table.cache[key]


@dataclass(frozen=True)
class Compared:
    """Levels of pairs: pairs × comparisons; and the frequency of what is shared, 0 where nothing is."""

    levels: Packed
    shared: npt.NDArray[np.float32]

    def take(self, chosen: npt.NDArray[Any] | slice) -> "Compared":
        return Compared(self.levels[chosen], self.shared[chosen])


def join(parts: Sequence[Compared], comparisons: int) -> Compared:
    if not parts:
        return Compared(np.zeros((0, comparisons), dtype=np.int16), np.zeros((0, comparisons), dtype=np.float32))
    return Compared(np.concatenate([p.levels for p in parts]), np.concatenate([p.shared for p in parts]))


Frequencies = Mapping[str, Floats]
"""By comparison: the share of people with each value, by the value's code in this table."""


def count_frequencies(comparisons: Sequence[Comparison], table: Table, *, among: int = 1) -> dict[str, Floats]:
    """Shares of records with each value. Of fewer than `among` records, as if there were so many."""
    found = {}
    for comparison in comparisons:
        feature = counted(comparison, table)
        if feature is not None:
            found[comparison.name] = feature.counts / max(among, feature.counts.sum())
    return found


class Comparer:
    """Compares rows of one table."""

    def __init__(self, table: Table, comparisons: Sequence[Comparison], frequencies: Frequencies) -> None:
        self.table = table
        self.comparisons = comparisons
        self.frequencies = frequencies

    def compare(self, pairs: Pairs) -> Compared:
        levels = np.zeros((len(pairs), len(self.comparisons)), dtype=np.int16)
        shared = np.zeros((len(pairs), len(self.comparisons)), dtype=np.float32)
        look = _Look(self.table, pairs[:, 0], pairs[:, 1])
        for at, comparison in enumerate(self.comparisons):
            levels[:, at], shared[:, at] = self._compare(comparison, look)
        return Compared(levels, shared)

    def share_anew(self, levels: Packed, pairs: Pairs) -> Compared:
        """These levels, with this comparer's frequencies."""
        shared = np.zeros(levels.shape, dtype=np.float32)
        for at, comparison in enumerate(self.comparisons):
            feature = counted(comparison, self.table)
            if feature is not None:
                agreed = np.flatnonzero(comparison.agrees[levels[:, at]])
                frequency = self.frequencies[comparison.name].astype(np.float32)
                shared[agreed, at] = feature.of_rows(pairs[agreed, 0], frequency, 0)
        return Compared(levels, shared)

    def _compare(self, comparison: Comparison, look: "_Look") -> tuple[Levels, npt.NDArray[np.float32]]:
        level = np.zeros(len(look.one), dtype=np.int32)
        for at, part in enumerate(comparison.parts):
            level = level * np.int32(len(part.words)) + self._part(part, comparison, look, leading=at == 0)
        feature = counted(comparison, self.table)
        if feature is None:
            return level, np.zeros(len(level), dtype=np.float32)
        agreed = np.flatnonzero(comparison.agrees[level])
        shared = np.zeros(len(level), dtype=np.float32)
        shared[agreed] = feature.of_rows(look.one[agreed], self.frequencies[comparison.name].astype(np.float32), 0)
        return level, shared

    def _part(self, part: Part, comparison: Comparison, look: "_Look", *, leading: bool) -> Levels:
        column = comparison.columns[0] if leading else column_of(part, comparison, self.table.layout.types)
        level = _COMPARE[part.name](look, column)
        if leading and part.graded:
            feature = counted(comparison, self.table)
            assert feature is not None  # noqa: S101 - graded parts are counted
            shares = feature.of_rows(look.one, self.frequencies[comparison.name], 0.0)
            grade = 1 + (shares > RARE).astype(np.int32) + (shares > USUAL)
            level = np.where(level == 1, grade, level + 2 * (level > 1)).astype(np.int32)
        return level


def column_of(part: Part, comparison: Comparison, types: Types) -> str:
    """The column of a part that is not the leading one."""
    kinds = {
        "number": (ColumnType.HOUSE_NUMBER, ColumnType.ADDRESS),
        "postcode": (ColumnType.POSTCODE,),
        "city": (ColumnType.CITY,),
        "state": (ColumnType.STATE,),
        "sex": (ColumnType.SEX,),
    }[part.name]
    return next(column for kind in kinds for column in comparison.columns if types[column] is kind)


class _Look:
    """Pairs of rows, and questions asked of them. Levels here are ungraded: 0 missing, 1 the same, 2 and up."""

    def __init__(self, table: Table, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> None:
        self.table, self.one, self.other = table, one, other

    def known(self, feature: Feature) -> Flags:
        return np.asarray((feature.codes[self.one] >= 0) & (feature.codes[self.other] >= 0))

    def same(self, feature: Feature) -> Flags:
        left = feature.codes[self.one]
        return np.asarray((left >= 0) & (left == feature.codes[self.other]))

    @cached_property
    def swapped(self) -> npt.NDArray[np.int8]:
        """1: each one's given name is the other's surname; 2: one way, the other way one is missing; 3: or differs.

        Compared only where neither name is the same already, and the crossed names begin alike. Where both cross, one
        may be misspelt.
        """
        layout, table = self.table.layout, self.table
        given, surname = layout.given[0], layout.surname[0]
        result = np.zeros(len(self.one), dtype=np.int8)
        open_ = ~self.same(table.given(given)) & ~self.same(table.surname(surname))
        forth = self._crossed(self.one, self.other, open_)
        back = self._crossed(self.other, self.one, open_)
        first, last = table.given(given).known, table.surname(surname).known
        result[np.maximum(forth, back) == SURELY] = 3
        result[(forth == SURELY) & ~(first[self.other] & last[self.one])] = 2
        result[(back == SURELY) & ~(first[self.one] & last[self.other])] = 2
        result[(np.minimum(forth, back) > 0) & (np.maximum(forth, back) == SURELY)] = 1
        return result

    def _crossed(self, one: npt.NDArray[np.int64], other: npt.NDArray[np.int64], where: Flags) -> npt.NDArray[np.int8]:
        """How alike the given name of one and the surname of the other are: SURELY, 1 for perhaps, or not at all."""
        layout, table = self.table.layout, self.table
        given, surname = table.given(layout.given[0]), table.surname(layout.surname[0])
        first = table.initial(layout.given[0], "given").hashes[one]
        last = table.initial(layout.surname[0], "surname").hashes[other]
        at = np.flatnonzero(where & (first > 0) & (first == last))
        at = at[(given.lengths[one[at]] > 1) & (surname.lengths[other[at]] > 1)]
        texts = given.vocabulary[given.codes[one[at]]], surname.vocabulary[surname.codes[other[at]]]
        scores = np.asarray(
            process.cpdist(*texts, scorer=JaroWinkler.similarity, score_cutoff=ALIKE, dtype=np.float32)
        )
        result = np.zeros(len(one), dtype=np.int8)
        result[at[scores >= ALIKE]] = 1
        result[at[scores >= CLOSE]] = SURELY
        return result

    def measure(self, feature: Feature, where: Flags, scorer: Callable[..., float], cutoff: float) -> Floats:
        """The scorer's result for the pairs of `where`, computed once per different pair of values."""
        at = np.flatnonzero(where)
        left, right = feature.codes[self.one[at]].astype(np.int64), feature.codes[self.other[at]].astype(np.int64)
        coded = np.minimum(left, right) * len(feature.vocabulary) + np.maximum(left, right)
        which, different = pd.factorize(coded) if len(coded) > FEW else (slice(None), coded)
        width = max(1, len(feature.vocabulary))
        scores = process.cpdist(
            feature.vocabulary[different // width],
            feature.vocabulary[different % width],
            scorer=scorer,
            score_cutoff=cutoff,
            dtype=np.float32,
        )
        result: Floats = np.asarray(scores)[which]
        return result

    def start(self, feature: Feature) -> tuple[Levels, Flags]:
        """Levels with `missing` and `the same` filled in, and which pairs are left to judge."""
        one, other = feature.codes[self.one], feature.codes[self.other]
        known, same = (one >= 0) & (other >= 0), one == other
        return (known & same).astype(np.int32), known & ~same


FEW = 2000

PUBLIC = frozenset(
    f"{name}.{ending}"
    for name, endings in (
        ("gmail", "com"),
        ("hotmail", "com co.uk fr de it es"),
        ("outlook", "com de fr es"),
        ("live", "com co.uk fr nl"),
        ("msn", "com"),
        ("yahoo", "com co.uk co.in fr de es it ca com.au com.br co.jp"),
        ("ymail", "com"),
        ("icloud", "com"),
        ("me", "com"),
        ("mac", "com"),
        ("aol", "com"),
        ("gmx", "com de net at ch"),
        ("web", "de"),
        ("t-online", "de"),
        ("freenet", "de"),
        ("mail", "com ru"),
        ("yandex", "com ru"),
        ("proton", "me"),
        ("protonmail", "com"),
        ("orange", "fr"),
        ("wanadoo", "fr"),
        ("free", "fr"),
        ("libero", "it"),
        ("bigpond", "com"),
        ("comcast", "net"),
        ("verizon", "net"),
        ("att", "net"),
        ("btinternet", "com"),
        ("sky", "com"),
        ("qq", "com"),
        ("163", "com"),
        ("naver", "com"),
        ("uol", "com.br"),
        ("example", "com org net"),
    )
    for ending in endings.split()
)
"""Where anybody can have an e-mail address, so that the part after the @ says nothing of its owner."""


def _by_similarity(look: _Look, feature: Feature, steps: Sequence[float], first: int) -> Levels:
    """Levels from `first` on by falling Jaro-Winkler similarity, the last for all below."""
    level, left = look.start(feature)
    score = look.measure(feature, left, JaroWinkler.similarity, min(steps))
    level[left] = first + sum((score < step).astype(np.int32) for step in steps)
    return level


def _by_edits(look: _Look, feature: Feature, most: int) -> Levels:
    """Level 2 for one edit, 3 for two …, the last for more than `most`."""
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, most)
    level[left] = 1 + np.minimum(edits, most + 1).astype(np.int32)
    return level


def _given(look: _Look, column: str) -> Levels:
    table = look.table
    feature = table.given(column)
    level, left = look.start(feature)
    score = look.measure(feature, left, JaroWinkler.similarity, FAINT)
    found = (5 + 2 * (score < CLOSE) + (score < ALIKE) + (score < FAINT)).astype(np.int32)
    one, other = look.one[left], look.other[left]
    part = _Look(table, one, other)
    found[(found > 7) & part.same(table.sound(column, "given"))] = 7
    short = (feature.lengths[one] == 1) | (feature.lengths[other] == 1)
    found[part.same(table.initial(column, "given")) & short] = 6
    found[part.same(table.root(column))] = 4
    level[left] = found
    if _may_swap(table, column):
        level[look.swapped == 1] = 2
        level[look.swapped >= 2] = 3
    return level


CLOSE, ALIKE, FAINT = 0.92, 0.8, 0.7
"""Jaro-Winkler similarities from which names are nearly the same, alike, faintly alike."""
SURELY = 2


def _may_swap(table: Table, column: str) -> bool:
    layout = table.layout
    return bool(layout.given and layout.surname) and column in {layout.given[0], layout.surname[0]}


def _surname(look: _Look, column: str) -> Levels:
    table = look.table
    feature = table.surname(column)
    level, left = look.start(feature)
    score = look.measure(feature, left, JaroWinkler.similarity, FAINT)
    found = (2 + 2 * (score < CLOSE) + (score < ALIKE) + (score < FAINT)).astype(np.int32)
    part = _Look(table, look.one[left], look.other[left])
    found[(found > 4) & part.same(table.sound(column, "surname"))] = 4
    double = [feature.of_rows(rows, feature.spaced, False) for rows in (part.one, part.other)]
    for at in np.flatnonzero(double[0] | double[1]).tolist():
        one = set(feature.vocabulary[feature.codes[part.one[at]]].split())
        other = set(feature.vocabulary[feature.codes[part.other[at]]].split())
        if one <= other or other <= one:
            found[at] = 3
    level[left] = found
    if _may_swap(table, column):
        level[(look.swapped == 1) | (look.swapped == 2)] = 0
    return level


def _birth(look: _Look, column: str) -> Levels:
    table = look.table
    feature = table.clean(column)
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, 2)
    part = _Look(table, look.one[left], look.other[left])
    year = part.same(table.part(column, "year", lambda value: value[:4]))
    month = part.same(table.part(column, "month", lambda value: value[4:6]))
    day = part.same(table.part(column, "day", lambda value: value[6:]))
    turned = table.part(column, "turned", lambda value: value[:4] + value[6:] + value[4:6])
    days = table.measure(column, "days", days_of, 0)
    apart = np.abs(days[part.one] - days[part.other])
    found = np.full(len(edits), 8, dtype=np.int32)
    found[apart <= 366] = 7
    found[edits <= 2] = 6
    found[apart <= 31] = 5
    found[year.astype(int) + month + day >= 2] = 4
    found[edits <= 1] = 3
    found[feature.hashes[part.one] == turned.hashes[part.other]] = 2
    level[left] = found
    return level


def days_of(date: str) -> int:
    """Roughly, since year 0."""
    year, month, day = (int(text or 0) for text in (date[:4], date[4:6], date[6:8]))
    return round(365.25 * year + 30.44 * month) + day


NEAR = 366
"""Days between birth dates of people of about one age."""


def _age(look: _Look, column: str) -> Levels:
    """Of birth dates that are near each other, ages say nothing more."""
    feature = look.table.clean(column)
    level, left = look.start(feature)
    years = look.table.measure(column, "years", int, 0)
    level[left] = np.where(np.abs(years[look.one[left]] - years[look.other[left]]) <= 1, 2, 3)
    for birth in look.table.layout.of(ColumnType.BIRTH_DATE)[:1]:
        days = look.table.measure(birth, "days", days_of, 0)
        near = np.abs(days[look.one] - days[look.other]) <= NEAR
        level[look.known(look.table.clean(birth)) & near] = 0
    return level


def _public_domain(address: str) -> str | None:
    domain = address.partition("@")[2]
    return domain if domain in PUBLIC else None


MOST_EDITS = 6
ALIKE_SHARE = 0.25
"""Of the letters of an e-mail address, the share that may differ for it to be alike."""


def _email(look: _Look, column: str) -> Levels:
    table = look.table
    feature = table.clean(column)
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, MOST_EDITS)
    one, other = look.one[left], look.other[left]
    part = _Look(table, one, other)
    local = table.part(column, "key.local", lambda value: value.partition("@")[0])
    public = table.part(column, "public domain", _public_domain)
    at_public = part.same(public)
    length = np.where(at_public, local.lengths[one], feature.lengths[one])
    found = np.full(len(edits), 6, dtype=np.int32)
    found[edits <= np.minimum(ALIKE_SHARE * length, MOST_EDITS)] = 4
    found[edits <= np.minimum(0.4 * length, 2)] = 3
    found[part.same(local)] = 2
    apart = (found == 2) & (edits > ALIKE_SHARE * length)
    close = np.flatnonzero((found < 6) & (at_public | apart))
    if len(close):
        rows = one[close], other[close]
        digits = table.part(column, "digits", local_digits)
        plain = _repeats_name(table, column, rows[0]) & _repeats_name(table, column, rows[1])
        found[close[plain & ~_Look(table, *rows).same(digits)]] = 5
    level[left] = found
    return level


def local_digits(address: str) -> str | None:
    return "".join(filter(str.isdigit, address.partition("@")[0])) or None


def _repeats_name(table: Table, column: str, rows: npt.NDArray[np.int64]) -> Flags:
    """Whether an e-mail address holds no more than its owner's name."""
    if not table.layout.given or not table.layout.surname:
        return np.zeros(len(rows), dtype=bool)
    found = table.measures.setdefault((column, "repeats name"), np.full(table.rows, UNASKED, dtype=np.int8))
    asked = np.zeros(table.rows, dtype=bool)
    asked[rows] = True
    email = table.clean(column)
    given, surname = table.given(table.layout.given[0]), table.surname(table.layout.surname[0])
    for row in np.flatnonzero(asked & (found == UNASKED)).tolist():
        mail, first, last = email.codes[row], given.codes[row], surname.codes[row]
        local = "".join(filter(str.isalpha, email.vocabulary[mail].partition("@")[0]))
        names = (given.vocabulary[first] if first >= 0 else "", surname.vocabulary[last] if last >= 0 else "")
        found[row] = holds_only(local, names[0].replace(" ", ""), names[1].replace(" ", ""))
    return np.asarray(found[rows] == 1)


UNASKED = -1
MERE_INITIALS = 3
"""Letters of an e-mail address up to which they are initials, or might be."""


def holds_only(local: str, given: str, surname: str) -> bool:
    if len(local) <= MERE_INITIALS:
        return True
    forms = (
        given + surname,
        given[:1] + surname,
        surname + given,
        given + surname[:1],
        surname + given[:1],
        given,
        surname,
    )
    return any(form and OSA.normalized_similarity(local, form) >= 0.75 for form in forms)


def _street(look: _Look, column: str) -> Levels:
    return _by_similarity(look, look.table.street(column), (0.92, 0.82), 2)


def _line(look: _Look, column: str) -> Levels:
    return _by_similarity(look, look.table.clean(column), (0.9,), 2)


def _number(look: _Look, column: str) -> Levels:
    feature = look.table.number(column)
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, 1)
    level[left] = np.where(edits <= 1, 2, 3)
    return level


def _equal(look: _Look, column: str) -> Levels:
    level, left = look.start(look.table.clean(column))
    level[left] = 2
    return level


_COMPARE: dict[str, Callable[[_Look, str], Levels]] = {
    "given": _given,
    "surname": _surname,
    "birth": _birth,
    "age": _age,
    "email": _email,
    "phone": lambda look, column: _by_edits(look, look.table.clean(column), 2),
    "id": lambda look, column: _by_edits(look, look.table.clean(column), 2),
    "street": _street,
    "number": _number,
    "line": _line,
    "postcode": lambda look, column: _by_edits(look, look.table.clean(column), 1),
    "city": lambda look, column: _by_similarity(look, look.table.clean(column), (0.88, 0.75), 2),
    "state": _equal,
    "sex": _equal,
    "initial": _equal,
    "category": _equal,
    "unit": _equal,
}
