"""Deterministic identity as a pure function: union-find over profiles, held by limits.

Identifiers that meet in one message belong to one profile. As long as no limit is hit this is plain
union-find, so the order of messages does not matter. Where a merge or a link would break a limit, the message
goes to the profile of its highest-priority identifier, the others stay where they are, and the conflict is
reported.
"""

from collections.abc import Iterable, Mapping

from identity.contracts import Conflict, Identifier, Sighting
from identity.kinds import KINDS

NEW = 0  # nodes up to here are provisional: they stand for profiles that do not exist yet


class Clusters:
    """Nodes are profile ids (positive) and provisional new profiles (negative).

    `homes` says where known identifiers lead; `holdings` names, for every profile that may be linked or merged,
    the identifiers it has already.
    """

    def __init__(self, *, homes: Mapping[Identifier, int], holdings: Mapping[int, Iterable[Identifier]]) -> None:
        self._homes: dict[Identifier, int] = dict(homes)
        self._parent: dict[int, int] = {}
        self._held: dict[int, set[Identifier]] = {node: set(values) for node, values in holdings.items()}
        self._next = NEW
        self.linked: list[tuple[Identifier, int, Sighting]] = []
        self.conflicts: list[Conflict] = []

    def add(self, sighting: Sighting) -> int:
        """Take one message's identifiers in; returns the node that the message belongs to."""
        ordered = sorted(set(sighting.identifiers), key=lambda item: (KINDS[item[0]].priority, item))
        first, *others = ordered
        node = self._home_of(first)
        if node is None:
            node = self._start(first, others)
            self._link(first, node, sighting)
        for identifier in others:
            node = self._join(identifier, node, sighting)
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
                self._link(identifier, node, sighting)
            else:
                self.conflicts.append(Conflict(sighting, identifier, "limit_reached", node))
            return node
        if not self._fits(node, self._held[other]):
            self.conflicts.append(Conflict(sighting, identifier, "merge_refused", node))
            return node
        return self._union(node, other)

    def _fits(self, node: int, more: set[Identifier]) -> bool:
        together = self._held[node] | more
        return all(
            sum(1 for held, _ in together if held == name) <= KINDS[name].limit for name in {name for name, _ in more}
        )

    def _link(self, identifier: Identifier, node: int, sighting: Sighting) -> None:
        self._homes[identifier] = node
        self._held[node].add(identifier)
        self.linked.append((identifier, node, sighting))

    def _union(self, one: int, other: int) -> int:
        """The older profile survives: the smaller id, and any profile before a provisional one."""
        keep, give = sorted((one, other), key=lambda node: (node <= NEW, abs(node)))
        self._parent[give] = keep
        self._held[keep] |= self._held.pop(give)
        return keep
