"""What is odd about a definition, told without counting anybody. R: D1"""

from typing import Any

import pytest

from segments.ast import parse
from segments.warnings import warnings

GERMANY = {"type": "trait", "trait": "country", "op": "eq", "value": "Germany"}
ORDERED = {"type": "event", "event": "Order Completed"}


def trait(op: str, value: Any = None, name: str = "age") -> dict[str, Any]:
    return {"type": "trait", "trait": name, "op": op} | ({} if value is None else {"value": value})


def every(*of: Any) -> dict[str, Any]:
    return {"type": "all", "of": list(of)}


class TestRulingOut:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (GERMANY, GERMANY | {"value": "France"}),
            (GERMANY, GERMANY | {"op": "in", "value": ["France", "Spain"]}),
            (GERMANY, GERMANY | {"op": "neq"}),
            (GERMANY, {"type": "not", "of": GERMANY}),
            (trait("gt", 30), trait("lt", 30)),
            (trait("gte", 30), trait("lt", 30)),
            (trait("between", [10, 20]), trait("gt", 20)),
            (trait("eq", 5), trait("gt", 5)),
            (trait("eq", "5"), trait("eq", 5)),
            (trait("is_true"), trait("eq", 1)),
            (trait("exists"), trait("not_exists")),
            (ORDERED | {"op": "gte", "value": 3}, ORDERED | {"op": "lt", "value": 3}),
        ],
        ids=range(12),
    )
    def test_is_told_of_two_that_nobody_passes(self, one: Any, other: Any):
        [said] = warnings(parse(every(one, {"type": "all", "of": [other]})))

        assert "rule each other out" in said

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (GERMANY, GERMANY | {"op": "in", "value": ["Germany", "Spain"]}),
            (GERMANY, GERMANY | {"trait": "city", "value": "Lyon"}),
            (trait("gte", 30), trait("lte", 30)),
            (trait("gt", 10), trait("lt", 30)),
            (trait("contains", "a", "name"), trait("eq", "Anna", "name")),
            (trait("eq", "a", "tags[]"), trait("eq", "b", "tags[]")),
            (ORDERED | {"op": "gte", "value": 3}, ORDERED | {"op": "lt", "value": 3, "window": {"last": "7d"}}),
        ],
        ids=range(7),
    )
    def test_is_not_told_of_two_that_somebody_can_pass(self, one: Any, other: Any):
        assert warnings(parse(every(one, other))) == []

    def test_is_no_matter_where_one_of_them_is_enough(self):
        assert warnings(parse({"type": "any", "of": [GERMANY, GERMANY | {"value": "France"}]})) == []


class TestAlone:
    def test_a_count_below_nothing_never_matches(self):
        assert "can never match" in warnings(parse(ORDERED | {"op": "lt", "value": 0}))[0]

    @pytest.mark.parametrize(("op", "value"), [("gte", 0), ("gt", -1)])
    def test_a_count_of_nothing_or_more_matches_everyone(self, op: str, value: int):
        assert "matches everyone" in warnings(parse(ORDERED | {"op": op, "value": value}))[0]

    def test_a_condition_or_its_opposite_matches_everyone(self):
        either = {"type": "any", "of": [GERMANY, {"type": "not", "of": GERMANY}]}

        assert "matches everyone" in warnings(parse(either))[0]

    def test_a_sum_may_be_below_nothing(self):
        assert warnings(parse(ORDERED | {"measure": "sum", "of": "revenue", "op": "lt", "value": 0})) == []
