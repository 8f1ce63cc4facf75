"""The numbers of an event that the log keeps beside its properties."""

from typing import Any

import msgspec
from msgspec.structs import astuple

from ingestion.messages.objects import EMPTY

VALUE_PROPERTIES = ("revenue", "total", "price", "value")
NO_NUMBERS = (None, None, None, None)


class _Numbers(msgspec.Struct, gc=False):
    revenue: float | None = None
    total: float | None = None
    price: float | None = None
    value: float | None = None


class _Values(msgspec.Struct, gc=False):
    """The same, where one of them is no number."""

    revenue: Any = None
    total: Any = None
    price: Any = None
    value: Any = None


_decode_numbers = msgspec.json.Decoder(_Numbers).decode
_decode_values = msgspec.json.Decoder(_Values).decode


def promoted_numbers(properties: bytes) -> tuple[float | None, ...]:
    """The numbers of `VALUE_PROPERTIES`, None where there is none."""
    if properties == EMPTY:
        return NO_NUMBERS
    try:
        numbers = astuple(_decode_numbers(properties))
    except (ValueError, RecursionError):
        return _numbers_among_others(properties)
    return NO_NUMBERS if numbers == NO_NUMBERS else numbers


def _numbers_among_others(properties: bytes) -> tuple[float | None, ...]:
    try:
        numbers = tuple(_number(value) for value in astuple(_decode_values(properties)))
    except (ValueError, RecursionError):
        return NO_NUMBERS
    return NO_NUMBERS if numbers == NO_NUMBERS else numbers


def numbers_of(fields: dict[str, Any]) -> tuple[float | None, ...]:
    """The same of properties that are open."""
    found = tuple(_number(fields.get(name)) for name in VALUE_PROPERTIES)
    return NO_NUMBERS if found == NO_NUMBERS else found


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    return None
