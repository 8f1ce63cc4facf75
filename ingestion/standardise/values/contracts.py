"""What every standardiser shares."""

from collections.abc import Callable
from typing import Any

import msgspec


class Unreadable(msgspec.Struct, frozen=True):
    """In place of a value: it cannot be standardised, and why in a few words."""

    reason: str


Standardiser = Callable[[Any], Any]
"""From a single value (text, number, boolean) to its one spelling, or to `Unreadable`. Applied twice it is as once."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule may set; every kind has its own."""


class BadOptionsError(ValueError):
    """Options that make no sense, with a stable code and the path of the part at fault."""

    def __init__(self, message: str, *, code: str, path: str) -> None:
        super().__init__(message)
        self.message, self.code, self.path = message, code, path
