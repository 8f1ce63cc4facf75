"""Deterministic identity as a pure function: union-find over profiles, held by limits.

Identifiers that meet in one message belong to one profile. As long as no limit is hit this is plain
union-find, so the order of messages does not matter. Where a merge or a link would break a limit, the message
goes to the profile of its highest-priority identifier, the others stay where they are, and the conflict is
reported.

An alias message is a statement, "X was U before": it holds for whatever has X as its user id or anonymous id, now or
later. Two user ids become one person by it, as by nothing else (docs/decisions/0003-an-alias-is-a-statement.md).
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from identity.contracts import Conflict, Identifier, Sighting
from identity.kinds import PREVIOUS, STATED_LIMIT, kind_of

NEW = 0  # nodes up to here are provisional: they stand for profiles that do not exist yet


class Clusters:
    """Nodes are profile ids (positive) and provisional new profiles (negative).

    `homes` says where known identifiers lead; `holdings` names, for every profile that may be linked or merged,
    the identifiers it has already. `statements` are those of earlier alias messages about ids that may come up
    here: the user ids that a previous id now is.
    """

    def __init__(
        self,
        *,
        homes: Mapping[Identifier, int],
        holdings: Mapping[int, Iterable[Identifier]],
        statements: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._homes: dict[Identifier, int] = dict(homes)
        self._parent: dict[int, int] = {}
        self._held: dict[int, set[Identifier]] = {node: set(values) for node, values in holdings.items()}
        self._statements: dict[str, set[str]] = {old: set(users) for old, users in (statements or {}).items()}
        self._next = NEW
        self.linked: list[tuple[Identifier, int, Sighting]] = []
        self.conflicts: list[Conflict] = []

    def add(self, sighting: Sighting) -> int:
        """Take one message's identifiers in; returns the node that the message belongs to."""
        named = {identifier for identifier in sighting.identifiers if identifier[0] != PREVIOUS}
        first, *others = sorted(named, key=lambda item: (kind_of(item[0]).priority, item))
        node = self._home_of(first)
        if node is None:
            node = self._link(first, self._start(first, others), sighting)
        for identifier in others:
            node = self._join(identifier, node, sighting)
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

    def _home_of(self, identifier: Identifier) -> int | None:
        node = self._homes.get(identifier)
        return None if node is None else self.root(node)

    def _start(self, first: Identifier, others: list[Identifier]) -> int:
        """Where a message goes whose best identifier is new: to the next one's profile if that has room."""
        for identifier in others:
            node = self._home_of(identifier)
            if node is not None and self._fits(node, {first}):
                return node
        self._next -= 1
        self._held[self._next] = set()
        return self._next

    def _join(self, identifier: Identifier, node: int, sighting: Sighting) -> int:
        other = self._home_of(identifier)
        if other == node:
            return node
        if other is None:
            if self._fits(node, {identifier}):
                return self._link(identifier, node, sighting)
            self.conflicts.append(Conflict(sighting, identifier, "limit_reached", node))
            return node
        return self._unite(identifier, node, other, sighting)

    def _unite(
        self, identifier: Identifier, node: int, other: int, sighting: Sighting, *, stated: bool = False
    ) -> int:
        if not self._fits(node, self._held[other], stated=stated):
            self.conflicts.append(Conflict(sighting, identifier, "merge_refused", node))
            return node
        return self._union(node, other)

    def _fits(self, node: int, more: set[Identifier], *, stated: bool = False) -> bool:
        """Whether both together keep the limits; what one of them has by a statement already is no obstacle."""
        mine, theirs, both = (_by_kind(part) for part in (self._held[node], more, self._held[node] | more))
        return all(
            both[name] <= max(STATED_LIMIT if stated else kind_of(name).limit, mine[name], theirs[name])
            for name in theirs
        )

    def _link(self, identifier: Identifier, node: int, sighting: Sighting) -> int:
        """Give a profile a new identifier, and heed what was stated of it; returns the node that it leads to."""
        self._homes[identifier] = node
        self._held[node].add(identifier)
        self.linked.append((identifier, node, sighting))
        kind, value = identifier
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
            self._unite(identifier, one, other, sighting, stated=identifier[0] == "user_id")
        return self.root(node)

    def _union(self, one: int, other: int) -> int:
        """The older profile survives: the smaller id, and any profile before a provisional one."""
        keep, give = sorted((one, other), key=lambda node: (node <= NEW, abs(node)))
        self._parent[give] = keep
        self._held[keep] |= self._held.pop(give)
        return keep


def _by_kind(identifiers: Iterable[Identifier]) -> Counter[str]:
    return Counter(kind for kind, _ in identifiers)
