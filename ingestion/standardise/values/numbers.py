"""Numbers as people write them, amounts of money, and numbers with units."""

import math
import re
import unicodedata
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

import pycountry

from ingestion.standardise.values.contracts import BadOptionsError, Options, Standardiser, Unreadable
from ingestion.standardise.values.units import UNITS, Unit, find_unit

DecimalMark = Literal["", ".", ","]

MAX_DIGITS = 15
"""More than that a float cannot hold exactly; such digits are an id rather than an amount."""

_PLAIN = re.compile(r"-?(?:\d+|\d{1,3}(?:[ '_]\d{3})+)(?:\.\d+)?(?:e[+-]?\d{1,3})?", re.IGNORECASE)
_MINUS = str.maketrans({"−": "-", "–": "-", "’": "'", "\u2018": "'", "\u202f": " "})
_CURRENCY_SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "₴": "UAH"}
_CURRENCY_WORDS = {"zł": "PLN", "kč": "CZK", "fr.": "CHF", "euro": "EUR", "euros": "EUR", "rs.": "INR"}
_AMBIGUOUS_SIGNS = frozenset({"$", "¥", "kr", "kr."})
_EDGES = re.compile(r"^([^\d\s.,+'()-]{1,5})?\s*(.*?)\s*([^\d\s.,+'()-][^\d\s,+'()-]{0,4})?$")


class NumberOptions(Options, frozen=True):
    decimal: DecimalMark = ""
    """The decimal mark; without it a text such as `1.234` that could mean two numbers cannot be read."""
    decimals: int | None = None
    """Round to so many places."""


def number(options: NumberOptions) -> Standardiser:
    """`1.234,50 €` → 1234.5. A sign or code of a currency is let go: `money` looks at it."""
    _check_decimals(options.decimals)

    def standardise(value: Any) -> Any:
        return _number(value, options.decimal, options.decimals, currency=None)

    return standardise


class MoneyOptions(Options, frozen=True):
    decimal: DecimalMark = ""
    decimals: int | None = 2
    currency: str = ""
    """The currency that amounts must be in, if they name one: `EUR`. Nothing is ever converted."""


def money(options: MoneyOptions) -> Standardiser:
    """`EUR 1,234.50` → 1234.5. An amount in another currency than the rule's cannot be read."""
    _check_decimals(options.decimals)
    currency = options.currency.upper()
    if currency and pycountry.currencies.get(alpha_3=currency) is None:
        raise BadOptionsError(f"{currency!r} is no currency.", code="currency_unknown", path="/currency")

    def standardise(value: Any) -> Any:
        return _number(value, options.decimal, options.decimals, currency=currency)

    return standardise


class QuantityOptions(Options, frozen=True):
    unit: str
    """The unit to convert to: `kg`. A number without a unit is taken to be in it already."""
    decimal: DecimalMark = ""
    decimals: int | None = 3


def quantity(options: QuantityOptions) -> Standardiser:
    """`12 kg` → 26.455 where the unit is `lb`; `5 ft 11 in` → 180.34 where it is `cm`."""
    _check_decimals(options.decimals)
    target = find_unit(options.unit)
    if target is None:
        raise BadOptionsError(f"{options.unit!r} is no unit we know.", code="unit_unknown", path="/unit")

    def standardise(value: Any) -> Any:
        if not isinstance(value, str):
            return _number(value, options.decimal, options.decimals, currency=None)
        plain = _read(_normalise(value), options.decimal)
        if not isinstance(plain, Unreadable):
            return _rounded(plain, options.decimals)
        total = _convert(value, target, options.decimal)
        return total if isinstance(total, Unreadable) else _rounded(total, options.decimals)

    return standardise


def _check_decimals(decimals: int | None) -> None:
    if decimals is not None and not 0 <= decimals <= 10:
        raise BadOptionsError("Round to 0 to 10 places.", code="decimals_out_of_range", path="/decimals")


def _number(value: Any, decimal: str, decimals: int | None, *, currency: str | None) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return Unreadable("not a number")
    if not isinstance(value, str):
        return _rounded(value, decimals)
    found, named = _without_currency(_normalise(value))
    if currency and named and currency not in named:
        return Unreadable(f"not in {currency}")
    result = _read(found, decimal)
    return result if isinstance(result, Unreadable) else _rounded(result, decimals)


def _normalise(text: str) -> str:
    """Digits of every script as ASCII, one minus, one apostrophe; accountants' `(5)` and `5-` as `-5`."""
    found = unicodedata.normalize("NFKC", text).translate(_MINUS).strip()
    if not found.isascii():
        found = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in found)
    if found[:1] == "(" and found[-1:] == ")":
        found = "-" + found[1:-1].strip()
    return "-" + found[:-1].strip() if len(found) > 1 and found[-1] == "-" else found


def _without_currency(text: str) -> tuple[str, frozenset[str]]:
    """The amount, and the currencies that its sign can mean; none where it has no sign."""
    minus = text.startswith("-")
    match = _EDGES.match(text[1:].strip() if minus else text)
    if match is None:
        return text, frozenset()
    before, amount, after = match.groups()
    if (before and after) or not (before or after):
        return text, frozenset()
    named = _currencies(before or after)
    return (("-" if minus else "") + amount, named) if named else (text, named)


def _currencies(sign: str) -> frozenset[str]:
    low = sign.casefold()
    if sign == "$":
        return frozenset({"USD", "CAD", "AUD", "NZD", "MXN", "SGD", "HKD", "BRL", "ARS", "CLP", "COP", "TWD"})
    if sign == "¥":
        return frozenset({"JPY", "CNY"})
    if low in _AMBIGUOUS_SIGNS:
        return frozenset({"SEK", "NOK", "DKK", "ISK"})
    code = _CURRENCY_SIGNS.get(sign) or _CURRENCY_WORDS.get(low) or sign.upper()
    return frozenset({code}) if pycountry.currencies.get(alpha_3=code) else frozenset()


def _read(text: str, decimal: str) -> int | float | Unreadable:
    plain = _plain(text, decimal)
    if isinstance(plain, Unreadable):
        return plain
    if not _PLAIN.fullmatch(plain):
        return Unreadable("not a number")
    digits = re.sub(r"[ '_]", "", plain)
    if sum(char.isdigit() for char in digits) > MAX_DIGITS:
        return Unreadable("more digits than a number can hold")
    result = float(digits)
    if not math.isfinite(result):
        return Unreadable("out of range")
    return _whole(result)


def _plain(text: str, decimal: str) -> str | Unreadable:
    """The number with `.` as its decimal mark and no other mark than spaces and apostrophes between thousands."""
    text = text.removeprefix("+")
    dots, commas = text.count("."), text.count(",")
    mark = decimal or _mark_of(text, dots, commas)
    if mark == "?":
        return Unreadable("could be thousands or decimals")
    grouping = "," if mark == "." else "."
    if text.count(mark) > 1:
        return Unreadable("not a number")
    whole, _, fraction = text.partition(mark)
    whole = whole + "0" if whole in {"", "-"} and fraction else whole
    if grouping in fraction or not _grouped(whole, grouping):
        return Unreadable("not a number")
    return whole.replace(grouping, "") + (f".{fraction}" if fraction else "")


def _mark_of(text: str, dots: int, commas: int) -> str:
    """The decimal mark where it shows, `?` where it does not."""
    if dots and commas:
        return "." if text.rindex(".") > text.rindex(",") else ","
    if not dots and not commas:
        return "."
    mark = "." if dots else ","
    if dots + commas > 1:
        return "," if dots else "."
    whole, _, fraction = text.lstrip("-").partition(mark)
    groups_fit = len(fraction) == 3 and fraction.isdigit() and 1 <= len(whole) <= 3 and whole != "0"
    return "?" if groups_fit else mark


def _grouped(whole: str, mark: str) -> bool:
    """Whether thousands are parted as thousands are: `1.234.567`."""
    if mark not in whole:
        return True
    first, *rest = whole.lstrip("-").split(mark)
    return 1 <= len(first) <= 3 and first.isdigit() and all(len(part) == 3 and part.isdigit() for part in rest)


def _rounded(value: float, decimals: int | None) -> int | float:
    if not math.isfinite(value) or abs(value) >= 10**MAX_DIGITS:
        return value
    if decimals is None or isinstance(value, int):
        return value
    rounded = Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    return _whole(float(rounded))


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < 10**MAX_DIGITS else value


_PART = re.compile(r"\s*(-?[\d.,']*\d)\s*([^\d\s.,-](?:[^\d]*?(?:(?<=[a-zA-Z])[23](?=\s|$))?))\s*(?=\d|$)")


def _convert(text: str, target: Unit, decimal: str) -> float | Unreadable:
    """The sum of all parts, each a number with a unit of the target's dimension."""
    rest, total, parts = _spell_feet(_normalise(text)), 0.0, 0
    while rest:
        match = _PART.match(rest)
        unit = None if match is None else find_unit(match[2])
        if match is None or unit is None:
            return Unreadable("not a number with a unit we know")
        if unit.dimension != target.dimension:
            return Unreadable(f"{unit.name} is no unit of {target.dimension}")
        amount = _read(match[1], decimal)
        if isinstance(amount, Unreadable):
            return amount
        if parts and unit.offset:
            return Unreadable("not a number with a unit we know")
        total += unit.to_base(amount)
        parts += 1
        rest = rest[match.end() :].strip()
    return target.from_base(total) if parts else Unreadable("not a number with a unit we know")


def _spell_feet(text: str) -> str:
    """`5'11"` as `5 ft 11 in`: the apostrophe would pass for one between thousands."""
    return re.sub(r"(\d)\s*'\s*(?=\d{1,2}(?:\.\d+)?\s*(?:\"|''))", r"\1 ft ", text).replace("''", '"')


def unit_names() -> list[tuple[str, str]]:
    """Every unit with its dimension, to choose from."""
    return [(unit.name, unit.dimension) for unit in UNITS]
