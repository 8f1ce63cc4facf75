"""Steps that mend a message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.quarantine.errors import FixError
from ingestion.quarantine.fix import CONVERSIONS, Steps, apply, read_steps, stored_form
from ingestion.quarantine.keep import place_of


def mended(message: Any, *steps: dict[str, Any]) -> Any:
    return json.loads(apply(json.dumps(message).encode(), read_steps(list(steps))))


ORDER = {
    "event": "Order Completed",
    "properties": {"amount": "12,50", "products": [{"price": "1"}, {"price": 2}, {"sku": "x"}]},
}


class TestRename:
    def test_gives_a_field_another_name_in_its_place(self):
        after = mended(ORDER, {"op": "rename", "path": "/properties/amount", "to": "revenue"})

        assert list(after["properties"]) == ["revenue", "products"]
        assert after["properties"]["revenue"] == "12,50"

    def test_moves_it_where_a_pointer_says(self):
        after = mended({"user": {"id": "u-1"}}, {"op": "rename", "path": "/user/id", "to": "/userId"})

        assert after == {"user": {}, "userId": "u-1"}

    def test_reaches_every_element_of_a_list(self):
        after = mended(ORDER, {"op": "rename", "path": "/properties/products/*/price", "to": "cost"})

        assert after["properties"]["products"] == [{"cost": "1"}, {"cost": 2}, {"sku": "x"}]


class TestSet:
    @pytest.mark.parametrize("value", ["EUR", 5, None, True, {"a": [1]}])
    def test_puts_a_value_there_whatever_was(self, value: Any):
        assert mended({"a": {"b": 1}}, {"op": "set", "path": "/a/b", "value": value}) == {"a": {"b": value}}

    def test_makes_the_objects_on_the_way(self):
        assert mended({}, {"op": "set", "path": "/a/b/c", "value": 1}) == {"a": {"b": {"c": 1}}}


class TestRemove:
    def test_takes_a_field_away_and_nothing_where_there_is_none(self):
        assert mended({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"op": "remove", "path": "/c"}) == {"b": 2}


class TestConvert:
    @pytest.mark.parametrize(
        ("to", "value", "expected"),
        [
            ("number", "12.5", 12.5),
            ("number", "12,50", 12.5),
            ("number", "1.234,50 €", 1234.5),
            ("number", "$1,234.50", 1234.5),
            ("number", "1,234", 1234),
            ("number", "-3", -3),
            ("number", "free", "free"),
            ("number", True, 1),
            ("integer", "12.0", 12),
            ("integer", 12.5, 12.5),
            ("text", 12, "12"),
            ("text", "12", "12"),
            ("text", None, None),
            ("boolean", "Yes", True),
            ("boolean", 0, False),
            ("boolean", "perhaps", "perhaps"),
            ("list", "a", ["a"]),
            ("list", ["a"], ["a"]),
            ("object", '{"a": 1}', {"a": 1}),
            ("object", "5", "5"),
        ],
    )
    def test_reads_what_can_be_read_and_leaves_the_rest(self, to: str, value: Any, expected: Any):
        after = mended({"v": value}, {"op": "convert", "path": "/v", "to": to})

        assert after == {"v": expected}
        assert type(after["v"]) is type(expected)


class TestNameEvent:
    def test_replaces_the_name(self):
        assert mended({"event": "order"}, {"op": "event", "to": "Order Completed"}) == {"event": "Order Completed"}


class TestReadSteps:
    @pytest.mark.parametrize(
        ("steps", "path"),
        [
            ([{"op": "drop", "path": "/a"}], "/0/op"),
            ([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "a"}], "/1/path"),
            ([{"op": "convert", "path": "/a", "to": "money"}], "/0/to"),
            ([{"op": "rename", "path": "/a", "to": ""}], "/0/to"),
            ([{"op": "rename", "path": "/a/*", "to": "/b"}], "/0/to"),
            ([{"op": "event", "to": " "}], "/0/to"),
            ([{"op": "remove", "path": "/a"}] * 21, "/20"),
        ],
    )
    def test_says_which_step_makes_no_sense(self, steps: list[Any], path: str):
        with pytest.raises(FixError) as refused:
            read_steps(steps)

        assert refused.value.path == path


class TestPlace:
    def test_has_a_star_for_every_number(self):
        assert place_of("/properties/products/3/price") == "/properties/products/*/price"
        assert place_of("/properties/v2/3") == "/properties/v2/*"


NAMES = st.sampled_from(["a", "b", "event", "0", "~1", "ü"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(NAMES | st.just("*") | st.just("1"), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
STEPS = st.lists(
    st.one_of(
        st.builds(lambda path, to: {"op": "rename", "path": path, "to": to}, POINTERS, NAMES),
        st.builds(lambda path, value: {"op": "set", "path": path, "value": value}, POINTERS, VALUES),
        st.builds(lambda path: {"op": "remove", "path": path}, POINTERS),
        st.builds(
            lambda path, to: {"op": "convert", "path": path, "to": to}, POINTERS, st.sampled_from(sorted(CONVERSIONS))
        ),
        st.builds(lambda to: {"op": "event", "to": to}, st.sampled_from(["A", "B"])),
    ),
    max_size=4,
).map(read_steps)


class TestApply:
    @given(message=VALUES, steps=STEPS)
    def test_is_pure_and_gives_json(self, message: Any, steps: Steps):
        payload = json.dumps(message).encode()

        once, again = apply(payload, steps), apply(payload, read_steps(stored_form(steps)))

        assert once == again
        json.loads(once)

    @given(message=VALUES)
    def test_of_nothing_is_the_same_bytes(self, message: Any):
        payload = json.dumps(message, indent=3).encode()

        assert apply(payload, ()) == payload
        assert apply(payload, read_steps([{"op": "remove", "path": "/nowhere/at/all"}])) == payload

    @given(payload=st.binary(max_size=30), steps=STEPS)
    def test_never_fails(self, payload: bytes, steps: Steps):
        apply(payload, steps)
