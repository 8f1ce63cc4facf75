"""How alike two records are, field by field: every comparison ends in one of a few levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .comparisons import GIVEN, NUMBER, RARE, STREET, SURNAME, USUAL, Comparison, Part
from .contracts import ColumnType, Types
from .levels import LEVELS, Levels, Look
from .table import Feature, Floats, Table

Pairs = npt.NDArray[np.int64]
Packed = npt.NDArray[np.int16]


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
        look = Look(self.table, pairs[:, 0], pairs[:, 1])
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

    def _compare(self, comparison: Comparison, look: Look) -> tuple[Levels, npt.NDArray[np.float32]]:
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

    def _part(self, part: Part, comparison: Comparison, look: Look, *, leading: bool) -> Levels:
        column = comparison.columns[0] if leading else column_of(part, comparison, self.table.layout.types)
        level = LEVELS[part.name](look, column)
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
