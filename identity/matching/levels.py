"""How alike two values are, in a few levels, for every kind of part.

Found with array operations on codes; string similarity is computed once per different pair of values.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import OSA, JaroWinkler

from .contracts import ColumnType
from .table import Feature, Flags, Floats, Table

Levels = npt.NDArray[np.int32]


class Look:
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


def _by_similarity(look: Look, feature: Feature, steps: Sequence[float], first: int) -> Levels:
    """Levels from `first` on by falling Jaro-Winkler similarity, the last for all below."""
    level, left = look.start(feature)
    score = look.measure(feature, left, JaroWinkler.similarity, min(steps))
    level[left] = first + sum((score < step).astype(np.int32) for step in steps)
    return level


def _by_edits(look: Look, feature: Feature, most: int) -> Levels:
    """Level 2 for one edit, 3 for two …, the last for more than `most`."""
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, most)
    level[left] = 1 + np.minimum(edits, most + 1).astype(np.int32)
    return level


def _given(look: Look, column: str) -> Levels:
    table = look.table
    feature = table.given(column)
    level, left = look.start(feature)
    score = look.measure(feature, left, JaroWinkler.similarity, FAINT)
    found = (5 + 2 * (score < CLOSE) + (score < ALIKE) + (score < FAINT)).astype(np.int32)
    one, other = look.one[left], look.other[left]
    part = Look(table, one, other)
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


def _surname(look: Look, column: str) -> Levels:
    table = look.table
    feature = table.surname(column)
    level, left = look.start(feature)
    score = look.measure(feature, left, JaroWinkler.similarity, FAINT)
    found = (2 + 2 * (score < CLOSE) + (score < ALIKE) + (score < FAINT)).astype(np.int32)
    part = Look(table, look.one[left], look.other[left])
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


def _birth(look: Look, column: str) -> Levels:
    table = look.table
    feature = table.clean(column)
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, 2)
    part = Look(table, look.one[left], look.other[left])
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


def _age(look: Look, column: str) -> Levels:
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


def _email(look: Look, column: str) -> Levels:
    table = look.table
    feature = table.clean(column)
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, MOST_EDITS)
    one, other = look.one[left], look.other[left]
    part = Look(table, one, other)
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
        found[close[plain & ~Look(table, *rows).same(digits)]] = 5
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


def _street(look: Look, column: str) -> Levels:
    return _by_similarity(look, look.table.street(column), (0.92, 0.82), 2)


def _line(look: Look, column: str) -> Levels:
    return _by_similarity(look, look.table.clean(column), (0.9,), 2)


def _number(look: Look, column: str) -> Levels:
    feature = look.table.number(column)
    level, left = look.start(feature)
    edits = look.measure(feature, left, OSA.distance, 1)
    level[left] = np.where(edits <= 1, 2, 3)
    return level


def _equal(look: Look, column: str) -> Levels:
    level, left = look.start(look.table.clean(column))
    level[left] = 2
    return level


LEVELS: dict[str, Callable[[Look, str], Levels]] = {
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
