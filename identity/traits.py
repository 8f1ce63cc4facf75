"""Traits: what each source said of a person, and which of it counts. R: C4, B5

A statement is one value of one trait, given by one source at one instant. Of all statements about a trait a few are
kept: the newest of each source, and what its policy needs beyond that. Keeping is a join: kept parts, put together and
kept again, are what would have been kept of everything at once. So order, repetition, chunks and merges do not matter.
Which of the kept statements counts is the policy's choice; two that are equally good are told apart by a total order.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, assert_never

DAY = 86_400_000_000
FREQUENT_DAYS = 90
"""How many days, back from the newest statement, have a vote in what is said most often."""

Statement = tuple[int, int, int, Any]
"""Event time (microseconds since 2000-01-01 UTC), source id, source priority, value; the value None deletes."""


class Rule(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    PRIORITY = "priority"
    FREQUENT = "frequent"
    COMPUTED = "computed"


COMPUTED_SOURCE = 0
"""What stands in the stamp of a trait that no source told: it follows from others, by the rule `COMPUTED`."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which statement about a trait counts. `sources` are for `PRIORITY`: the ids of the best first."""

    rule: Rule = Rule.NEWEST
    sources: tuple[int, ...] = ()


NEWEST = Policy()
NO_POLICIES: Mapping[str, Policy] = {}
_KEEPS_ONE_A_SOURCE = frozenset({Rule.NEWEST, Rule.PRIORITY, Rule.COMPUTED})


@dataclass(frozen=True, slots=True)
class TraitUpdate:
    """Traits that one message sets, at one instant (microseconds since 2000-01-01 UTC).

    `origin_id` is the origin that it speaks for, where that is not the profile itself.
    """

    profile_id: int
    at: int
    source_id: int
    priority: int
    traits: dict[str, Any]
    event_id: bytes | None = None
    origin_id: int | None = None


@dataclass(slots=True)
class TraitState:
    """A profile's traits, and in `provenance` the stamp of each: ``[event time, source id, source priority]``.

    A stamp may have a fourth element, the other statements that are kept: ``[[time, source, priority, value]…]``.
    A deleted trait keeps its stamp and loses its value, so that an older value that arrives later does not bring it
    back.

    `changed` names the traits whose value is another now. `news` are the updates that told something their source had
    not said before, with the traits that were news. `policies` are those of traits that do not go by the newest.
    """

    traits: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, list[Any]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    touched: bool = False
    policies: Mapping[str, Policy] = field(default_factory=lambda: NO_POLICIES)
    news: list[tuple[TraitUpdate, dict[str, Any]]] = field(default_factory=list)

    def dump_traits(self) -> str:
        return dump_json(self.traits)

    def dump_provenance(self) -> str:
        return dump_json(self.provenance)

    def apply(self, update: TraitUpdate) -> None:
        news = {
            name: value
            for name, value in update.traits.items()
            if not self._is_computed(name) and self._offer(name, value, [update.at, update.source_id, update.priority])
        }
        if news:
            self.news.append((update, news))

    def _is_computed(self, name: str) -> bool:
        """Of a name that is reserved for a computed trait, no source tells anything."""
        policy = self.policies.get(name)
        return policy is not None and policy.rule is Rule.COMPUTED

    def absorb(self, other: "TraitState") -> None:
        """Take over what another profile knew, by the same rule."""
        for name, stamp in other.provenance.items():
            if len(stamp) == 3:
                self._offer(name, other.traits.get(name), stamp)
            else:
                self._settle(name, [*self.statements(name), *other.statements(name)])

    def statements(self, name: str) -> list[Statement]:
        """What is kept of a trait, the one that counts first."""
        stamp = self.provenance.get(name)
        if stamp is None:
            return []
        counting = (stamp[0], stamp[1], stamp[2], self.traits.get(name))
        return [counting, *((at, source, priority, value) for at, source, priority, value in _others(stamp))]

    def decide(self, name: str, more: Iterable[Statement] = ()) -> None:
        """Choose again, by the policy as it is now, among what is kept and `more`."""
        statements = [*self.statements(name), *more]
        if statements:
            self._settle(name, statements)

    def _offer(self, name: str, value: Any, stamp: list[Any]) -> bool:
        """Take a statement in; returns whether its source says something that it had not said."""
        current = self.provenance.get(name)
        if current is None:
            self._set(name, value, stamp)
            return value is not None
        policy = self.policies.get(name)
        if len(current) > 3 or current[1] != stamp[1] or (policy and policy.rule not in _KEEPS_ONE_A_SOURCE):
            return self._join(name, value, stamp)
        before = self.traits.get(name)
        is_news = not _is_same(before, value)
        if self._beats(value, stamp, current, before):
            self._set(name, value, stamp)
        return is_news

    def _beats(self, value: Any, stamp: list[Any], current: list[Any], before: Any) -> bool:
        """Of two statements of one source."""
        if stamp[0] != current[0]:
            return bool(stamp[0] > current[0])
        if stamp[2] != current[2]:
            return bool(stamp[2] < current[2])
        return _rank(value) > _rank(before)

    def _join(self, name: str, value: Any, stamp: list[Any]) -> bool:
        statements = self.statements(name)
        theirs = [one for one in statements if one[1] == stamp[1]]
        self._settle(name, [*statements, (stamp[0], stamp[1], stamp[2], value)])
        return _rank(value) != _rank(max(theirs, key=_age)[3] if theirs else None)

    def _settle(self, name: str, statements: list[Statement]) -> None:
        policy = self.policies.get(name, NEWEST)
        kept = _keep(statements, policy)
        counting = _choose(kept, policy)
        others = sorted((one for one in kept if one is not counting), key=_age)
        stamp = [*counting[:3], [list(one) for one in others]] if others else list(counting[:3])
        self._set(name, counting[3], stamp)

    def _set(self, name: str, value: Any, stamp: list[Any]) -> None:
        before = self.traits.get(name)
        differs = not _is_same(before, value)
        if not differs and _is_same(self.provenance.get(name), stamp):
            return
        self.provenance[name] = stamp
        self.touched = True
        if value is None:
            self.traits.pop(name, None)
        else:
            self.traits[name] = value
        if differs:
            self.changed.add(name)


def load_state(traits: str, provenance: str) -> TraitState:
    """From the columns of a row."""
    return TraitState(json.loads(traits), json.loads(provenance))


def fold(states: Mapping[int, TraitState], updates: Iterable[TraitUpdate]) -> None:
    """Apply every update to the state of its profile."""
    for update in updates:
        states[update.profile_id].apply(update)


def newest_of_each_source(statements: Iterable[Statement]) -> list[Statement]:
    """What every source says now, the newest word first."""
    newest: dict[int, Statement] = {}
    for one in statements:
        known = newest.get(one[1])
        if known is None or _age(one) > _age(known):
            newest[one[1]] = one
    return sorted(newest.values(), key=_age, reverse=True)


def is_disputed(statements: Iterable[Statement]) -> bool:
    """Whether the sources' newest words, deletions aside, are not all the same."""
    values = [one[3] for one in newest_of_each_source(statements) if one[3] is not None]
    return any(not same_value(values[0], other) for other in values[1:])


def same_value(one: Any, other: Any) -> bool:
    """As JSON tells values apart: true is not 1."""
    return _rank(one) == _rank(other)


# --- What a policy keeps, and what it chooses -----------------------------------------------------------------


def _keep(statements: Iterable[Statement], policy: Policy) -> list[Statement]:
    """The newest of every source, and what the policy needs beyond; each once."""
    found = list({_age(one): one for one in statements}.values())
    kept = newest_of_each_source(found)
    match policy.rule:
        case Rule.NEWEST | Rule.PRIORITY | Rule.COMPUTED:
            return kept
        case Rule.OLDEST:
            more = _oldest(found)
        case Rule.FREQUENT:
            more = _votes(found)
        case _ as never:
            assert_never(never)
    known = {_age(one) for one in kept}
    return [*kept, *(one for one in more if _age(one) not in known)]


def _choose(kept: list[Statement], policy: Policy) -> Statement:
    """The statement that counts. Where nothing speaks for any, the newest, which may be a deletion."""
    newest = max(kept, key=_age)
    match policy.rule:
        case Rule.NEWEST | Rule.COMPUTED:
            return newest
        case Rule.OLDEST:
            return next(iter(_oldest(kept)), newest)
        case Rule.PRIORITY:
            return _best_source(kept, policy.sources) or newest
        case Rule.FREQUENT:
            return _most_frequent(kept) or newest
        case _ as never:
            assert_never(never)


def _oldest(statements: list[Statement]) -> list[Statement]:
    """A deletion is no value: under this rule what was said first stays."""
    valued = [one for one in statements if one[3] is not None]
    return [min(valued, key=lambda one: (one[0], one[2], one[1], _Last(_rank(one[3]))))] if valued else []


def _best_source(statements: list[Statement], sources: tuple[int, ...]) -> Statement | None:
    """What the best source says now that says anything; of sources that are not listed, the newest word."""
    places = {source: place for place, source in enumerate(sources)}
    valued = [one for one in newest_of_each_source(statements) if one[3] is not None]
    return min(valued, key=lambda one: places.get(one[1], len(places)), default=None)


def _votes(statements: list[Statement]) -> list[Statement]:
    """A source's last word on every day, and its last deletion, which takes back what it had said before."""
    horizon = max(one[0] for one in statements) // DAY - FREQUENT_DAYS
    deleted: dict[int, Statement] = {}
    for one in statements:
        if one[3] is None and (one[1] not in deleted or _age(one) > _age(deleted[one[1]])):
            deleted[one[1]] = one
    last: dict[tuple[int, int], Statement] = {}
    for one in statements:
        place = (one[1], one[0] // DAY)
        if place[1] <= horizon or (one[1] in deleted and _age(one) < _age(deleted[one[1]])):
            continue
        if place not in last or _age(one) > _age(last[place]):
            last[place] = one
    barriers = [one for one in deleted.values() if one[0] // DAY > horizon]
    return list({_age(one): one for one in [*last.values(), *barriers]}.values())


def _most_frequent(kept: list[Statement]) -> Statement | None:
    votes = [one for one in _votes(kept) if one[3] is not None]
    counts = Counter(_rank(one[3]) for one in votes)
    return max(votes, key=lambda one: (counts[_rank(one[3])], _age(one)), default=None)


Age = tuple[int, int, int, tuple[bool, str]]


def _age(one: Statement) -> Age:
    """A total order, the newest last; of one instant the better source, then the lower id, then the value."""
    return one[0], -one[2], -one[1], _rank(one[3])


def _rank(value: Any) -> tuple[bool, str]:
    """A total order over JSON values; a deletion comes last."""
    return value is not None, json.dumps(value, sort_keys=True)


def _is_same(one: Any, other: Any) -> bool:
    """As JSON tells them apart; Python takes true for 1, inside of lists and objects too."""
    if one != other or type(one) is not type(other):
        return False
    return not isinstance(one, list | dict) or _rank(one) == _rank(other)


def _others(stamp: list[Any]) -> list[list[Any]]:
    return stamp[3] if len(stamp) > 3 else []


class _Last:
    """Turns an order round."""

    __slots__ = ("rank",)

    def __init__(self, rank: tuple[bool, str]) -> None:
        self.rank = rank

    def __lt__(self, other: "_Last") -> bool:
        return self.rank > other.rank


# One encoder for all: `json.dumps` with these arguments makes one for every call, which takes longer than to encode.
dump_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
