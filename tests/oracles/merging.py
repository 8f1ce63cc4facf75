"""Slow and obvious: who is one person after messages, merges and undos, if there were no limits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracles.identity import last_writer_wins, partition

Identifier = tuple[str, str]


@dataclass
class World:
    """Origins are numbered in the order in which they came up. `ties` are the merges in force, in their order."""

    origins: int = 0
    identifiers: dict[Identifier, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    said: list[tuple[int, tuple[int, int, int], dict[str, Any]]] = field(default_factory=list)
    ties: list[tuple[int, int]] = field(default_factory=list)
    never: set[frozenset[int]] = field(default_factory=set)

    def hear(self, name: str, identifiers: Sequence[Identifier], at: int, traits: dict[str, Any]) -> None:
        """A message; the first of its identifiers decides."""
        first, *others = identifiers
        if first not in self.identifiers:
            known = [self.identifiers[one] for one in others if one in self.identifiers]
            self.identifiers[first] = known[0] if known else self._begin()
        origin = self.identifiers[first]
        for one in others:
            if one not in self.identifiers:
                self.identifiers[one] = origin
            else:
                self.merge(origin, self.identifiers[one])
        if name not in self.events:
            self.events[name] = origin
            self.said.append((origin, (at, 1, 1), traits))

    def merge(self, one: int, other: int) -> bool:
        mine, theirs = self._person(one), self._person(other)
        forbidden = any(frozenset((a, b)) in self.never for a in mine for b in theirs)
        if mine == theirs or forbidden:
            return False
        self.ties.append((one, other))
        return True

    def undo(self, place: int, *, never_again: bool) -> None:
        pair = frozenset(self.ties.pop(place))
        self.never.discard(pair)
        if never_again:
            self.never.add(pair)

    def people(self) -> set[tuple[Any, ...]]:
        """Of each: the leading origin, all of them, identifiers, events and traits."""
        return {
            (
                min(person),
                person,
                frozenset(one for one, origin in self.identifiers.items() if origin in person),
                frozenset(name for name, origin in self.events.items() if origin in person),
                frozenset(
                    last_writer_wins(
                        (stamp, traits) for origin, stamp, traits in self.said if origin in person
                    ).items()
                ),
            )
            for person in self._people()
        }

    def _begin(self) -> int:
        self.origins += 1
        return self.origins - 1

    def _people(self) -> set[frozenset[int]]:
        return partition([*([origin] for origin in range(self.origins)), *self.ties])

    def _person(self, origin: int) -> frozenset[int]:
        return next(person for person in self._people() if origin in person)
