"""Statistics that add up: whatever the parts and their order, the sum says what the whole would."""

import functools
import operator
import random
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.quality import summary
from ingestion.quality.summary import (
    DISTINCT_ERROR,
    EXACT_DISTINCT,
    QUANTILE_ERROR,
    TOP_KEPT,
    EventSummary,
    PropertySummary,
    Seen,
    summarise,
    summarise_events,
)
from tests.oracles import quality as oracle

NUMBER = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 3)))
VALUE = st.one_of(st.none(), st.booleans(), NUMBER, st.text("abcü", max_size=4), st.just([1]), st.just({"a": 1}))
VALUES = st.lists(VALUE, max_size=40)
ITEMS = st.lists(st.dictionaries(st.sampled_from("xy"), VALUE))
EVENT = st.dictionaries(st.sampled_from("abc"), st.one_of(VALUE, ITEMS))


def same(one: PropertySummary, other: PropertySummary) -> bool:
    """Equal; the mean and the spread up to the rounding of floats."""
    exact = [
        (s.present, s.nulls, s.types, s.texts, s.distinct, s.top, s.numbers.count, s.numbers.buckets)
        for s in (one, other)
    ]
    close = all(
        getattr(one.numbers, name) == pytest.approx(getattr(other.numbers, name), rel=1e-6, abs=1e-3)
        for name in ("mean", "deviation", "low", "high")
    )
    return exact[0] == exact[1] and close


class TestAddition:
    @given(VALUES, VALUES)
    def test_is_the_same_from_either_side(self, a: list[Any], b: list[Any]):
        assert same(summarise(a) + summarise(b), summarise(b) + summarise(a))

    @given(VALUES, VALUES, VALUES)
    def test_does_not_depend_on_brackets(self, a: list[Any], b: list[Any], c: list[Any]):
        one, two, three = summarise(a), summarise(b), summarise(c)

        assert same((one + two) + three, one + (two + three))

    @given(VALUES, VALUES)
    def test_equals_the_whole(self, a: list[Any], b: list[Any]):
        assert same(summarise(a) + summarise(b), summarise(a + b))

    @given(VALUES)
    def test_of_nothing_changes_nothing(self, a: list[Any]):
        assert same(summarise(a) + PropertySummary(), summarise(a))

    @given(st.lists(EVENT, max_size=12), st.integers(0, 12))
    def test_of_events_equals_the_whole_too(self, events: list[dict[str, Any]], cut: int):
        seen = [Seen(event, late=bool(number % 2)) for number, event in enumerate(events)]

        parts, whole = summarise_events(seen[:cut]) + summarise_events(seen[cut:]), summarise_events(seen)

        assert (parts.seen, parts.late, parts.properties.keys()) == (whole.seen, whole.late, whole.properties.keys())
        assert all(same(parts.properties[path], whole.properties[path]) for path in whole.properties)

    @given(st.lists(EVENT, max_size=6))
    def test_survives_being_stored(self, events: list[dict[str, Any]]):
        whole = summarise_events(map(Seen, events))

        assert summary.decode(summary.encode(whole)) == whole


class TestOracle:
    @given(VALUES)
    def test_agrees_on_counts_numbers_and_values(self, values: list[Any]):
        found, numbers = summarise(values), oracle.numbers_of(values)

        assert found.present + found.nulls == len(values)
        assert found.distinct.estimate() == oracle.distinct(values)
        assert found.numbers.count == len(numbers)
        if numbers:
            assert found.numbers.mean == pytest.approx(statistics.fmean(numbers), rel=1e-9, abs=1e-6)
            assert found.numbers.deviation == pytest.approx(statistics.pstdev(numbers), rel=1e-6, abs=1e-3)
            assert (found.numbers.low, found.numbers.high) == (min(numbers), max(numbers))

    @settings(max_examples=60)
    @given(st.lists(NUMBER, min_size=1, max_size=200), st.sampled_from([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]))
    def test_agrees_on_quantiles_within_the_stated_error(self, values: list[float], share: float):
        expected = oracle.quantile(values, share)

        found = summarise(values).numbers.quantile(share)
        assert found == pytest.approx(expected, rel=QUANTILE_ERROR * 1.01, abs=1e-9)

    @pytest.mark.parametrize("count", [EXACT_DISTINCT, 1_000, 20_000])
    def test_counts_distinct_values_within_the_stated_error(self, count: int):
        values = [f"customer {number}" for number in range(count)]
        parts = [summarise(values[start : start + 400]) for start in range(0, count, 300)]
        random.Random(1).shuffle(parts)

        found = functools.reduce(operator.add, parts).distinct

        assert abs(found.estimate() - count) <= (0 if count <= EXACT_DISTINCT else 3 * DISTINCT_ERROR * count)
        assert found == summarise(values).distinct

    def test_top_values_are_within_the_stated_bound(self):
        draw = random.Random(7)
        values = [f"v{min(int(draw.expovariate(0.05)), 300)}" for _ in range(5_000)]
        parts = [summarise(values[start : start + 250]) for start in range(0, 5_000, 250)]

        top = functools.reduce(operator.add, parts).top

        true = oracle.counts(values)
        assert top.lost <= len(values) / (TOP_KEPT + 1)
        assert all(count <= true[value] <= count + top.lost for value, count in top.counts.items())
        assert {value for value, count in true.items() if count > top.lost} <= top.counts.keys()


class TestSummary:
    def test_tells_types_apart(self):
        found = summarise([1, "1", True, 1, None, [1], {"a": 1}])

        assert found.types == {"number": 2, "text": 1, "boolean": 1, "list": 1, "object": 1}
        assert found.top.counts == {"1": 2, '"1"': 1, "true": 1}
        assert (found.main_type, found.nulls) == ("number", 1)

    def test_keeps_no_value_that_looks_personal(self):
        found = summarise(["eve@example.org", "+49 170 1234567", "red", "x" * 80])

        assert found.top.counts == {'"red"': 1}
        assert found.distinct.estimate() == 4

    def test_follows_objects_and_lists_of_objects(self):
        found = summarise_events([Seen({"address": {"city": "Rome"}, "products": [{"price": 1}, {"price": 3}]})])

        assert found.properties["address.city"].present == 1
        assert found.properties["products[].price"].present == 1
        assert found.properties["products[].price"].numbers.count == 2

    def test_takes_integers_that_no_float_can_hold(self):
        assert summarise([10**400]).numbers.count == 1

    def test_keeps_a_bounded_number_of_properties_the_same_ones_in_any_order(self):
        parts = [summarise_events([Seen({f"p{number:04}": 1})]) for number in range(300)]
        backwards = functools.reduce(operator.add, reversed(parts))

        assert functools.reduce(operator.add, parts, EventSummary()) == backwards
        assert len(backwards.properties) == summary.MAX_PATHS
