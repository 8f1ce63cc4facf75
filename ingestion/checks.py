"""What a check of a source's rules works on, and the shapes that `ingestion.treatment` puts together."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ingestion.contracts import Change, Incoming

ANY_EVENT = "*"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Opened:
    """A message while rules look at it: `fields` are its properties, or the traits of an identify or group.

    A check may change `fields` in place; it says so by `note`, which also is what the live view shows.
    """

    __slots__ = ("_fields", "changed", "changes", "event")

    def __init__(self, event: Incoming) -> None:
        self.event = event
        self.changes: list[Change] = []
        self.changed = False
        self._fields: dict[str, Any] | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Decoded by the first check that looks."""
        if self._fields is None:
            traits = self.event.traits
            self._fields = _decode(self.event.properties) if traits is None else dict(traits)
        return self._fields

    def note(self, stage: str, path: str, what: str, *, before: Any = None, after: Any = None) -> None:
        """Remember a change of `fields` (with the value before and after)."""
        self.changes.append(Change(stage, path, what, before, after))
        self.changed = True

    def flag(self, stage: str, path: str, what: str) -> None:
        """Remember something that is not as it should be and was left as it is."""
        self.changes.append(Change(stage, path, what, None, None))


Check = Callable[[Opened], None]
Checks = Mapping[str, Check]
"""What a stage does to the events of a source: by event name, `ANY_EVENT` for all that are not named."""

Stage = Callable[[int], Checks]
"""Compiles the rules of a source (its id); asked again when `Source.rules_version` grows."""
