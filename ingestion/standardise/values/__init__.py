"""Standardisers: pure functions from a value to its one spelling. No Django here. R: B3

Each kind is a factory: options in, a function out that remembers what it has worked out, since values repeat.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ingestion.standardise.values import contacts, dates, numbers, places, words
from ingestion.standardise.values.contracts import BadOptionsError, Options, Standardiser, Unreadable

__all__ = ["KINDS", "BadOptionsError", "Kind", "Standardiser", "Unreadable", "make_standardiser"]

REMEMBERED = 16_384
LONGEST = 200
"""Longer text is no date or number; text and tables take it, and do not remember it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of value: how people call it, what it does in a line, its options and its factory."""

    name: str
    label: str
    example: str
    options: type[Options]
    make: Callable[[Any], Standardiser]
    takes_long: bool = False


KINDS = {
    kind.name: kind
    for kind in (
        Kind("email", "E-mail address", "Anna@EXAMPLE.org → anna@example.org", contacts.EmailOptions, contacts.email),
        Kind("phone", "Phone number", "0170 1234567 → +491701234567", contacts.PhoneOptions, contacts.phone),
        Kind("date", "Date or time", "31.12.2024 → 2024-12-31", dates.DateOptions, dates.iso_date),
        Kind("country", "Country", "Germany, DEU, Allemagne → DE", places.CountryOptions, places.country),
        Kind("language", "Language", "de_AT, German → de-AT, de", places.LanguageOptions, places.language),
        Kind("number", "Number", "1.234,50 → 1234.5", numbers.NumberOptions, numbers.number),
        Kind("money", "Amount of money", "EUR 1,234.50 → 1234.5", numbers.MoneyOptions, numbers.money),
        Kind("quantity", "Number with a unit", "12 kg → 26.455 (lb)", numbers.QuantityOptions, numbers.quantity),
        Kind("boolean", "Yes or no", "ja, on, 1 → true", words.BooleanOptions, words.boolean),
        Kind("text", "Text", "  Anna   MARIA → Anna Maria", words.TextOptions, words.text, takes_long=True),
        Kind("mapping", "Table of values", "m, Herr → male", words.MappingOptions, words.mapping, takes_long=True),
    )
}


def make_standardiser(kind: str, options: dict[str, Any]) -> Standardiser:
    """The function for these options.

    Raises:
        BadOptionsError: with a code, and a path within the options.
    """
    known = KINDS[kind]
    try:
        read = msgspec.convert(options, known.options)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `")
        path = place.rstrip("`").replace("$", "").replace(".", "/").replace("[", "/").replace("]", "")
        raise BadOptionsError(text, code="option_invalid", path=path) from None
    return _remembering(known.make(read), takes_long=known.takes_long)


def _remembering(function: Standardiser, *, takes_long: bool) -> Standardiser:
    cached = functools.lru_cache(maxsize=REMEMBERED, typed=True)(function)

    def standardise(value: Any) -> Any:
        if type(value) is str and len(value) > LONGEST:
            return function(value) if takes_long else _TOO_LONG
        return cached(value)

    return standardise


_TOO_LONG = Unreadable("too long")
