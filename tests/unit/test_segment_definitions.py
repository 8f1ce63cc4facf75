"""Reading definitions: what is taken, and for everything else a code and the path of the bad part. R: D1"""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segments.ast import (
    All,
    Calendar,
    DefinitionError,
    Duration,
    Event,
    Last,
    Measure,
    Moment,
    Not,
    Op,
    Period,
    Step,
    Trait,
    dump,
    limits,
    parse,
    times,
)
from segments.ast.schema import json_schema
from tests.oracles.segment_worlds import World

ORDER = {"type": "event", "event": "Order Completed"}
SPENT = ORDER | {"measure": "sum", "of": "revenue", "op": "gt", "value": 500, "window": {"last": "30d"}}
FROM_GERMANY = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}


def nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = FROM_GERMANY
    for _ in range(depth):
        node = {"type": "not", "of": node}
    return node


class TestParse:
    def test_reads_groups_conditions_and_windows(self) -> None:
        node = parse({"type": "all", "of": [SPENT, {"type": "not", "of": ORDER | {"window": {"last": "7d"}}}]})

        assert isinstance(node, All)
        spent, quiet = node.of
        assert isinstance(spent, Event)
        assert (spent.events, spent.measure, spent.test.op) == (("Order Completed",), Measure.SUM, Op.GT)
        assert spent.window == Last(Duration(30, "d"))
        assert isinstance(quiet, Not)

    def test_takes_an_event_alone_to_mean_at_least_once(self) -> None:
        assert parse(ORDER) == parse(ORDER | {"measure": "count", "op": "gte", "value": 1})

    def test_reads_nested_paths_and_paths_through_lists(self) -> None:
        node = parse({"type": "trait", "trait": "orders[].address.city", "op": "exists"})

        assert isinstance(node, Trait)
        assert node.trait.steps == (Step("orders", each=True), Step("address"), Step("city"))
        assert node.trait.text == "orders[].address.city"

    def test_reads_a_calendar_window_with_its_zone(self) -> None:
        node = parse(ORDER | {"window": {"calendar": "last_week", "tz": "Europe/Berlin"}})

        assert isinstance(node, Event)
        assert node.window == Calendar(Period.LAST_WEEK, "Europe/Berlin")

    def test_keeps_a_moment_as_it_was_written(self) -> None:
        node = parse({"type": "trait", "trait": "born", "op": "before", "value": "1990-01-01T10:00+02:00"})

        assert isinstance(node, Trait)
        assert node.test.value == Moment("1990-01-01T10:00+02:00")

    @pytest.mark.parametrize("value", [10**18, -(10**18), 0, 0.1, 1e-300, -5])
    def test_takes_numbers_up_to_eighteen_digits(self, value: float) -> None:
        parse({"type": "trait", "trait": "n", "op": "gt", "value": value})

    def test_takes_as_much_as_the_limits_say(self) -> None:
        parse(nested(limits.MAX_DEPTH - 1))
        parse({"type": "all", "of": [FROM_GERMANY] * (limits.MAX_NODES - 1)})
        parse({"type": "trait", "trait": "n", "op": "in", "value": list(range(limits.MAX_LIST))})


def trait(op: str, *value: Any) -> dict[str, Any]:
    return {"type": "trait", "trait": "t", "op": op} | ({"value": value[0]} if value else {})


def event(**more: Any) -> dict[str, Any]:
    return ORDER | more


STEP = {"event": "Product Added"}


def sequence(*steps: Any) -> dict[str, Any]:
    return {"type": "sequence", "steps": [STEP, *steps]}


REFUSED: list[tuple[Any, str, str]] = [
    # the shape of nodes
    (None, "not_an_object", ""),
    ([], "not_an_object", ""),
    ("all", "not_an_object", ""),
    ({}, "missing_key", "/type"),
    ({"type": 3}, "not_a_text", "/type"),
    ({"type": "every", "of": []}, "unknown_type", "/type"),
    ({"type": "all"}, "missing_key", "/of"),
    ({"type": "all", "of": {}}, "not_a_list", "/of"),
    ({"type": "all", "of": []}, "empty_group", "/of"),
    ({"type": "all", "of": [FROM_GERMANY, 1]}, "not_an_object", "/of/1"),
    ({"type": "any", "of": [FROM_GERMANY, {"type": "not", "of": None}]}, "not_an_object", "/of/1/of"),
    ({"type": "all", "of": [FROM_GERMANY], "off": 1}, "unknown_key", "/off"),
    ({"type": "trait", "trait": "t", "op": "exists", "a/b~": 1}, "unknown_key", "/a~1b~0"),
    (nested(limits.MAX_DEPTH), "too_deep", "/of" * limits.MAX_DEPTH),
    (nested(200), "too_deep", "/of" * limits.MAX_DEPTH),
    ({"type": "all", "of": [FROM_GERMANY] * limits.MAX_NODES}, "too_many_nodes", f"/of/{limits.MAX_NODES - 1}"),
    ({"type": "all", "of": [FROM_GERMANY] * 10_000}, "too_many_nodes", "/of"),
    # other segments and consent
    ({"type": "segment"}, "missing_key", "/segment"),
    ({"type": "segment", "segment": 5}, "not_a_text", "/segment"),
    ({"type": "consent", "purpose": "ads"}, "missing_key", "/state"),
    ({"type": "consent", "purpose": "ads", "state": "withdrawn"}, "unknown_state", "/state"),
    ({"type": "consent", "purpose": "ads", "state": ["granted"]}, "not_a_text", "/state"),
    ({"type": "consent", "purpose": " ", "state": "granted"}, "empty", "/purpose"),
    ({"type": "consent", "purpose": "ads\0", "state": "granted"}, "invalid_character", "/purpose"),
    ({"type": "consent", "purpose": "ads", "state": "granted", "op": "eq"}, "unknown_key", "/op"),
    # accounts
    ({"type": "account", "op": "exists"}, "missing_key", "/trait"),
    ({"type": "account", "trait": "plan[]x", "op": "exists"}, "invalid_path", "/trait"),
    ({"type": "account", "trait": "plan", "op": "gt", "value": "x"}, "wrong_value_type", "/value"),
    ({"type": "account", "trait": "plan", "op": "eq", "value": 1, "account": "a"}, "unknown_key", "/account"),
    # operators
    (trait("equals", 1), "unknown_operator", "/op"),
    (trait(["eq"], 1), "not_a_text", "/op"),  # type: ignore[arg-type]
    (trait("eq"), "missing_key", "/value"),
    (trait("eq", None), "wrong_value_type", "/value"),
    (trait("eq", {}), "wrong_value_type", "/value"),
    (trait("exists", 1), "value_not_allowed", "/value"),
    (trait("is_true", True), "value_not_allowed", "/value"),
    (trait("gt", "5"), "wrong_value_type", "/value"),
    (trait("gt", True), "wrong_value_type", "/value"),
    (trait("in", "DE"), "wrong_value_type", "/value"),
    (trait("in", []), "empty", "/value"),
    (trait("in", ["a", ["b"]]), "wrong_value_type", "/value/1"),
    (trait("in", list(range(limits.MAX_LIST + 1))), "too_many_values", "/value"),
    (trait("in", [0] * 1_000_000), "too_many_values", "/value"),
    (trait("between", 5), "wrong_value_type", "/value"),
    (trait("between", [1, 2, 3]), "wrong_value_type", "/value"),
    (trait("between", [1, "2"]), "wrong_value_type", "/value/1"),
    (trait("between", [2, 1]), "empty_range", "/value"),
    (trait("contains", 5), "wrong_value_type", "/value"),
    (trait("contains", ""), "empty", "/value"),
    (trait("before", 5), "wrong_value_type", "/value"),
    (trait("before", "tomorrow"), "invalid_timestamp", "/value"),
    (trait("before", "2026-02-30"), "invalid_timestamp", "/value"),
    (trait("before", "0000-01-01"), "invalid_timestamp", "/value"),
    (trait("before", "0001-01-01"), "invalid_timestamp", "/value"),
    (trait("before", "9999-12-31"), "invalid_timestamp", "/value"),
    (trait("before", "2026-01-01\n"), "invalid_timestamp", "/value"),
    (trait("within_last", "0d"), "invalid_duration", "/value"),
    (trait("within_last", "-1d"), "invalid_duration", "/value"),
    (trait("within_last", "1.5d"), "invalid_duration", "/value"),
    (trait("within_last", "30 d"), "invalid_duration", "/value"),
    (trait("within_last", "1y"), "invalid_duration", "/value"),
    (trait("within_last", "\u0663d"), "invalid_duration", "/value"),
    (trait("within_last", "99999999999999d"), "invalid_duration", "/value"),
    (trait("within_last", "36501d"), "invalid_duration", "/value"),
    (trait("within_last", 30), "wrong_value_type", "/value"),
    (trait("anniversary_within", "36h"), "invalid_duration", "/value"),
    (trait("anniversary_within", "365d"), "invalid_duration", "/value"),
    # numbers and texts
    (trait("eq", float("nan")), "not_finite", "/value"),
    (trait("gt", float("inf")), "not_finite", "/value"),
    (trait("gt", 10**18 + 1), "number_too_large", "/value"),
    (trait("gt", 10**5000), "number_too_large", "/value"),
    (trait("gt", -1e300), "number_too_large", "/value"),
    (trait("eq", "a\0b"), "invalid_character", "/value"),
    (trait("eq", "\ud800"), "invalid_character", "/value"),
    (trait("eq", "x" * (limits.MAX_TEXT + 1)), "too_long", "/value"),
    # paths
    ({"type": "trait", "trait": "", "op": "exists"}, "empty", "/trait"),
    ({"type": "trait", "trait": 5, "op": "exists"}, "not_a_text", "/trait"),
    ({"type": "trait", "trait": "a..b", "op": "exists"}, "invalid_path", "/trait"),
    ({"type": "trait", "trait": "a[]b", "op": "exists"}, "invalid_path", "/trait"),
    ({"type": "trait", "trait": "[]", "op": "exists"}, "invalid_path", "/trait"),
    ({"type": "trait", "trait": ".".join("abcdefghi"), "op": "exists"}, "invalid_path", "/trait"),
    ({"type": "trait", "trait": "a\0", "op": "exists"}, "invalid_character", "/trait"),
    # event conditions
    ({"type": "event"}, "missing_key", "/event"),
    ({"type": "event", "event": []}, "empty", "/event"),
    ({"type": "event", "event": ["A", " "]}, "empty", "/event/1"),
    ({"type": "event", "event": ["A"] * 51}, "too_many_values", "/event"),
    ({"type": "event", "event": "x" * 201}, "too_long", "/event"),
    (event(measure="median"), "unknown_measure", "/measure"),
    (event(measure="sum", op="gt", value=1), "missing_key", "/of"),
    (event(measure="count", of="revenue", op="gt", value=1), "of_not_allowed", "/of"),
    (event(measure="last", of="products[].sku", op="eq", value=1), "of_not_allowed", "/of"),
    (event(measure="sum", of="revenue"), "missing_key", "/op"),
    (event(measure="sum", of="revenue", op="contains", value="5"), "operator_not_allowed", "/op"),
    (event(measure="last", of="plan", op="not_exists"), "operator_not_allowed", "/op"),
    (event(measure="sum", of="revenue", op="eq", value="5"), "wrong_value_type", "/value"),
    (event(measure="sum", of="revenue", op="eq", value=True), "wrong_value_type", "/value"),
    (event(value=5), "missing_key", "/op"),
    (event(op="gte"), "missing_key", "/value"),
    (event(where={}), "not_a_list", "/where"),
    (event(where=[5]), "not_an_object", "/where/0"),
    (event(where=[{"op": "exists"}]), "missing_key", "/where/0/property"),
    (event(where=[{"property": "a", "op": "gt", "value": "x"}]), "wrong_value_type", "/where/0/value"),
    (event(where=[{"property": "a", "op": "exists"}] * 21), "too_many_values", "/where"),
    # stretches and sequences
    (event(span="1"), "invalid_duration", "/span"),
    (event(span=60), "wrong_value_type", "/span"),
    (event(span="1h", measure="days", op="gte", value=2), "span_not_allowed", "/span"),
    (event(span="1h", op="lt", value=3), "operator_not_allowed", "/op"),
    ({"type": "sequence"}, "missing_key", "/steps"),
    ({"type": "sequence", "steps": []}, "too_few_steps", "/steps"),
    (sequence(), "too_few_steps", "/steps"),
    (sequence(*[STEP] * limits.MAX_STEPS), "too_many_steps", "/steps"),
    (sequence("A"), "not_an_object", "/steps/1"),
    (sequence({}), "missing_key", "/steps/1/event"),
    (sequence({"event": []}), "empty", "/steps/1/event"),
    (sequence(STEP | {"with": "1h"}), "unknown_key", "/steps/1/with"),
    (sequence(STEP | {"within": "soon"}), "invalid_duration", "/steps/1/within"),
    (sequence(STEP | {"absent": "yes"}), "wrong_value_type", "/steps/1/absent"),
    (sequence(STEP | {"same": "products[].sku"}), "invalid_path", "/steps/1/same"),
    (
        sequence(STEP | {"where": [{"property": "a", "op": "gt", "value": "x"}]}),
        "wrong_value_type",
        "/steps/1/where/0/value",
    ),
    ({"type": "sequence", "steps": [STEP | {"absent": True}, STEP]}, "not_in_the_first_step", "/steps/0/absent"),
    ({"type": "sequence", "steps": [STEP | {"within": "1h"}, STEP]}, "not_in_the_first_step", "/steps/0/within"),
    ({"type": "sequence", "steps": [STEP, STEP], "window": "1d"}, "not_an_object", "/window"),
    # windows
    (event(window="30d"), "not_an_object", "/window"),
    (event(window={}), "invalid_window", "/window"),
    (event(window={"lasts": "30d"}), "unknown_key", "/window/lasts"),
    (event(window={"last": "30"}), "invalid_duration", "/window/last"),
    (event(window={"last": "30d", "after": "2026-01-01"}), "unknown_key", "/window/after"),
    (event(window={"after": "2026-01-32"}), "invalid_timestamp", "/window/after"),
    (event(window={"after": "2026-01-02", "before": "2026-01-01"}), "invalid_window", "/window"),
    (event(window={"after": None}), "invalid_window", "/window"),
    (event(window={"calendar": "this_year"}), "unknown_period", "/window/calendar"),
    (event(window={"calendar": "today", "tz": "Mars/Olympus"}), "unknown_time_zone", "/window/tz"),
    (event(window={"calendar": "today", "tz": "../../etc/passwd"}), "unknown_time_zone", "/window/tz"),
    (event(window={"calendar": "today", "tz": "Europe"}), "unknown_time_zone", "/window/tz"),
    (event(window={"tz": "Europe/Berlin"}), "invalid_window", "/window"),
]


SHAPE = {
    "not_an_object", "not_a_list", "not_a_text", "unknown_type", "unknown_key", "unknown_operator", "unknown_measure",
    "unknown_period", "operator_not_allowed", "wrong_value_type", "value_not_allowed", "unknown_state",
    "empty_group", "too_long", "too_few_steps", "too_many_steps", "not_in_the_first_step", "span_not_allowed",
}  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize(("definition", "code", "path"), REFUSED)
    def test_names_the_code_and_the_path(self, definition: Any, code: str, path: str) -> None:
        with pytest.raises(DefinitionError) as refused:
            parse(definition)

        assert (refused.value.code, refused.value.path) == (code, path)
        assert len(refused.value.message) < 400
        refused.value.message.encode()

    @pytest.mark.parametrize(
        ("definition", "hint"),
        [
            ({"type": "evnt", "event": "A"}, "event"),
            (trait("equals_", 1) | {"op": "contain"}, "contains"),
            (event(measure="average") | {"measure": "distinkt"}, "distinct"),
            (event(wnidow={}), "window"),
            (event(window={"calendar": "this_weak"}), "this_week"),
        ],
    )
    def test_asks_whether_something_near_was_meant(self, definition: Any, hint: str) -> None:
        with pytest.raises(DefinitionError, match=f"Did you mean `{hint}`"):
            parse(definition)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
keys = st.sampled_from(
    ["type", "of", "trait", "event", "op", "value", "where", "property", "measure", "window", "last"]
)
words = st.sampled_from(
    ["all", "any", "not", "trait", "event", "eq", "in", "gt", "count", "sum", "30d", "Europe/Berlin"]
)
nearly_definitions = st.recursive(
    words | json_values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=7),
    max_leaves=30,
)


class TestRobustness:
    @given(nearly_definitions)
    def test_answers_anything_with_nodes_or_a_definition_error(self, anything: Any) -> None:
        try:
            node = parse(anything)
        except DefinitionError:
            return
        assert parse(dump(node)) == node

    @given(st.integers(min_value=0, max_value=10**9))
    def test_dump_and_parse_are_inverse(self, seed: int) -> None:
        node = parse(World(seed).definition())

        dumped = json.loads(json.dumps(dump(node)))

        assert parse(dumped) == node
        assert dump(parse(dumped)) == dumped


class TestJsonSchema:
    validator = jsonschema.Draft202012Validator(json_schema())

    def test_is_a_schema(self) -> None:
        jsonschema.Draft202012Validator.check_schema(json_schema())

    @given(st.integers(min_value=0, max_value=10**9))
    def test_accepts_what_the_parser_accepts(self, seed: int) -> None:
        definition = World(seed).definition()

        assert list(self.validator.iter_errors(definition)) == []
        assert list(self.validator.iter_errors(dump(parse(definition)))) == []

    @pytest.mark.parametrize("definition", [definition for definition, code, _ in REFUSED if code in SHAPE])
    def test_refuses_what_shape_can_tell(self, definition: Any) -> None:
        assert not self.validator.is_valid(definition)


class TestDates:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-03-01", "2024-02-29", "2000-02-29", "0004-02-29", "2026-03-01T09:30", "2026-03-01 09:30:15",
            "2026-03-01T09:30:15.123456789Z", "2026-03-01T09:30+02", "2026-03-01T09:30-0330",
            "2026-03-01T23:59:59+14:00",
        ],
    )  # fmt: skip
    def test_iso_dates_are_read(self, text: str) -> None:
        assert times.is_iso(text)
        assert times.instant(text, "Europe/Berlin").tzinfo is not None

    @pytest.mark.parametrize(
        "text",
        [
            "2026-02-29", "1900-02-29", "2026-04-31", "2026-00-01", "2026-13-01", "2026-1-1", "20260301", "2026-03",
            "2026-03-01T24:00", "2026-03-01T09:60", "2026-03-01T9:30", "2026-03-01T09:30+15:00", "2026-03-01Z",
            "2026-03-01T09:30:15.", "2026-03-01T09:30z", " 2026-03-01", "2026-03-01 ", "2026-W10-1", "", "now",
            "\u0662\u0660\u0662\u0666-03-01", "2026-03-01\n",
        ],
    )  # fmt: skip
    def test_other_texts_are_no_dates(self, text: str) -> None:
        assert not times.is_iso(text)
