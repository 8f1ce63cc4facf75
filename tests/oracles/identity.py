"""Slow and obvious: which identifiers are one person, if there were no limits."""

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
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


Named = tuple[str, str]
"""An identifier as ``(kind, value)``."""


@dataclass(frozen=True)
class Limits:
    """What is configured of a kind: who decides, how many a profile may have, and how many within so many days."""

    priority: int
    ever: int
    within: tuple[tuple[str, int, int], ...] = ()  # (name, days, how many)
    protected: bool = False


DAY = 86_400_000_000


def people_with_limits(
    messages: Iterable[tuple[int, Iterable[Named]]], kinds: Mapping[str, Limits]
) -> tuple[set[frozenset[Named]], list[tuple[Named, str]]]:
    """Who is one person, and which identifiers were not linked and why, message by message, by the documented rule.

    A profile is a dict of its identifiers with the time of the message that brought each.
    """
    profiles: list[dict[Named, int]] = []
    refused: list[tuple[Named, str]] = []

    def of(identifier: Named) -> dict[Named, int] | None:
        return next((one for one in profiles if identifier in one), None)

    for at, identifiers in messages:
        first, *others = sorted(set(identifiers), key=lambda one: (kinds[one[0]].priority, one))
        mine = of(first)
        if mine is None:
            known = [one for other in others if (one := of(other)) is not None]
            mine = next((one for one in known if not _broken(one, {first: at}, kinds, merging=False)), None)
            if mine is None:
                profiles.append(mine := {})
            mine[first] = at
        for other in others:
            theirs = of(other)
            if theirs is mine:
                continue
            broken = _broken(mine, theirs or {other: at}, kinds, merging=theirs is not None)
            if broken:
                refused.append((other, "merge_refused" if theirs is not None else broken))
            elif theirs is None:
                mine[other] = at
            else:
                mine |= theirs
                profiles = [one for one in profiles if one is not theirs]
    return {frozenset(one) for one in profiles}, refused


def _broken(mine: dict[Named, int], theirs: dict[Named, int], kinds: Mapping[str, Limits], *, merging: bool) -> str:
    """The limit that both together break and neither alone does; empty where they fit."""
    for kind in sorted({kind for kind, _ in theirs}):
        limits, sides = kinds[kind], [[at for (k, _), at in side.items() if k == kind] for side in (mine, theirs)]
        both = sides[0] + sides[1]
        if len(both) > max(limits.ever, *map(len, sides)):
            return "limit_reached"
        if merging and limits.protected and all(sides):
            return "protected"
        for name, days, most in limits.within:
            densest = [max((sum(0 <= at - one < days * DAY for at in s) for one in s), default=0) for s in sides]
            if max(sum(0 <= at - one < days * DAY for at in both) for one in both) > max(most, *densest):
                return f"limit_reached_{name}"
    return ""
