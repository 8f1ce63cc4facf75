"""Origins and the merges between them, as a graph. Pure."""

from collections.abc import Collection, Iterable

Edge = tuple[int, int]


def component(start: int, edges: Iterable[Edge]) -> frozenset[int]:
    """The origins that `start` is tied to, itself included."""
    near: dict[int, set[int]] = {}
    for one, other in edges:
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    reached: set[int] = set()
    waiting = [start]
    while waiting:
        origin = waiting.pop()
        if origin not in reached:
            reached.add(origin)
            waiting += near.get(origin, set()) - reached
    return frozenset(reached)


def crosses(edge: Edge, side: Collection[int]) -> bool:
    """Whether it has one end on this side and one on the other."""
    return (edge[0] in side) != (edge[1] in side)
