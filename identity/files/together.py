"""Columns of a file that are one thing: the parts of a birth date, or what two sources call by two names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from identity.matching.contracts import ColumnType
from identity.matching.headers import plain_header

Texts = Sequence[str | None]
T = ColumnType

_PARTS = tuple(
    re.compile(rf"(.*_)?({pattern})")
    for pattern in (
        r"(birth|dob|geburts?|naissance|nacimiento)_?(year|yr|yyyy|y|jahr|annee|ano)|year_?of_?birth|yob|dob_?y|by",
        r"(birth|dob|geburts?|naissance|nacimiento)_?(month|mon|mm|m|monat|mois|mes)|month_?of_?birth|mob|dob_?m|bm",
        r"(birth|dob|geburts?|naissance|nacimiento)_?(day|dd|d|tag|jour|dia)|day_?of_?birth|dob_?d|bd",
    )
)
BOUNDS = ((1800, 2100), (1, 12), (1, 31))
"""Of year, month and day."""
FITTING = 0.8
"""Share of values of a column that must be a year, month or day."""
KEPT_APART = frozenset({T.IGNORE, T.CATEGORY, T.GIVEN_NAME, T.INITIAL, T.AGE})
MOST_BOTH = 0.02
"""Share of rows in which two columns may both be filled, for them to be one thing by two names."""
LEAST_FILLED = 0.01
"""Share of rows below which a column is too empty to say."""


@dataclass(frozen=True)
class Joined:
    """A column made of others."""

    name: str
    type: ColumnType
    texts: list[str | None]
    of: tuple[str, ...]


def find_joined(columns: Mapping[str, Texts], types: Mapping[str, ColumnType]) -> list[Joined]:
    """Columns to be compared instead of those they are made of."""
    dates = _birth_dates(columns) if T.BIRTH_DATE not in _reliable(types) else []
    taken = {name for joined in dates for name in joined.of}
    left = {name: kind for name, kind in types.items() if name not in taken}
    return dates + _complements(columns, left)


def _reliable(types: Mapping[str, ColumnType]) -> set[ColumnType]:
    return {kind for name, kind in types.items() if not _PARTS[2].fullmatch(plain_header(name))}


def _birth_dates(columns: Mapping[str, Texts]) -> list[Joined]:
    """From a column each of years, months and days."""
    parts = []
    for pattern, bounds in zip(_PARTS, BOUNDS, strict=True):
        named = [name for name in columns if pattern.fullmatch(plain_header(name))]
        fitting = [name for name in named if _are_between(columns[name], bounds)]
        if not fitting:
            return []
        parts.append(fitting[0])
    years, months, days = (columns[name] for name in parts)
    texts = [_date(*at) for at in zip(years, months, days, strict=True)]
    return [Joined(" + ".join(parts), T.BIRTH_DATE, texts, tuple(parts))]


def _are_between(texts: Texts, bounds: tuple[int, int]) -> bool:
    known = [text for text in texts if text is not None]
    return bool(known) and sum(_whole(text) in range(bounds[0], bounds[1] + 1) for text in known) >= FITTING * len(
        known
    )


def _whole(text: str | None) -> int | None:
    """`3`, `03` and `3.0` as 3."""
    found = re.fullmatch(r"\s*([0-9]{1,6})(\.0+)?\s*", text or "")
    return int(found[1]) if found else None


def _date(year: str | None, month: str | None, day: str | None) -> str | None:
    whole = [number for part in (year, month, day) if (number := _whole(part)) is not None]
    return f"{whole[0]:04}-{whole[1]:02}-{whole[2]:02}" if len(whole) == len(BOUNDS) else None


def _complements(columns: Mapping[str, Texts], types: Mapping[str, ColumnType]) -> list[Joined]:
    """Columns of one type that are hardly ever filled both: two sources have a name each for the same thing."""
    made: list[Joined] = []
    for kind in dict.fromkeys(types.values()):
        names = [name for name, of in types.items() if of is kind]
        if kind in KEPT_APART or len(names) < 2:
            continue
        while names:
            first, *names = names
            group = [first]
            texts = list(columns[first])
            for other in list(names):
                if _complete(texts, columns[other]) and (kind is not T.HOUSE_NUMBER or _alike(first, other)):
                    texts = [
                        mine if mine is not None else theirs
                        for mine, theirs in zip(texts, columns[other], strict=True)
                    ]
                    group.append(other)
                    names.remove(other)
            if len(group) > 1:
                made.append(Joined(" / ".join(group), kind, texts, tuple(group)))
    return made


def _complete(one: Texts, other: Texts) -> bool:
    both = sum(a is not None and b is not None for a, b in zip(one, other, strict=True))
    least = min(sum(text is not None for text in texts) for texts in (one, other))
    return least >= LEAST_FILLED * len(one) and both <= MOST_BOTH * least


def _alike(one: str, other: str) -> bool:
    """Whether two columns are called the same but for whose they are: a flat is no box of the post."""
    short, long = sorted((plain_header(one), plain_header(other)), key=len)
    return long.endswith(short)
