"""Levels of few pairs, found value by value: the same as `compare.Comparer` finds with arrays."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from rapidfuzz.distance import OSA, JaroWinkler

from .compare import Compared, Comparer, Pairs, column_of
from .comparisons import GIVEN, NUMBER, RARE, STREET, SURNAME, USUAL, Comparison, Part
from .contracts import ColumnType
from .levels import (
    ALIKE,
    ALIKE_SHARE,
    CLOSE,
    FAINT,
    MOST_EDITS,
    NEAR,
    PUBLIC,
    SURELY,
    days_of,
    holds_only,
    local_digits,
)
from .normalise import root
from .rows import Reader, Row
from .table import sound_of

Rows = Sequence[Row]
Levels = Callable[[Rows, Rows, Sequence[int]], list[int]]
"""Ungraded, of pairs of rows, and how their names are swapped: 0 missing, 1 the same, 2 and up."""
Differing = Callable[[str, str], int]

_similarity, _edits = JaroWinkler.similarity, OSA.distance


def _edge(step: float) -> float:
    """Similarities from here on are not below `step` in single precision, in which arrays hold them."""
    single = np.float32(step)
    return (float(single) + float(np.nextafter(single, np.float32(0)))) / 2


_CLOSE, _ALIKE, _FAINT = _edge(CLOSE), _edge(ALIKE), _edge(FAINT)
_root, _days = lru_cache(50_000)(root), lru_cache(50_000)(days_of)


class RowComparer:
    """Compiles comparisons to a plan over a reader's rows, with a model's frequencies."""

    def __init__(
        self,
        reader: Reader,
        comparisons: Sequence[Comparison],
        frequencies: Mapping[str, Mapping[str, float]],
        rarest: Mapping[str, float],
    ) -> None:
        self._reader = reader
        columns = [column for comparison in comparisons for column in comparison.columns]
        self._swapping = self._names if any(map(reader.may_swap, columns)) else None
        self._plans = [
            _Plan(
                [(self._levels(part, comparison, leading=at == 0), len(part.words)) for at, part in
                 enumerate(comparison.parts)],
                comparison,
                self._counted(comparison),
                frequencies.get(comparison.name, {}),
                rarest.get(comparison.name, 0.0),
            )
            for comparison in comparisons
        ]  # fmt: skip

    def compare(self, ones: Rows, others: Rows) -> list[tuple[list[int], list[float]]]:
        """By comparison, of every pair: the level, and the frequency of what is shared, 0 where nothing is."""
        swaps = _swaps(ones, others, self._swapping) if self._swapping else [0] * len(ones)
        return [plan.compare(ones, others, swaps) for plan in self._plans]

    def _counted(self, comparison: Comparison) -> tuple[int, ...]:
        """The slots whose value's frequency matters."""
        column, part, reader = comparison.columns[0], comparison.parts[0], self._reader
        if part is GIVEN:
            return (reader.given(column),)
        if part is SURNAME:
            return (reader.surname(column),)
        if part is STREET:
            street = reader.street(column)
            return (street, reader.number(reader.layout.number[0])) if NUMBER in comparison.parts else (street,)
        return (reader.clean(column),) if part.graded else ()

    def _levels(self, part: Part, comparison: Comparison, *, leading: bool) -> Levels:
        reader = self._reader
        column = comparison.columns[0] if leading else column_of(part, comparison, reader.layout.types)
        if part.name == "given":
            return _given(reader.given(column), may_swap=reader.may_swap(column))
        if part.name == "surname":
            return _surname(reader.surname(column), may_swap=reader.may_swap(column))
        if part.name == "email":
            return _email(reader.clean(column), self._names)
        if part.name == "age":
            births = reader.layout.of(ColumnType.BIRTH_DATE)
            return _age(reader.clean(column), reader.clean(births[0]) if births else None)
        slot = {"street": reader.street, "number": reader.number}.get(part.name, reader.clean)(column)
        return _valued(slot, _DIFFERING.get(part.name, lambda _one, _other: 2))

    @cached_property
    def _names(self) -> tuple[int, int] | None:
        reader, layout = self._reader, self._reader.layout
        if not layout.given or not layout.surname:
            return None
        return reader.given(layout.given[0]), reader.surname(layout.surname[0])


class _Plan:
    """One comparison: its parts' levels, combined, and graded by the frequency of the first row's value."""

    def __init__(
        self,
        parts: Sequence[tuple[Levels, int]],
        comparison: Comparison,
        counted: tuple[int, ...],
        frequencies: Mapping[str, float],
        rarest: float,
    ) -> None:
        (self._leading, _), *self._others = parts
        self._graded = comparison.parts[0].graded
        self._agrees: list[bool] = comparison.agrees.tolist()
        self._counted, self._frequencies, self._rarest = counted, frequencies, rarest

    def compare(self, ones: Rows, others: Rows, swaps: Sequence[int]) -> tuple[list[int], list[float]]:
        levels, shares = self._leading(ones, others, swaps), [0.0] * len(ones)
        if self._graded:
            for at, level in enumerate(levels):
                if level == 1:
                    shares[at] = share = self._share(ones[at])
                    levels[at] = 1 + (share > RARE) + (share > USUAL)
                elif level:
                    levels[at] = level + 2
        for part, width in self._others:
            levels = [level * width + found for level, found in zip(levels, part(ones, others, swaps), strict=True)]
        if self._others:
            agrees = self._agrees
            shares = [share if agrees[level] else 0.0 for level, share in zip(levels, shares, strict=True)]
        return levels, shares

    def _share(self, row: Row) -> float:
        values = [row[at] for at in self._counted]
        if None in values:
            return 0.0
        return self._frequencies.get(" ".join(map(str, values)), self._rarest)


class FewComparer(Comparer):
    """Compares rows that were read one by one; stands where a `Comparer` of a table stands."""

    def __init__(self, rows: Sequence[Row], comparisons: Sequence[Comparison], by: RowComparer) -> None:
        self.comparisons = comparisons
        self._rows, self._by = rows, by

    def compare(self, pairs: Pairs) -> Compared:
        rows = self._rows
        ones, others = pairs.T.tolist() if len(pairs) else ([], [])
        found = self._by.compare([rows[at] for at in ones], [rows[at] for at in others])
        shape = (len(self.comparisons), len(pairs))
        levels = np.asarray([levels for levels, _ in found], dtype=np.int16).reshape(shape)
        shares = np.asarray([shares for _, shares in found], dtype=np.float32).reshape(shape)
        return Compared(levels.T, shares.T)


def _valued(at: int, differing: Differing) -> Levels:
    def levels(ones: Rows, others: Rows, _: Sequence[int]) -> list[int]:
        lefts, rights = [row[at] for row in ones], [row[at] for row in others]
        return [
            0 if left is None or right is None else 1 if left == right else differing(left, right)
            for left, right in zip(lefts, rights, strict=True)
        ]

    return levels


def _age(at: int, birth: int | None) -> Levels:
    """Missing where birth dates are near each other."""
    plain = _valued(at, _ages)

    def levels(ones: Rows, others: Rows, swaps: Sequence[int]) -> list[int]:
        found = plain(ones, others, swaps)
        if birth is None:
            return found
        births = [(one[birth], other[birth]) for one, other in zip(ones, others, strict=True)]
        return [0 if _near(*both) else level for level, both in zip(found, births, strict=True)]

    return levels


def _near(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and abs(_days(one) - _days(other)) <= NEAR


def _given(at: int, *, may_swap: bool) -> Levels:
    plain = _valued(at, _given_names)

    def levels(ones: Rows, others: Rows, swaps: Sequence[int]) -> list[int]:
        found = plain(ones, others, swaps)
        return [(level, 2, 3, 3)[swap] for level, swap in zip(found, swaps, strict=True)] if any(swaps) else found

    return levels if may_swap else plain


def _surname(at: int, *, may_swap: bool) -> Levels:
    plain = _valued(at, _surnames)

    def levels(ones: Rows, others: Rows, swaps: Sequence[int]) -> list[int]:
        found = plain(ones, others, swaps)
        return (
            [0 if swap in {1, 2} else level for level, swap in zip(found, swaps, strict=True)] if any(swaps) else found
        )

    return levels if may_swap else plain


def _swaps(ones: Rows, others: Rows, names: tuple[int, int]) -> list[int]:
    first, last = names
    return [
        _swapped(one[first], one[last], other[first], other[last]) for one, other in zip(ones, others, strict=True)
    ]


def _swapped(given: str | None, surname: str | None, their_given: str | None, their_surname: str | None) -> int:
    """1: each one's given name is the other's surname; 2: one way, the other way one is missing; 3: or differs."""
    forth, back = _crossed(given, their_surname), _crossed(their_given, surname)
    if not (forth or back) or (given is not None and given == their_given):
        return 0
    if surname is not None and surname == their_surname:
        return 0
    if forth and back and SURELY in {forth, back}:
        return 1
    if SURELY not in {forth, back}:
        return 0
    open_ = (forth == SURELY and None in {their_given, surname}) or (back == SURELY and None in {given, their_surname})
    return 2 if open_ else 3


def _crossed(given: str | None, surname: str | None) -> int:
    if not given or not surname or given[0] != surname[0] or len(given) < 2 or len(surname) < 2:
        return 0
    similar = _similarity(given, surname, score_cutoff=ALIKE)
    return SURELY if similar >= _CLOSE else int(similar >= _ALIKE)


def _given_names(one: str, other: str) -> int:
    if _root(one) == _root(other):
        return 4
    if one[0] == other[0] and (len(one) == 1 or len(other) == 1):
        return 6
    similar = _similarity(one, other, score_cutoff=FAINT)
    if similar >= _ALIKE:
        return 5 if similar >= _CLOSE else 7
    if _sound_alike(one, other):
        return 7
    return 8 if similar >= _FAINT else 9


def _surnames(one: str, other: str) -> int:
    if " " in one or " " in other:
        words, others = set(one.split()), set(other.split())
        if words <= others or others <= words:
            return 3
    similar = _similarity(one, other, score_cutoff=FAINT)
    if similar >= _ALIKE:
        return 2 if similar >= _CLOSE else 4
    if _sound_alike(one, other):
        return 4
    return 5 if similar >= _FAINT else 6


def _sound_alike(one: str, other: str) -> bool:
    sound = sound_of(one)
    return sound is not None and sound == sound_of(other)


def _births(one: str, other: str) -> int:
    if one == other[:4] + other[6:] + other[4:6]:
        return 2
    edits = _edits(one, other, score_cutoff=2)
    if edits <= 1:
        return 3
    if (one[:4] == other[:4]) + (one[4:6] == other[4:6]) + (one[6:] == other[6:]) >= 2:
        return 4
    apart = abs(_days(one) - _days(other))
    if apart <= 31:
        return 5
    if edits <= 2:
        return 6
    return 7 if apart <= 366 else 8


def _ages(one: str, other: str) -> int:
    return 2 if abs(int(one) - int(other)) <= 1 else 3


def _email(at: int, names: tuple[int, int] | None) -> Levels:
    def level(one: Row, other: Row) -> int:
        left, right = one[at], other[at]
        if left is None or right is None:
            return 0
        if left == right:
            return 1
        found, telling = _emails(left, right)
        if telling or names is None:
            return found
        digits = local_digits(left)
        if digits is not None and digits == local_digits(right):
            return found
        return 5 if _repeats_name(one, left, names) and _repeats_name(other, right, names) else found

    return lambda ones, others, _: list(map(level, ones, others))


def _emails(one: str, other: str) -> tuple[int, bool]:
    """The level, and whether it is evidence even if both only repeat their owner's name."""
    edits = _edits(one, other, score_cutoff=MOST_EDITS)
    local, _, domain = one.partition("@")
    their_local, _, their_domain = other.partition("@")
    at_public = domain == their_domain and domain in PUBLIC
    length = len(local) if at_public else len(one)
    if local == their_local:
        return 2, not (at_public or edits > ALIKE_SHARE * length)
    if edits <= min(0.4 * length, 2):
        return 3, not at_public
    return (4, not at_public) if edits <= min(ALIKE_SHARE * length, MOST_EDITS) else (6, True)


def _repeats_name(row: Row, address: str, names: tuple[int, int]) -> bool:
    given, surname = ((row[at] or "").replace(" ", "") for at in names)
    return holds_only("".join(filter(str.isalpha, address.partition("@")[0])), given, surname)


def _by_similarity(*steps: float) -> Differing:
    lowest, edges = min(steps), [_edge(step) for step in steps]

    def level(one: str, other: str) -> int:
        similar = _similarity(one, other, score_cutoff=lowest)
        return 2 + sum([similar < edge for edge in edges])

    return level


def _by_edits(most: int) -> Differing:
    return lambda one, other: 1 + min(_edits(one, other, score_cutoff=most), most + 1)


_DIFFERING: dict[str, Differing] = {
    "birth": _births,
    "phone": _by_edits(2),
    "id": _by_edits(2),
    "street": _by_similarity(0.92, 0.82),
    "line": _by_similarity(0.9),
    "number": _by_edits(1),
    "postcode": _by_edits(1),
    "city": _by_similarity(0.88, 0.75),
}
"""By part, what two values that differ amount to; those not listed are the same or not."""
