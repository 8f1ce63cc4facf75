"""Guess what the columns of a table say of a person, from their names and values."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from .contracts import Columns, ColumnType
from .headers import is_of_a_firm, is_of_an_event, read_header
from .nicknames import ROOTS
from .normalise import EPOCH, age, birth_date, email, phone, squeeze

SAMPLE = 500
T = ColumnType
NAMES = {T.GIVEN_NAME, T.SURNAME, T.FULL_NAME}

Values = Sequence[str]


def guess_types(columns: Columns) -> dict[str, ColumnType]:
    """The likeliest type of every column; one that tells nothing of a person becomes `IGNORE`.

    1. What a name says holds if the values can be that. 2. What no name says is guessed from the values, where they
    leave no doubt. 3. Columns are looked at together: `name` beside `vorname` is a surname; of columns with names
    that say nothing, which are names of people.
    """
    values = {name: list(islice(_present(column), SAMPLE)) for name, column in columns.items()}
    types = {name: _guess(name, given) for name, given in values.items()}
    types |= _halves(types, values)
    found = {name: kind for name, kind in types.items() if kind is not None}
    open_ = {name: values[name] for name, kind in types.items() if kind is None and not is_of_an_event(name)}
    if T.BIRTH_DATE not in found.values():
        found |= {name: T.BIRTH_DATE for name, given in list(open_.items()) if _are_births(given)}
    if not NAMES & set(found.values()):
        found |= _names_among({name: given for name, given in open_.items() if name not in found}, found)
    if not NAMES & set(found.values()):
        found |= dict.fromkeys([name for name in columns if values[name] and is_of_a_firm(name)][:1], T.SURNAME)
    return {name: found.get(name, T.IGNORE) for name in columns}


def _present(values: Sequence[object]) -> Iterable[str]:
    for value in values:
        chosen = (value[0] if value else None) if isinstance(value, list | tuple) else value
        if isinstance(chosen, str) and chosen.strip():
            yield chosen


def _guess(name: str, values: Values) -> ColumnType | None:
    named, whole = read_header(name)
    if not values:
        return named or T.IGNORE
    if named is not None:
        return _checked(named, values, whole=whole)
    return None if is_of_an_event(name) else _guess_by_values(values)


def _checked(named: ColumnType, values: Values, *, whole: bool) -> ColumnType:
    """What a name says, as far as the values bear it out."""
    if named in {T.FULL_NAME, T.GIVEN_NAME} and _share(values, _is_email) > 0.5:
        return T.EMAIL
    if _share(values, FITS.get(named, _anything)) < (DOUBTFUL if whole else LIKELY):
        return _of_shape(values) or (T.CATEGORY if _are_few(values) else T.IGNORE)
    if named is T.STREET and _share(values, _has_number) > 0.5:
        return T.ADDRESS
    return T.IGNORE if named is T.CATEGORY and not whole and not _are_repeated(values) else named


DOUBTFUL, LIKELY = 0.2, 0.5
"""Share of values that must fit a type, where all of the name says it and where a part does."""


def _of_shape(values: Values) -> ColumnType | None:
    """What can be nothing else by its looks."""
    if _share(values, _is_email) > 0.6:
        return T.EMAIL
    if _share(values, _is_phone) > 0.6 and _share(values, _is_date) < 0.6:
        return T.PHONE
    if _share(values, _has_number) > 0.6:
        return T.ADDRESS
    return None


def _guess_by_values(values: Values) -> ColumnType | None:
    """None where they may be names, dates or nothing: that takes a look at the other columns."""
    if (shape := _of_shape(values)) is not None:
        return shape
    known = {squeeze(value) for value in values}
    if known <= SEXES and len(known) > 1:
        return T.SEX
    if _are_postcodes(values):
        return T.POSTCODE
    return T.CATEGORY if _are_few(values) else None


def _are_few(values: Values) -> bool:
    return len({squeeze(value) for value in values}) <= max(2, min(30, len(values) // 5))


def _are_repeated(values: Values) -> bool:
    return len({squeeze(value) for value in values}) < max(2, 0.95 * len(values))


def _share(values: Values, test: Callable[[str], bool]) -> float:
    return sum(map(test, values)) / len(values)


# --- What values can be -------------------------------------------------------------------------------------
def _anything(_: str) -> bool:
    return True


def _digits(value: str) -> int:
    return sum(map(str.isdigit, value))


def _is_email(value: str) -> bool:
    return "@" in value and email(value) is not None


def _is_date(value: str) -> bool:
    """A count of seconds could as well be any number."""
    if EPOCH.fullmatch(value):
        return False
    found = birth_date(value)
    return found is not None and 1900 <= int(found[:4]) <= 2100 and _digits(value) >= 6


def _is_phone(value: str) -> bool:
    return phone(value) is not None and _digits(value) >= 9 and not re.search(r"[A-Za-z]{3}", value)


def _is_words(value: str) -> bool:
    return any(map(str.isalpha, value)) and "@" not in value and 2 * _digits(value) < len(value)


_NUMBER_FIRST = re.compile(r"\s*\d+\w?[\s,]+\D")
_NUMBER_LAST = re.compile(r"\D*[^\W\d]{3}\D*[\s,]\d+\s?\w?\s*")

_NUMBER_INSIDE = re.compile(r"[^\W\d]{3}[^\d,]*\s\d{1,4}\s?\w?\s?,.*[^\W\d]{3}")
"""`Hauptstr. 5, 12345 Berlin`"""


def _has_number(value: str) -> bool:
    """A number and words, as in an address: `12 Main Street`, `Hauptstr. 5`."""
    words = value[:200]
    if not _is_words(words):
        return False
    return bool(_NUMBER_FIRST.match(words) or _NUMBER_LAST.fullmatch(words) or _NUMBER_INSIDE.match(words))


FITS: Mapping[ColumnType, Callable[[str], bool]] = {
    T.EMAIL: lambda value: email(value) is not None,
    T.PHONE: lambda value: _digits(value) >= 5,
    T.BIRTH_DATE: lambda value: birth_date(value) is not None,
    T.AGE: lambda value: age(value) is not None,
    T.SEX: lambda value: len(value) <= 12,
    T.NATIONAL_ID: lambda value: _digits(value) > 0,
    T.HOUSE_NUMBER: lambda value: len(value) <= 20,
    T.POSTCODE: lambda value: _digits(value) > 0 and len(value) <= 15,
    **dict.fromkeys((*NAMES, T.CITY, T.STATE, T.STREET, T.ADDRESS), _is_words),
}
SEXES = frozenset(
    [
        "m",
        "f",
        "male",
        "female",
        "man",
        "woman",
        "w",
        "h",
        "homme",
        "femme",
        "mann",
        "frau",
        "hombre",
        "mujer",
        "uomo",
        "donna",
        "other",
        "unknown",
        "x",
        "u",
        "d",
    ]
)
_SHAPES = re.compile(
    r"\d{5}(-\d{4})?|\d{4} ?[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|\d{2,3}[- ]\d{2,4}"
)


def _are_postcodes(values: Values) -> bool:
    return _share(values, lambda value: _SHAPES.fullmatch(value.strip().upper()) is not None) > 0.8 and _are_repeated(
        values
    )


LATEST_MEDIAN, LEAST_SPREAD = 2010, 15


def _are_births(values: Values) -> bool:
    """Dates that lie as far apart, and as long ago, as births of people do."""
    years = sorted(int(found[:4]) for value in values if _is_date(value) and (found := birth_date(value)))
    if len(years) < 0.6 * len(values) or not years:
        return False
    middle, early, late = years[len(years) // 2], years[len(years) // 10], years[-1 - len(years) // 10]
    return len(years) == 1 or (middle <= LATEST_MEDIAN and late - early >= LEAST_SPREAD)


# --- Columns together ---------------------------------------------------------------------------------------
def _halves(types: Mapping[str, ColumnType | None], values: Mapping[str, Values]) -> dict[str, ColumnType]:
    """A `name` of one word is the half that no other column has: `nom` beside `prénom`, `nome` beside `cognome`."""
    kinds = set(types.values())
    halves = {T.GIVEN_NAME, T.SURNAME} & kinds
    if len(halves) != 1:
        return {}
    missing = T.SURNAME if T.GIVEN_NAME in halves else T.GIVEN_NAME
    return {
        name: missing
        for name, kind in types.items()
        if kind is T.FULL_NAME and values[name] and _share(values[name], lambda value: " " in value.strip()) < 0.5
    }


MOST_WORDS, LONGEST_NAME = 4, 30
LEAST_KNOWN = 0.1
"""Share of known given names from which a column holds given names."""


def _names_among(columns: Mapping[str, Values], taken: Mapping[str, ColumnType]) -> dict[str, ColumnType]:
    """Of columns whose names say nothing: full names, or given names beside surnames and towns."""
    texts = {name: values for name, values in columns.items() if values and _share(values, _may_be_name) > 0.8}
    known = {name: _share(values, _is_known_given) for name, values in texts.items()}
    best = max(known, key=lambda name: known[name], default=None)
    if best is None or known[best] < LEAST_KNOWN:
        return {}
    if _share(texts[best], lambda value: " " in value.strip()) > 0.5:
        return {best: T.FULL_NAME}
    distinct = {name: len({squeeze(value) for value in values}) for name, values in texts.items() if name != best}
    order = sorted(distinct, key=lambda name: -distinct[name])
    kinds = [T.SURNAME] + ([T.CITY] if T.CITY not in taken.values() else [])
    return {best: T.GIVEN_NAME} | dict(zip(order, kinds, strict=False))


def _may_be_name(value: str) -> bool:
    return (
        not _digits(value) and len(value) <= LONGEST_NAME and 0 < len(value.split()) <= MOST_WORDS and _is_words(value)
    )


_GIVEN = frozenset(ROOTS) | frozenset(ROOTS.values())


def _is_known_given(value: str) -> bool:
    """The first word, or the first after a comma."""
    words = squeeze(value.rpartition(",")[2]).split()
    return bool(words) and words[0] in _GIVEN
