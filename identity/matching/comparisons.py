"""What is compared, given the columns there are: parts with their levels, and how they are judged together.

Parts that depend on each other (given name and sex; street, number, city, postcode and state) are one comparison,
whose level is the combination of its parts' levels.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from .contracts import ColumnType, Types
from .table import Flags, Floats, Layout


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
