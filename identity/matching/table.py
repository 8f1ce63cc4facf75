"""A table of people, cleaned: every column as codes over its different values, so that work is done once a value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from . import normalise
from .contracts import Columns, ColumnType, Record, Types

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

MOST_VALUES = 5
"""Values of a column that count, where a record has many: the leading ones."""


FEW = 64
"""Values up to which a loop is faster than an array."""


@dataclass(frozen=True)
class Feature:
    """One thing known of every row: `codes` point into `vocabulary`, -1 where nothing is known."""

    codes: Codes
    vocabulary: npt.NDArray[np.object_]

    @classmethod
    def of(cls, texts: Sequence[str | None] | npt.NDArray[np.object_]) -> "Feature":
        if len(texts) <= FEW:
            return cls._of_few(texts)
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
        codes, values = pd.factorize(array)
        return cls(codes.astype(np.int32), np.asarray(values, dtype=object))

    @classmethod
    def _of_few(cls, texts: Sequence[str | None] | npt.NDArray[np.object_]) -> "Feature":
        """The same without what arrays cost before they begin."""
        known: dict[str, int] = {}
        codes = [-1 if text is None else known.setdefault(text, len(known)) for text in texts]
        vocabulary = np.empty(len(known), dtype=object)
        vocabulary[:] = list(known)
        return cls(np.asarray(codes, dtype=np.int32), vocabulary)

    def derive(self, change: Callable[[str], str | None]) -> "Feature":
        changed = Feature.of([change(value) for value in self.vocabulary])
        return Feature(self.spread(changed.codes, -1), changed.vocabulary)

    def spread(self, by_value: npt.NDArray[Any], missing: Any) -> npt.NDArray[Any]:
        """What is given by value, by row."""
        return self.spread_to(self.codes, by_value, missing)

    def of_rows(self, rows: Ints, by_value: npt.NDArray[Any], missing: Any) -> npt.NDArray[Any]:
        """What is given by value, of some rows."""
        return self.spread_to(self.codes[rows], by_value, missing)

    @staticmethod
    def spread_to(codes: Codes, by_value: npt.NDArray[Any], missing: Any) -> npt.NDArray[Any]:
        padded = np.empty(len(by_value) + 1, dtype=by_value.dtype)
        padded[:-1] = by_value
        padded[-1] = missing
        return padded[codes]

    @cached_property
    def hashes(self) -> Hashes:
        """A stable 64-bit hash of every row's value, 0 where nothing is known."""
        return self.spread(hash_texts(self.vocabulary), 0)

    @cached_property
    def counts(self) -> Ints:
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.vocabulary)).astype(np.int64)

    @cached_property
    def lengths(self) -> Ints:
        return self.spread(np.asarray([len(value) for value in self.vocabulary], dtype=np.int64), 0)

    @cached_property
    def spaced(self) -> Flags:
        """By value: whether it is of several words."""
        return np.asarray([" " in value for value in self.vocabulary], dtype=bool)

    @property
    def known(self) -> Flags:
        return self.codes >= 0

    def fill(self, other: "Feature") -> "Feature":
        """The other, where nothing is known here."""
        if (self.codes >= 0).all() or not len(other.vocabulary):
            return self
        return Feature.of(np.where(self.codes >= 0, self.texts, other.texts))

    @property
    def texts(self) -> npt.NDArray[np.object_]:
        return self.spread(self.vocabulary, None)


def hash_texts(texts: npt.NDArray[np.object_]) -> Hashes:
    return np.asarray(pd.util.hash_array(texts, categorize=False), dtype=np.uint64) | np.uint64(1)


def guess_date_format(values: Iterable[str]) -> tuple[bool, bool]:
    """Whether the day comes before the month, and the year before both, by what can be no month and no year."""
    day_first = month_first = year_first = year_last = 0
    for value in values:
        groups = normalise.GROUPS.findall(normalise.squeeze(value))
        if len(groups) >= 3 and groups[0].isdigit() and groups[1].isdigit() and len(groups[0]) <= 2:
            day_first += 12 < int(groups[0]) <= 31
            month_first += 12 < int(groups[1][:2]) <= 31
        elif len(groups) == 1 and len(groups[0]) == 8 and groups[0].isdigit():
            year_first += groups[0][:2] in {"19", "20"}
            year_last += groups[0][4:6] in {"19", "20"} and groups[0][:2] not in {"19", "20"}
    return day_first > month_first, year_first >= year_last


@dataclass(frozen=True)
class Layout:
    """Which columns play which part."""

    types: Types

    def of(self, *kinds: ColumnType) -> tuple[str, ...]:
        return tuple(name for name, kind in self.types.items() if kind in kinds)

    @cached_property
    def given(self) -> tuple[str, ...]:
        return self.of(ColumnType.GIVEN_NAME) or self.of(ColumnType.FULL_NAME)

    @cached_property
    def surname(self) -> tuple[str, ...]:
        return self.of(ColumnType.SURNAME) or self.of(ColumnType.FULL_NAME)

    @cached_property
    def street(self) -> tuple[str, ...]:
        return self.of(ColumnType.STREET, ColumnType.ADDRESS)

    @cached_property
    def number(self) -> tuple[str, ...]:
        return self.of(ColumnType.HOUSE_NUMBER) or self.of(ColumnType.ADDRESS)


@dataclass(frozen=True)
class Oddities:
    """Values of a column, counted by record, that say less than they should."""

    given: int
    unreadable: int
    """Something is there, but nothing that its type makes sense of."""
    overlong: int


@dataclass
class Table:
    """Rows of cleaned values. A record with several values of a column has several rows: `owner` says whose."""

    layout: Layout
    columns: Mapping[str, Feature]
    owner: Ints
    records: int
    oddities: Mapping[str, "Oddities"] = field(default_factory=dict)
    cache: dict[tuple[str, str], Feature] = field(default_factory=dict)
    measures: dict[tuple[str, str], npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.owner)

    @cached_property
    def single(self) -> bool:
        return self.rows == self.records

    def clean(self, column: str) -> Feature:
        return self.columns[column]

    def given(self, column: str) -> Feature:
        return self._derived(column, "given", given_of_full) if self.is_full(column) else self._filled(column, "given")

    def surname(self, column: str) -> Feature:
        return (
            self._derived(column, "surname", surname_of_full)
            if self.is_full(column)
            else self._filled(column, "surname")
        )

    def street(self, column: str) -> Feature:
        return self._derived(column, "street", street_of) if self._is_address(column) else self.columns[column]

    def number(self, column: str) -> Feature:
        return self._derived(column, "number", number_of) if self._is_address(column) else self.columns[column]

    def sound(self, column: str, part: str) -> Feature:
        return self._from(column, part, "sound", sound_of)

    def initial(self, column: str, part: str) -> Feature:
        return self._from(column, part, "initial", _first_letter)

    def root(self, column: str) -> Feature:
        return self._from(column, "given", "root", _root)

    def measure(self, column: str, name: str, of: Callable[[str], float], missing: float) -> npt.NDArray[Any]:
        """A number of every row's value."""
        key = (column, name)
        if key not in self.measures:
            feature = self.columns[column]
            by_value = np.asarray([of(value) for value in feature.vocabulary], dtype=np.asarray(missing).dtype)
            self.measures[key] = feature.spread(by_value, missing)
        return self.measures[key]

    def part(self, column: str, name: str, change: Callable[[str], str | None]) -> Feature:
        return self._derived(column, name, change)

    def _from(self, column: str, part: str, name: str, change: Callable[[str], str | None]) -> Feature:
        key = (column, f"{part}.{name}")
        if key not in self.cache:
            source: Feature = getattr(self, part)(column)
            self.cache[key] = source.derive(change)
        return self.cache[key]

    def _derived(self, column: str, name: str, change: Callable[[str], str | None]) -> Feature:
        key = (column, name)
        if key not in self.cache:
            self.cache[key] = self.columns[column].derive(change)
        return self.cache[key]

    def _filled(self, column: str, part: str) -> Feature:
        """A full name beside given name and surname fills what they leave open."""
        full = self.layout.of(ColumnType.FULL_NAME)
        first = self.layout.given[0] if part == "given" else self.layout.surname[0]
        if not full or column != first:
            return self.columns[column]
        key = (column, f"{part}.filled")
        if key not in self.cache:
            self.cache[key] = self.columns[column].fill(getattr(self, part)(full[0]))
        return self.cache[key]

    def is_full(self, column: str) -> bool:
        return self.layout.types[column] is ColumnType.FULL_NAME

    def _is_address(self, column: str) -> bool:
        return self.layout.types[column] is ColumnType.ADDRESS


def given_of_full(name: str) -> str | None:
    words = name.split()
    return " ".join(words[:-1]) or words[0]


def surname_of_full(name: str) -> str | None:
    words = name.split()
    return words[-1] if len(words) > 1 else None


def number_of(address: str) -> str | None:
    return next((word.lstrip("0") for word in address.split() if word[0].isdigit()), None) or None


def street_of(address: str) -> str | None:
    return " ".join(word for word in address.split() if not word[0].isdigit()) or None


def _first_letter(name: str) -> str:
    return name[0]


sound_of = lru_cache(maxsize=200_000)(normalise.sound)
_root = normalise.root


def build_table(columns: Columns, types: Types, formats: Mapping[str, tuple[bool, bool]]) -> Table:
    """From columns. A cell may hold several values of a record, as a list or tuple: the leading one first."""
    length = max((len(values) for values in columns.values()), default=0)
    used = {name: kind for name, kind in types.items() if kind is not ColumnType.IGNORE and name in columns}
    raw = {name: _as_objects(columns[name]) for name in used}
    owner = np.arange(length)
    if any(_has_many(values) for values in raw.values()):
        raw, owner = _unfold(raw, length)
    clean = {name: _clean(values, used[name], formats.get(name, (False, True))) for name, values in raw.items()}
    oddities = {name: odd for name, (_, odd) in clean.items()}
    return Table(Layout(used), {name: feature for name, (feature, _) in clean.items()}, owner, length, oddities)


def build_records(records: Sequence[Record], types: Types, formats: Mapping[str, tuple[bool, bool]]) -> Table:
    columns: dict[str, Any] = {
        name: [_alone(record.get(name)) for record in records] for name, kind in types.items() if kind != "ignore"
    }
    if not columns:
        return Table(Layout({}), {}, np.arange(len(records)), len(records))
    return build_table(columns, types, formats)


def _alone(cell: Sequence[str] | None) -> Any:
    """A value that is the only one of its cell, as itself: cells of several have to be unfolded."""
    if not cell:
        return None
    return cell[0] if len(cell) == 1 and isinstance(cell, list | tuple) and isinstance(cell[0], str) else cell


def _as_objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values if isinstance(values, list | np.ndarray) else list(values)
    return array


def _has_many(values: npt.NDArray[np.object_]) -> bool:
    """Whether any cell holds several values, as a tuple or as something like a list, which cannot be hashed."""
    return any(kind is tuple or kind.__hash__ is None for kind in set(map(type, values)))


def _unfold(raw: dict[str, npt.NDArray[np.object_]], length: int) -> tuple[dict[str, npt.NDArray[np.object_]], Ints]:
    """One row per value; columns with fewer values repeat their leading one, so that no field is lost in any row."""
    lists = {name: [values_of(cell) for cell in values] for name, values in raw.items()}
    height = np.ones(length, dtype=np.int64)
    for cells in lists.values():
        np.maximum(height, np.fromiter(map(len, cells), np.int64, length), out=height)
    owner = np.repeat(np.arange(length), height)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(height) - height, height)
    unfolded = {}
    for name, cells in lists.items():
        texts = np.empty(len(owner), dtype=object)
        texts[:] = [
            cells[who][at] if at < len(cells[who]) else (cells[who][0] if cells[who] else None)
            for who, at in zip(owner.tolist(), rank.tolist(), strict=True)
        ]
        unfolded[name] = texts
    return unfolded, owner


def values_of(cell: Any) -> list[str]:
    if isinstance(cell, list | tuple):
        if len(cell) == 1:
            return [cell[0]] if isinstance(cell[0], str) else []
        return [value for value in dict.fromkeys(cell) if isinstance(value, str)][:MOST_VALUES]
    return [cell] if isinstance(cell, str) else []


def _clean(
    values: npt.NDArray[np.object_], kind: ColumnType, date_format: tuple[bool, bool]
) -> tuple[Feature, Oddities]:
    raw_codes, raw = pd.factorize(values)
    change = NORMALISE[kind]
    if kind is ColumnType.BIRTH_DATE:
        change = partial(normalise.birth_date, day_first=date_format[0], year_first=date_format[1])
    clean = Feature.of([change(value) if isinstance(value, str) else _from_any(value, change) for value in raw])
    given = np.bincount(raw_codes[raw_codes >= 0], minlength=len(raw))
    unread = np.flatnonzero(clean.codes < 0)
    blank = np.asarray([at for at in unread.tolist() if not str(raw[at]).strip()], dtype=np.int64)
    overlong = np.fromiter(map(len, map(str, raw)), np.int64, len(raw)) > normalise.LONGEST
    filled = int(given.sum() - given[blank].sum())
    odd = Oddities(filled, filled - int(given[clean.codes >= 0].sum()), int(given[overlong].sum()))
    return Feature(Feature(raw_codes.astype(np.int32), raw).spread(clean.codes, -1), clean.vocabulary), odd


def _from_any(value: Any, change: Callable[[str], str | None]) -> str | None:
    """Numbers and dates, as they come from typed files."""
    return change(str(int(value)) if isinstance(value, float) and value.is_integer() else str(value))


KEPT = 20_000
SELDOM_REPEATED = frozenset(
    {ColumnType.BIRTH_DATE, ColumnType.EMAIL, ColumnType.PHONE, ColumnType.NATIONAL_ID, ColumnType.FULL_NAME}
)
"""Of these, to look for a remembered form costs more than it saves."""
NORMALISE = {
    kind: change if kind in SELDOM_REPEATED else lru_cache(KEPT)(change)
    for kind, change in normalise.NORMALISERS.items()
}
"""Names, towns and streets come again and again, from one table to the next."""
