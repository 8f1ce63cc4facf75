"""Which rule the values of a field ask for. No Django here.

A suggestion is made where nearly all values are of one kind and the rule would change some of them. Names help where
values alone could be many things: two capitals are a country only in a field that is called so.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.standardise.values import Unreadable, make_standardiser

NEARLY_ALL = 0.9
MOST_VALUES = 200
_REGIONS = ("DE", "US", "GB", "FR", "ES", "IT", "NL", "AT", "CH", "PL", "BE", "SE", "DK", "NO", "PT", "IN", "BR", "AU")

_HINTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("country", r"country|nation\b|^land$|^pays$"),
        ("language", r"lang|locale|sprache"),
        ("phone", r"phone|mobile|^tel|_tel|^fax|handy"),
        ("boolean", r"^(is|has|can|wants|accepts)(_|[A-Z])|opt_?in|subscribe|newsletter|consent"),
        ("money", r"price|revenue|total|amount|cost|value|fee|discount|tax|shipping|betrag|preis"),
    )
)
_PHONE = re.compile(r"(?=(?:.*\d){7})[+(0-9][\d\s()/.\-]{6,24}")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}.*|.*[^\W\d_]{3}.*\d{4}.*|\d{4}-\d{2}-\d{2}.*")
_AMOUNT = re.compile(r"[^\w\s]?\s?-?\d[\d.,' \u00a0]*[.,]\d+\s?\S{0,4}|\S{1,3}\s?\d[\d.,']*|\d[\d.,']*\s?[€$£]")
_QUANTITY = re.compile(r"-?\d[\d.,]*\s?(mg|g|kg|t|oz|lbs?|mm|cm|m|km|in|ft|yd|mi|ml|cl|l|°C|°F|kB|MB|GB|min|h)")
_DIGITS = frozenset({"0", "1"})


@dataclass(frozen=True, slots=True)
class Suggestion:
    kind: str
    options: dict[str, Any]
    reads: float
    """The share of values that the rule can read."""
    changes: float
    """The share of values that it would change."""


def suggest(field: str, values: Mapping[Any, int]) -> Suggestion | None:
    """The rule for a field with these values and how often each was seen; None where none is needed."""
    name = field.replace("[]", "").rpartition(".")[2]
    texts = {value: count for value, count in list(values.items())[:MOST_VALUES] if isinstance(value, str) and value}
    if not texts:
        return None
    best: Suggestion | None = None
    for kind, options in _candidates(name, texts):
        found = _try(kind, options, texts)
        if found.reads >= NEARLY_ALL and found.changes > 0 and (best is None or found.reads > best.reads):
            best = found
    return best


def _candidates(name: str, texts: Mapping[str, int]) -> Iterable[tuple[str, dict[str, Any]]]:
    hinted = {kind for kind, pattern in _HINTS if pattern.search(name)}
    if _most(texts, lambda text: "@" in text):
        yield "email", {}
    if "country" in hinted or (_most(texts, lambda text: len(text.strip()) > 3) and "city" not in name.lower()):
        yield "country", {}
    if "language" in hinted:
        yield "language", {}
    if "boolean" in hinted or not set(texts) <= _DIGITS:
        yield "boolean", {}
    if "phone" in hinted or _most(texts, lambda text: text.startswith("+")):
        if _most(texts, _PHONE.fullmatch):
            yield "phone", {}
            yield from (("phone", {"region": region}) for region in _REGIONS)
    elif _most(texts, _DATE.fullmatch):
        yield from (("date", {"order": order} if order else {}) for order in ("", "day_first", "month_first"))
    if _most(texts, _QUANTITY.fullmatch):
        yield "quantity", {"unit": _commonest_unit(texts)}
    elif _most(texts, _AMOUNT.fullmatch):
        kind = "money" if "money" in hinted else "number"
        yield from ((kind, {"decimal": mark} if mark else {}) for mark in ("", ",", "."))


def _most(texts: Mapping[str, int], test: Any) -> bool:
    total = sum(texts.values())
    return sum(count for text, count in texts.items() if test(text.strip())) >= NEARLY_ALL * total


def _commonest_unit(texts: Mapping[str, int]) -> str:
    units: dict[str, int] = {}
    for text, count in texts.items():
        match = _QUANTITY.fullmatch(text.strip())
        if match:
            unit = "lb" if match[1] == "lbs" else match[1]
            units[unit] = units.get(unit, 0) + count
    return max(units, key=lambda unit: units[unit])


def _try(kind: str, options: dict[str, Any], texts: Mapping[str, int]) -> Suggestion:
    standardise = make_standardiser(kind, options)
    total = read = changed = 0
    for value, count in texts.items():
        found = standardise(value)
        total += count
        if not isinstance(found, Unreadable):
            read += count
            changed += count * (found != value)
    return Suggestion(kind, options, read / total, changed / total)
