"""Slow and obvious: which identifiers are one person, if there were no limits."""

import json
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


Said = tuple[int, int, int, object]
"""A statement: instant, source, the source's priority number, value."""


def value_by_policy(statements: Iterable[Said], *, rule: str, sources: tuple[int, ...] = (), day: int = 1) -> object:
    """The value that counts of all that was ever said about a trait, read off the definitions. None: no value."""

    def age(one: Said) -> tuple[int, int, int, bool, str]:
        return one[0], -one[2], -one[1], one[3] is not None, json.dumps(one[3], sort_keys=True)

    ordered = sorted(statements, key=age)
    if not ordered:
        return None
    by_source = {one[1]: one for one in ordered}  # the last of each
    if rule == "oldest":
        valued = [one for one in ordered if one[3] is not None]
        best = min(((at, priority, source) for at, source, priority, _ in valued), default=None)
        first = [one for one in valued if (one[0], one[2], one[1]) == best]
        return max(first, key=age)[3] if first else None
    if rule == "priority":
        for source in sources:
            if source in by_source and by_source[source][3] is not None:
                return by_source[source][3]
        rest = [one for one in by_source.values() if one[3] is not None and one[1] not in sources]
        return max(rest, key=age)[3] if rest else None
    if rule == "frequent":
        deletions = {one[1]: age(one) for one in ordered if one[3] is None}
        valid = [one for one in ordered if one[1] not in deletions or age(one) > deletions[one[1]]]
        recent = [one for one in valid if one[0] // day > ordered[-1][0] // day - 90]
        votes = list({(one[1], one[0] // day): one for one in recent}.values())
        texts = [json.dumps(one[3], sort_keys=True) for one in votes]
        if not votes:
            return None
        most = max(texts.count(text) for text in texts)
        return max((one for one, text in zip(votes, texts, strict=True) if texts.count(text) == most), key=age)[3]
    return ordered[-1][3]
