"""Differences between definitions, as people read them."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from segments.ast import Node, parse
from segments.difference import Kind, Line, changes, difference, summary
from tests.oracles.segment_worlds import World


def trait(value: object, *, name: str = "country", op: str = "eq") -> dict[str, object]:
    return {"type": "trait", "trait": name, "op": op, "value": value}


def every(*of: object) -> dict[str, object]:
    return {"type": "all", "of": list(of)}


BOUGHT = {"type": "event", "event": "Order Completed", "window": {"last": "30d"}}


def compared(before: object, after: object) -> Line:
    return difference(parse(before), parse(after))


def told(line: Line) -> list[tuple[str, str, str]]:
    return [(change.kind.value, change.before, change.text) for change in changes(line)]


class TestDifference:
    def test_of_what_means_the_same_is_nothing(self) -> None:
        line = compared(every(trait("DE"), BOUGHT), every(trait("DE"), BOUGHT))

        assert (line.is_same, told(line), summary(line)) == (True, [], "")

    def test_tells_what_came_went_and_changed(self) -> None:
        line = compared(every(trait("DE"), trait(5, name="age", op="gt")), every(trait("FR"), BOUGHT))

        assert told(line) == [
            ("changed", "country is “DE”", "country is “FR”"),
            ("added", "", "did Order Completed in the last 30 days"),
            ("removed", "", "age is more than 5"),
        ]
        assert summary(line) == "1 condition added, 1 removed, 1 changed"

    def test_knows_a_condition_by_what_it_is_about(self) -> None:
        often = {"type": "event", "event": "Order Completed", "op": "gte", "value": 2, "window": {"last": "60d"}}

        line = compared(every({"type": "event", "event": "Order Completed"}), every(often, trait("DE")))

        assert summary(line) == "1 condition added, 1 changed"

    def test_marks_the_words_that_changed(self) -> None:
        (line,) = changes(compared(BOUGHT, BOUGHT | {"window": {"last": "60d"}}))

        assert [(piece.kind.value, piece.text) for piece in line.pieces] == [
            ("same", "did Order Completed in the last"),
            ("removed", "30"),
            ("added", "60"),
            ("same", "days"),
        ]

    def test_takes_one_condition_for_a_group_of_one(self) -> None:
        line = compared(BOUGHT, every(BOUGHT, trait("DE")))

        assert told(line) == [("added", "", "country is “DE”")]

    def test_looks_into_groups_and_at_how_they_join(self) -> None:
        before = every(BOUGHT, {"type": "any", "of": [trait("DE"), trait("FR")]})
        after = every(BOUGHT, {"type": "not", "of": {"type": "any", "of": [trait("DE"), trait("FR"), trait("IT")]}})

        line = compared(before, after)

        assert told(line) == [
            ("changed", "At least one of these", "None of these"),
            ("added", "", "country is “IT”"),
        ]
        assert summary(line) == "1 condition added, 1 group joined otherwise"

    @pytest.mark.parametrize("seed", range(60))
    def test_accounts_for_every_condition_of_both(self, seed: int) -> None:
        world, draw = World(seed), Random(seed)
        before = world.definition()
        after = world.definition() if draw.random() < 0.5 else every(before, world.definition())

        line = difference(parse(before), parse(after))

        assert Counter(_leaves(line, old=True)) == Counter(_phrases(parse(before)))
        assert Counter(_leaves(line, old=False)) == Counter(_phrases(parse(after)))
        assert difference(parse(after), parse(after)).is_same


def _leaves(line: Line, *, old: bool) -> Iterator[str]:
    if line.group:
        for part in line.parts:
            yield from _leaves(part, old=old)
    elif line.kind is not (Kind.ADDED if old else Kind.REMOVED):
        yield line.before if old and line.kind is Kind.CHANGED else line.text


def _phrases(node: Node) -> Iterator[str]:
    """As a difference to the same, in which nothing is marked."""
    return _leaves(difference(node, node), old=True)
