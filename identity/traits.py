"""Traits: the last writer wins by event time, then by source priority; equal ones by value, so order never matters."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TraitUpdate:
    """Traits that one message sets, at one instant (microseconds since 2000-01-01 UTC)."""

    profile_id: int
    at: int
    source_id: int
    priority: int
    traits: dict[str, Any]


@dataclass(slots=True)
class TraitState:
    """A profile's traits, and in `provenance` the stamp of each: ``[event time, source id, source priority]``.

    Times are microseconds since 2000-01-01 UTC. A deleted trait keeps its stamp and loses its value, so that an
    older value that arrives later does not bring it back.
    """

    traits: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, list[int]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    touched: bool = False

    def apply(self, update: TraitUpdate) -> None:
        for name, value in update.traits.items():
            self._offer(name, value, [update.at, update.source_id, update.priority])

    def absorb(self, other: "TraitState") -> None:
        """Take over what another profile knew, by the same rule."""
        for name, stamp in other.provenance.items():
            self._offer(name, other.traits.get(name), stamp)

    def _offer(self, name: str, value: Any, stamp: list[int]) -> None:
        current = self.provenance.get(name)
        if current is not None and not self._beats(name, value, stamp, current):
            return
        before = self.traits.get(name)
        self.provenance[name] = stamp
        self.touched = True
        if value is None:
            self.traits.pop(name, None)
        else:
            self.traits[name] = value
        if before != value or type(before) is not type(value):
            self.changed.add(name)

    def _beats(self, name: str, value: Any, stamp: list[int], current: list[int]) -> bool:
        if stamp[0] != current[0]:
            return stamp[0] > current[0]
        if stamp[2] != current[2]:
            return stamp[2] < current[2]
        if stamp[1] != current[1]:
            return stamp[1] < current[1]
        return _rank(value) > _rank(self.traits.get(name))


def fold(states: dict[int, TraitState], updates: Iterable[TraitUpdate]) -> None:
    """Apply every update to the state of its profile."""
    for update in updates:
        states[update.profile_id].apply(update)


def _rank(value: Any) -> tuple[bool, str]:
    """A total order over JSON values; a deletion comes last."""
    return value is not None, json.dumps(value, sort_keys=True)
