"""Deterministic identity as a pure function: union-find over profiles, held by limits.

Identifiers that meet in one message belong to one profile. As long as no limit is hit this is plain
union-find, so the order of messages does not matter. Where a merge or a link would break a limit, the message
goes to the profile of its highest-priority identifier, the others stay where they are, and the conflict is
reported.

An alias message is a statement, "X was U before": it holds for whatever has X as its user id or anonymous id, now or
later. Two user ids become one person by it, as by nothing else (docs/decisions/0003-an-alias-is-a-statement.md).

Every identifier belongs to an origin, and keeps it when profiles merge: that of the message that it came with, which
is the origin of the identifier that decides (docs/decisions/0006-a-merge-can-be-taken-back.md).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from identity.contracts import Combination, Conflict, Identifier, Sighting, Tie
from identity.kinds import PREVIOUS, STATED_LIMIT, Kind, Period, kind_of
from identity.kinds.rules import current

NEW = 0  # nodes up to here are provisional: they stand for profiles that do not exist yet
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The limit that a link or a merge would break; a `period` of None is the limit ever, or the protection."""

    kind: str
    period: Period | None = None


class Clusters:
    """Nodes are profile ids (positive) and provisional new profiles (negative).

    `homes` says where known identifiers lead; `holdings` names, for every profile that may be linked or merged,
    the identifiers it has already; `times` says when those of them were first seen whose kind has a limit by period.
    `statements` are those of earlier alias messages about ids that may come up here: the user ids that a previous id
    now is. `origins` has the origins of known identifiers that are not the profile they lead to; `never` are pairs of
    profiles that a person has declared to be two.
    """

    def __init__(
        self,
        *,
        homes: Mapping[Identifier, int],
        holdings: Mapping[int, Iterable[Identifier]],
        statements: Mapping[str, Iterable[str]] | None = None,
        times: Mapping[Identifier, int] | None = None,
        origins: Mapping[Identifier, int] | None = None,
        never: Iterable[tuple[int, int]] = (),
    ) -> None:
        self._homes: dict[Identifier, int] = dict(homes)
        self._parent: dict[int, int] = {}
        self._held: dict[int, dict[str, set[str]]] = {node: _by_kind(values) for node, values in holdings.items()}
        self._times: dict[Identifier, int] = dict(times or {})
        self._statements: dict[str, set[str]] = {old: set(users) for old, users in (statements or {}).items()}
        self._origins: dict[Identifier, int] = dict(origins or {})
        self._became: dict[int, int] = {}  # a provisional origin -> the one that its profile turned out to have
        self._apart: defaultdict[int, set[int]] = defaultdict(set)
        for one, other in never:
            self._apart[one].add(other)
            self._apart[other].add(one)
        self._next = NEW
        self._is_timed = bool(current().timed)
        self._newcomers: set[int] = set()
        self._united: set[int] = set()
        self.ties: list[Tie] = []
        self.linked: list[tuple[Identifier, int, Sighting]] = []
        self.conflicts: list[Conflict] = []

    def add(self, sighting: Sighting) -> int:
        """Take one message's identifiers in; returns the node that the message belongs to."""
        if (newcomer := self._welcome(sighting)) is not None:
            return newcomer
        named = by_priority(sighting.identifiers)
        first, *others = named
        for identifier in named:
            if kind_of(identifier[0]).periods and identifier not in self._homes:
                self._times[identifier] = sighting.at
        node = self._home_of(first)
        if node is None:
            node, origin = self._start(first, others)
            node = self._link(first, node, sighting, origin=origin)
        for identifier in others:
            node = self._join(identifier, first, node, sighting)
        for kind, value in sighting.identifiers:
            if kind == PREVIOUS:
                node = self._state(value, sighting.identifiers[0][1], node, sighting)
        return node

    def root(self, node: int) -> int:
        """The node that this one has become part of."""
        path = []
        while (parent := self._parent.get(node, node)) != node:
            path.append(node)
            node = parent
        for passed in path:
            self._parent[passed] = node
        return node

    def merged(self) -> dict[int, int]:
        """Every node that was absorbed, with the one that absorbed it."""
        return {node: self.root(node) for node in self._parent}

    def fits(self, one: int, other: int, *, stated: bool = False) -> bool:
        """Whether two profiles may be one, as far as limits go."""
        return self._obstacle(one, self._held[other], merging=True, stated=stated) is None

    def origin(self, identifier: Identifier) -> int:
        """The origin of an identifier that leads somewhere; that of a new profile is its node."""
        origin = self._origins.get(identifier)
        if origin is None:
            origin = self._homes[identifier]
        while origin in self._became:
            origin = self._became[origin]
        return origin

    def apart(self) -> set[int]:
        """Nodes of people who are new as a whole and have remained by themselves: each is its own origin."""
        return self._newcomers - self._united

    def _welcome(self, sighting: Sighting) -> int | None:
        """The node of somebody of whom nothing is known; None where all that is below has to be asked.

        One value of each kind is within every limit. Most messages that come here are of such people.
        """
        identifiers, homes = sighting.identifiers, self._homes
        held = {kind: {value} for kind, value in identifiers}
        if self._is_timed or len(held) < len(identifiers) or PREVIOUS in held:
            return None
        for identifier in identifiers:
            if identifier in homes or identifier[1] in self._statements:
                return None
        self._next = node = self._next - 1
        self._held[node] = held
        self._newcomers.add(node)
        for identifier in identifiers:
            homes[identifier] = self._origins[identifier] = node
            self.linked.append((identifier, node, sighting))
        return node

    def _home_of(self, identifier: Identifier) -> int | None:
        node = self._homes.get(identifier)
        return None if node is None else self.root(node)

    def _start(self, first: Identifier, others: list[Identifier]) -> tuple[int, int]:
        """Where a message goes whose best identifier is new, and its origin: to the next one's if that has room."""
        for identifier in others:
            node = self._home_of(identifier)
            if node is not None and self._obstacle(node, {first[0]: {first[1]}}) is None:
                return node, self.origin(identifier)
        self._next -= 1
        self._held[self._next] = {}
        return self._next, self._next

    def _join(self, identifier: Identifier, first: Identifier, node: int, sighting: Sighting) -> int:
        other = self._home_of(identifier)
        if other == node:
            return node
        if other is not None:
            return self._unite(identifier, first, node, other, sighting)
        kind, value = identifier
        obstacle = self._obstacle(node, {kind: {value}})
        if obstacle is None:
            return self._link(identifier, node, sighting, origin=self.origin(first))
        period = obstacle.period
        reason = "limit_reached" if period is None else f"limit_reached_{period.value}"
        self._conflict(reason, obstacle, (identifier, first), (node, None), sighting)
        return node

    def _unite(
        self,
        identifier: Identifier,
        met: Identifier,
        node: int,
        other: int,
        sighting: Sighting,
        *,
        stated: bool | None = None,
    ) -> int:
        """`stated` is given where an alias message says so: whether it makes user ids one."""
        if self._are_apart(node, other):
            self.conflicts.append(Conflict(sighting, identifier, "never_linked", node, other, met=met))
            return node
        obstacle = self._obstacle(node, self._held[other], merging=True, stated=bool(stated))
        if obstacle is None:
            return self._union(node, other, met, identifier, sighting, stated=stated is not None)
        self._conflict("merge_refused", obstacle, (identifier, met), (node, other), sighting)
        return node

    def _are_apart(self, node: int, other: int) -> bool:
        return node in self._apart and any(self.root(one) == other for one in self._apart[node])

    def _conflict(
        self,
        reason: str,
        obstacle: Obstacle,
        pair: tuple[Identifier, Identifier],
        nodes: tuple[int, int | None],
        sighting: Sighting,
    ) -> None:
        """Of the two that met, the value to suspect is the one that is not of the kind in the way."""
        identifier, met = pair
        shared, counterpart = (met, identifier) if identifier[0] == obstacle.kind else (identifier, met)
        self.conflicts.append(
            Conflict(sighting, identifier, reason, *nodes, limit_of=obstacle.kind, shared=shared, met=counterpart)
        )

    def _obstacle(
        self, node: int, more: Mapping[str, Collection[str]], *, merging: bool = False, stated: bool = False
    ) -> Obstacle | None:
        """Which limit both together would break; what one of them has beyond it already is no obstacle."""
        held = self._held[node]
        for name in sorted(more):
            kind, mine, theirs = kind_of(name), held.get(name, NOTHING), more[name]
            both = len(mine) + sum(value not in mine for value in theirs)
            most = max(len(mine), len(theirs))
            if both > max(STATED_LIMIT if stated else kind.limit, most):
                return Obstacle(name)
            if stated or both == most:
                continue
            if merging and kind.protected and mine and theirs:
                return Obstacle(name)
            for period, limit in kind.periods:
                if self._breaks(kind, period, limit, mine, theirs):
                    return Obstacle(name, period)
        return None

    def _breaks(self, kind: Kind, period: Period, limit: int, mine: Collection[str], theirs: Collection[str]) -> bool:
        mine_at, theirs_at = (
            sorted(self._times.get((kind.name, value), 0) for value in part) for part in (mine, theirs)
        )
        both_at = sorted(self._times.get((kind.name, value), 0) for value in {*mine, *theirs})
        most = max(limit, _densest(mine_at, period.micros), _densest(theirs_at, period.micros))
        return _densest(both_at, period.micros) > most

    def _link(self, identifier: Identifier, node: int, sighting: Sighting, *, origin: int) -> int:
        """Give a profile a new identifier, and heed what was stated of it; returns the node that it leads to."""
        self._homes[identifier] = node
        self._origins[identifier] = origin
        kind, value = identifier
        self._held[node].setdefault(kind, set()).add(value)
        self.linked.append((identifier, node, sighting))
        if kind in {"user_id", "anonymous_id"}:
            for user in sorted(self._statements.get(value, ())):
                node = self._heed(identifier, user, node, sighting)
        return node

    def _state(self, previous: str, user: str, node: int, sighting: Sighting) -> int:
        self._statements.setdefault(previous, set()).add(user)
        for kind in ("user_id", "anonymous_id"):
            if (kind, previous) in self._homes:
                node = self._heed((kind, previous), user, node, sighting)
        return node

    def _heed(self, identifier: Identifier, user: str, node: int, sighting: Sighting) -> int:
        """Unite an id with the user that it is by statement. One browser still does not make two users one."""
        one, other = self._home_of(("user_id", user)), self._home_of(identifier)
        if one is not None and other is not None and one != other:
            self._unite(identifier, ("user_id", user), one, other, sighting, stated=identifier[0] == "user_id")
        return self.root(node)

    def _union(
        self, one: int, other: int, mine: Identifier, theirs: Identifier, sighting: Sighting, *, stated: bool
    ) -> int:
        """The older profile survives: the smaller id, and any profile before a provisional one."""
        keep, give = sorted((one, other), key=lambda node: (node <= NEW, abs(node)))
        origins = self.origin(mine), self.origin(theirs)
        self._united.update((one, other, *origins))
        if give > NEW:
            self.ties.append(Tie(keep, give, *origins, mine, theirs, stated=stated, sighting=sighting))
        else:
            newer, older = sorted(origins) if keep > NEW else (give, keep)
            self._became[newer] = older
        self._parent[give] = keep
        held = self._held[keep]
        for kind, values in self._held.pop(give).items():
            held.setdefault(kind, set()).update(values)
        if give in self._apart:
            self._apart[keep] |= self._apart.pop(give)
        return keep


def by_priority(combination: Combination) -> list[Identifier]:
    """The identifiers of a message, the one that decides first."""
    if len(combination) == 1 and combination[0][0] != PREVIOUS:
        return [*combination]
    named = {identifier for identifier in combination if identifier[0] != PREVIOUS}
    return sorted(named, key=lambda item: (kind_of(item[0]).priority, item))


def _by_kind(identifiers: Iterable[Identifier]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, value in identifiers:
        found.setdefault(kind, set()).add(value)
    return found


def _densest(times: list[int], length: int) -> int:
    """How many of these sorted times lie within some stretch of this length, its end not included."""
    most = start = 0
    for place, at in enumerate(times):
        while at - times[start] >= length:
            start += 1
        most = max(most, place - start + 1)
    return most
