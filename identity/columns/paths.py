"""Dotted paths into traits, and the values at their end."""

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any


def steps_of(path: str) -> list[str]:
    """
    Raises:
        ValueError: where the path leads through a list. Read the list itself: its value is one JSON value.
    """
    steps = path.split(".")
    if not all(steps) or any(step.endswith("[]") for step in steps):
        raise ValueError(f"{path} is no path to a single value.")
    return steps


def expression(path: str) -> tuple[str, list[str]]:
    """SQL for the JSON value as text, NULL where there is none, over `p`, a profile; with its parameters."""
    steps = steps_of(path)
    return "(p.traits" + " -> %s::text" * len(steps) + ")::text", steps


def load_values(texts: Iterable[str]) -> list[Any]:
    """What JSON texts mean; a number that no float holds exactly is a Decimal."""
    return load_lines(["\n".join(texts).encode()])


def load_lines(chunks: Iterable[bytes | memoryview]) -> list[Any]:
    """The same of texts that stand one a line: JSON as the database writes it has no line breaks."""
    lines = b",".join(bytes(chunk).replace(b"\n", b",") for chunk in chunks)
    exactly = _exact if _LONG_NUMBER.search(lines) else None
    found: list[Any] = json.loads(b"[" + lines + b"]", parse_float=exactly)
    return found


_LONG_NUMBER = re.compile(rb"[0-9][0-9.]{15}")
"""Whatever has fewer digits is the same as a float."""


def _exact(text: str) -> float | Decimal:
    number, exact = float(text), Decimal(text)
    return number if Decimal(repr(number)) == exact else exact
