"""Definitions as they are asked together: the conditions that they consist of, each once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segments.ast import Condition, Node
from segments.dependencies import streams_of
from segments.plan import conditions


@dataclass(frozen=True)
class Outline:
    """Worked out once for the same definitions, since to look conditions up reads each from end to end.

    `nodes_of` has for each condition the numbers of the definitions that have it, `places` the condition's number by
    the identity of each of those that are equal to it, `names` the events that any of them reads.
    """

    nodes: Sequence[Node]
    conditions: Sequence[Condition]
    nodes_of: Sequence[Sequence[int]]
    places: Mapping[int, int]
    names: frozenset[str]

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> "Outline":
        numbers: dict[Condition, int] = {}
        nodes_of: list[list[int]] = []
        places: dict[int, int] = {}
        for number, node in enumerate(nodes):
            for condition in conditions(node):
                place = places[id(condition)] = numbers.setdefault(condition, len(nodes_of))
                if place == len(nodes_of):
                    nodes_of.append([])
                nodes_of[place].append(number)
        names = frozenset(name for one in numbers for stream in streams_of(one) for name in stream.events)
        return cls(tuple(nodes), tuple(numbers), nodes_of, places, names)
