"""The numbers of an event that the log keeps beside its properties."""

from typing import Any

import msgspec

from ingestion.messages.objects import EMPTY

VALUE_PROPERTIES = ("revenue", "total", "price", "value")
NO_NUMBERS = (None, None, None, None)


class _Numbers(msgspec.Struct, gc=False):
    revenue: Any = None
    total: Any = None
    price: Any = None
    value: Any = None


_decode_numbers = msgspec.json.Decoder(_Numbers).decode


def promoted_numbers(properties: bytes) -> tuple[float | None, ...]:
    """The numbers of `VALUE_PROPERTIES`, None where there is none."""
    if properties == EMPTY:
        return NO_NUMBERS
    try:
        found = _decode_numbers(properties)
    except (ValueError, RecursionError):
        return NO_NUMBERS
    revenue, total, price, value = found.revenue, found.total, found.price, found.value
    if revenue is total is price is value is None:
        return NO_NUMBERS
    return (
        None if revenue is None else _number(revenue),
        None if total is None else _number(total),
        None if price is None else _number(price),
        None if value is None else _number(value),
    )


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
