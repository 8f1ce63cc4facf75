"""What changed between two definitions, as people read them: conditions added, removed, changed, in their groups."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from segments.ast import All, Event, InSegment, Node, Not, Trait
from segments.ast import Any as AnyOf
from segments.sentence import phrase

ALIKE = 0.5  # conditions that share as many of their words are one, changed
GROUPS_ALIKE = 0.3
SAME_TOPIC = 0.3


class Kind(StrEnum):
    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class Piece:
    """Some words of a condition that changed: what stayed, came or went."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Line:
    """A condition, or a group with its parts; `before` is what it was, where it changed."""

    kind: Kind
    text: str
    before: str = ""
    group: bool = False
    parts: tuple["Line", ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return _pieces(self.before, self.text) if self.kind is Kind.CHANGED else (Piece(self.kind, self.text),)

    @property
    def is_same(self) -> bool:
        return self.kind is Kind.SAME and all(part.is_same for part in self.parts)


def difference(before: Node, after: Node) -> Line:
    """`after` as an outline, in which what is new, gone or different since `before` is marked."""
    if before == after:
        return _whole(after, Kind.SAME)
    old, new = _group_of(before), _group_of(after)
    if old is None and new is None:
        return Line(Kind.CHANGED, phrase(after), before=phrase(before))
    return _groups(old or (_ALL, (before,)), new or (_ALL, (after,)))


def summary(line: Line) -> str:
    """`2 conditions added, 1 removed, 1 changed`; empty where nothing is different."""
    counts = Counter(part.kind for part in changes(line) if not part.group)
    told = [f"{counts[kind]} {kind.value}" for kind in (Kind.ADDED, Kind.REMOVED, Kind.CHANGED) if counts[kind]]
    regrouped = sum(1 for part in changes(line) if part.group)
    if told:
        first, _, rest = told[0].partition(" ")
        told[0] = f"{first} condition{'' if first == '1' else 's'} {rest}"
    if regrouped:
        told.append(f"{regrouped} group{'' if regrouped == 1 else 's'} joined otherwise")
    return ", ".join(told)


def changes(line: Line) -> Iterator[Line]:
    """Every line that is not as it was, from the top; of a group that came or went whole, its conditions."""
    if line.kind is not Kind.SAME and not (line.group and line.kind is not Kind.CHANGED):
        yield line
    for part in line.parts:
        yield from changes(part)


# --- Groups -------------------------------------------------------------------------------------------------

_ALL = "All of these"
Group = tuple[str, tuple[Node, ...]]


def _group_of(node: Node) -> Group | None:
    match node:
        case All(of):
            return _ALL, of
        case AnyOf(of):
            return "At least one of these", of
        case Not(AnyOf(of)):
            return "None of these", of
        case Not(All(of)):
            return "Not all of these", of
        case _:
            return None


def _groups(old: Group, new: Group) -> Line:
    pairs = _paired(old[1], new[1])
    parts: list[Line] = []
    gone = [part for place, part in enumerate(old[1]) if place not in pairs.values()]
    for place, part in enumerate(new[1]):
        parts.append(difference(old[1][pairs[place]], part) if place in pairs else _whole(part, Kind.ADDED))
    parts += [_whole(part, Kind.REMOVED) for part in gone]
    same = old[0] == new[0]
    kind = Kind.SAME if same else Kind.CHANGED
    return Line(kind, new[0], before="" if same else old[0], group=True, parts=tuple(parts))


def _whole(node: Node, kind: Kind) -> Line:
    group = _group_of(node)
    if group is None:
        return Line(kind, phrase(node))
    return Line(kind, group[0], group=True, parts=tuple(_whole(part, kind) for part in group[1]))


def _paired(old: Sequence[Node], new: Sequence[Node]) -> dict[int, int]:
    """By the place of a new part, that of the old one which it was: equal ones first, then the most alike."""
    pairs: dict[int, int] = {}
    left = list(range(len(old)))
    for place, part in enumerate(new):
        equal = next((other for other in left if old[other] == part), None)
        if equal is not None:
            pairs[place] = equal
            left.remove(equal)
    words = {("new", place): _words(new[place]) for place in range(len(new)) if place not in pairs}
    words |= {("old", place): _words(old[place]) for place in left}
    topics = {key: _topic((new if key[0] == "new" else old)[key[1]]) for key in words}

    def alike(place: int, other: int) -> float:
        same = topics["new", place] is not None and topics["new", place] == topics["old", other]
        return _likeness(words["new", place], words["old", other]) + SAME_TOPIC * same

    scores = sorted(
        (-alike(place, other), place, other)
        for place in range(len(new))
        if place not in pairs
        for other in left
        if (_group_of(new[place]) is None) == (_group_of(old[other]) is None)
    )
    for score, place, other in scores:
        least = ALIKE if _group_of(new[place]) is None else GROUPS_ALIKE
        if -score >= least and place not in pairs and other not in pairs.values():
            pairs[place] = other
    return pairs


def _topic(node: Node) -> object:
    """What a condition is about, where that is plain: the events, the trait, the segment."""
    match node:
        case Not(of):
            return _topic(of)
        case Event(events=about) | Trait(trait=about) | InSegment(slug=about):
            return about
        case _:
            return None


def _words(node: Node) -> Counter[str]:
    return Counter(phrase(node).replace("(", " ").replace(")", " ").split())


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """The share of words that both have, from 0 to 1."""
    return 2 * (one & other).total() / ((one.total() + other.total()) or 1)


def _pieces(before: str, after: str) -> tuple[Piece, ...]:
    old, new = before.split(), after.split()
    found: list[Piece] = []
    for what, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            found.append(Piece(Kind.SAME, " ".join(new[new_start:new_end])))
            continue
        if end > start:
            found.append(Piece(Kind.REMOVED, " ".join(old[start:end])))
        if new_end > new_start:
            found.append(Piece(Kind.ADDED, " ".join(new[new_start:new_end])))
    return tuple(found)
