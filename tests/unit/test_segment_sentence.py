"""Definitions read as English. R: D1"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.ast import parse
from segments.sentence import sentence
from tests.oracles.segment_worlds import World

ORDER = {"type": "event", "event": "Order Completed"}
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
SENTENCES: list[tuple[dict[str, Any], str]] = [
    (
        {"type": "event", "event": "Product Viewed", "op": "gte", "value": 3, "span": "1h", "window": {"last": "7d"}},
        "Did Product Viewed at least 3 times within 1 hour in the last 7 days",
    ),
    (
        {
            "type": "sequence",
            "steps": [
                {"event": "Product Added"},
                {"event": "Order Completed", "absent": True, "within": "30m", "same": "cart_id"},
            ],
            "window": {"last": "1d"},
        },
        "Did Product Added in the last day, then not Order Completed with the same cart_id within 30 minutes",
    ),
    (
        ORDER | {"where": [{"property": "event.weekday", "op": "in", "value": [6, 7]}]},
        "Did Order Completed where the day of the week is one of Saturday, Sunday",
    ),
    (
        ORDER | {"where": [{"property": "event.hour", "op": "gte", "value": 18}]},
        "Did Order Completed where the hour of the day is at least 18",
    ),
    ({"type": "account", "trait": "plan", "op": "in", "value": ["pro"]}, "Plan of an account is one of “pro”"),
    ({"type": "account", "trait": "plan", "op": "neq", "value": "pro"}, "Plan of no account is “pro”"),
    ({"type": "account", "trait": "address.city", "op": "not_exists"}, "Address → city of no account is known"),
    ({"type": "consent", "purpose": "ads", "state": "granted"}, "Has agreed to ads"),
    ({"type": "consent", "purpose": "ads", "state": "denied"}, "Has refused ads"),
    ({"type": "consent", "purpose": "ads", "state": "unknown"}, "Has no choice that stands about ads"),
    (GERMAN, "Country is “DE”"),
    (ORDER, "Did Order Completed"),
    (ORDER | {"window": {"last": "1d"}}, "Did Order Completed in the last day"),
    ({"type": "not", "of": ORDER | {"window": {"last": "7d"}}}, "Did not do Order Completed in the last 7 days"),
    (ORDER | {"op": "eq", "value": 0}, "Did not do Order Completed"),
    (ORDER | {"op": "gte", "value": 2}, "Did Order Completed at least twice"),
    (ORDER | {"op": "eq", "value": 1}, "Did Order Completed exactly once"),
    (ORDER | {"op": "lt", "value": 3}, "Did Order Completed fewer than 3 times"),
    (ORDER | {"op": "between", "value": [2, 5]}, "Did Order Completed between 2 and 5 times"),
    (
        ORDER | {"measure": "sum", "of": "revenue", "op": "gte", "value": 1500, "window": {"last": "30d"}},
        "Sum of revenue of Order Completed is at least 1,500 in the last 30 days",
    ),
    (
        ORDER | {"measure": "avg", "of": "revenue", "op": "between", "value": [10, 99.5]},
        "Average of revenue of Order Completed is between 10 and 99.5",
    ),
    (
        ORDER | {"measure": "days", "op": "gt", "value": 1, "window": {"calendar": "last_week"}},
        "Did Order Completed on more than 1 day last week",
    ),
    (
        ORDER | {"measure": "distinct", "of": "products[].category", "op": "gte", "value": 3},
        "Number of different values of products → category of Order Completed is at least 3",
    ),
    (
        {"type": "event", "event": ["Cart Viewed", "Product Added"], "window": {"after": "2026-01-01"}},
        "Did Cart Viewed or Product Added since 2026-01-01",
    ),
    (
        ORDER | {"where": [{"property": "coupon", "op": "exists"}, {"property": "total", "op": "gt", "value": 5}]},
        "Did Order Completed where coupon is known and total is more than 5",
    ),
    (
        {"type": "trait", "trait": "birthday", "op": "anniversary_within", "value": "7d"},
        "Birthday has its anniversary within 7 days",
    ),
    (
        {"type": "trait", "trait": "birthday", "op": "anniversary_within", "value": "0d"},
        "Birthday has its anniversary today",
    ),
    (
        {"type": "trait", "trait": "plan", "op": "in", "value": ["a", "b", 1, True, "c", "d", "e"]},
        "Plan is one of “a”, “b”, 1, true, “c” and 2 more",
    ),
    (
        {"type": "all", "of": [GERMAN, {"type": "any", "of": [ORDER, {"type": "not", "of": GERMAN}]}]},
        "Country is “DE” and (did Order Completed or not (country is “DE”))",
    ),
]


class TestSentence:
    @pytest.mark.parametrize(("definition", "expected"), SENTENCES)
    def test_says_what_the_definition_means(self, definition: dict[str, Any], expected: str) -> None:
        assert sentence(parse(definition)) == expected

    @given(st.integers(min_value=0, max_value=10**9))
    def test_has_words_for_every_definition(self, seed: int) -> None:
        assert len(sentence(parse(World(seed).definition()))) > 5
