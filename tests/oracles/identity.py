"""Slow and obvious: which identifiers are one person, if there were no limits."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def partition(groups: Iterable[Iterable[Item]]) -> set[frozenset[Item]]:
    """Items that meet in a group belong together, and so do groups that share an item: merge until nothing moves."""
    parts: list[set[Item]] = []
    for group in groups:
        together = set(group)
        apart = []
        for part in parts:
            if part & together:
                together |= part
            else:
                apart.append(part)
        parts = [*apart, together]
    return {frozenset(part) for part in parts}


def last_writer_wins(updates: Iterable[tuple[tuple[int, int, int], dict[str, object]]]) -> dict[str, object]:
    """Traits of one person from ``((event time, source priority, source id), traits)``, no two stamps alike.

    The latest time wins; of equal times the lower priority number, then the lower source id. None deletes.
    """
    ordered = sorted(updates, key=lambda update: (update[0][0], -update[0][1], -update[0][2]))
    known: dict[str, object] = {}
    for _, traits in ordered:
        known |= traits
    return {name: value for name, value in known.items() if value is not None}
