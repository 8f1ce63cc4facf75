"""Definitions as people read them: an outline of nested groups."""

from dataclasses import dataclass
from typing import Any

from segments.ast import All, DefinitionError, Node, Not, parse
from segments.ast import Any as AnyOf
from segments.sentence import phrase


@dataclass(frozen=True)
class Outline:
    """A group with its parts, or one condition, which has none."""

    text: str
    parts: tuple["Outline", ...] = ()


def outline(definition: Any) -> Outline:
    """The definition as nested lists; what the language no longer reads is told as it is."""
    try:
        return _outline(parse(definition))
    except DefinitionError as error:
        return Outline(error.message)


def _outline(node: Node) -> Outline:
    match node:
        case All(of):
            return Outline("All of these", _parts(of))
        case AnyOf(of):
            return Outline("At least one of these", _parts(of))
        case Not(AnyOf(of)):
            return Outline("None of these", _parts(of))
        case Not(All(of)):
            return Outline("Not all of these", _parts(of))
        case _:
            return Outline(phrase(node))


def _parts(nodes: tuple[Node, ...]) -> tuple[Outline, ...]:
    return tuple(_outline(node) for node in nodes)
