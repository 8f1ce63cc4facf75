"""Schemas made from traffic, plans changed by a click, and what changed between two of them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.plans.amend import add_missing, allow
from ingestion.plans.compile import compile_plan
from ingestion.plans.difference import differences
from ingestion.plans.errors import PlanError
from ingestion.plans.infer import MAX_NAMES, infer_schema
from tests.factories.plans import ORDER, plan_document


def seen(*values: Any, times: int = 60) -> dict[str, Any]:
    """The schema of property `a` that had these values in turn."""
    return infer_schema([{"a": value} for value in values] * times)["properties"]["a"]


class TestInferSchema:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([1, 2], {"type": "integer", "x-seen": {"min": 1, "max": 2}}),
            ([1, 2.5], {"type": "number", "x-seen": {"min": 1, "max": 2.5}}),
            ([True], {"type": "boolean"}),
            ([None, True], {"type": ["boolean", "null"]}),
            (["S", "M", "L"], {"type": "string", "enum": ["L", "M", "S"]}),
            ([f"text {n}" for n in range(30)], {"type": "string"}),
            (["a@b.org", "c@d.org"], {"type": "string", "format": "email"}),
            (["+431234567"], {"type": "string", "format": "phone"}),
            (["2026-01-31"], {"type": "string", "format": "date"}),
            (["2026-01-31T10:00:00Z"], {"type": "string", "format": "date-time"}),
            (["https://a.b/c"], {"type": "string", "format": "uri"}),
            (["x", 5], {"type": ["integer", "string"], "x-seen": {"min": 5, "max": 5}}),
            ([["x"], []], {"type": "array", "items": {"type": "string", "enum": ["x"]}}),
        ],
    )
    def test_recognises(self, values: list[Any], expected: dict[str, Any]):
        assert seen(*values) == expected

    def test_calls_a_number_whole_only_after_many_of_them(self):
        assert seen(5, times=49)["type"] == "number"
        assert seen(5, times=50)["type"] == "integer"

    def test_offers_no_choice_after_a_few_messages(self):
        assert "enum" not in seen("S", "M", times=5)

    def test_requires_what_nearly_all_messages_bring(self):
        messages = [{"a": 1, "b": 1}] * 995 + [{"a": 1}] * 5

        assert infer_schema(messages)["required"] == ["a", "b"]
        assert infer_schema([*messages, {"a": 1}])["required"] == ["a"]
        assert infer_schema(messages, required_share=1)["required"] == ["a"]

    def test_looks_into_lists_of_objects(self):
        found = infer_schema([{"products": [{"sku": "a", "n": 1}, {"sku": "b"}]}])

        items = found["properties"]["products"]["items"]
        assert (set(items["properties"]), items["required"], items["additionalProperties"]) == (
            {"sku", "n"},
            ["sku"],
            False,
        )

    def test_leaves_objects_open_whose_names_are_data(self):
        found = infer_schema([{"stock": {f"item-{n}": n for n in range(MAX_NAMES + 1)}}])

        assert found["properties"]["stock"] == {"type": "object"}

    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from("abc"),
                st.recursive(
                    st.none()
                    | st.booleans()
                    | st.integers(-9, 9)
                    | st.floats(-9, 9)
                    | st.sampled_from(["x", "a@b.org"]),
                    lambda inner: (
                        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2)
                    ),
                    max_leaves=5,
                ),
            ),
            min_size=1,
            max_size=8,
        )
    )
    def test_fits_everything_it_was_made_from(self, messages: list[dict[str, Any]]):
        schema = infer_schema(messages, required_share=1)

        part = compile_plan({"events": {"A": {"schema": schema}}}).events["A"]
        assert [message for message in messages if not part.is_valid(message)] == []


class TestAddMissing:
    def test_keeps_what_the_plan_says(self):
        grown = add_missing({"events": {"A": {"schema": {"required": ["x"]}}}}, {"events": {"A": {}, "B": {}}})

        assert grown["events"] == {"A": {"schema": {"required": ["x"]}}, "B": {}}


class TestAllow:
    def allowed(self, kind: str, path: str, *values: Any, event: str = "Order Completed") -> dict[str, Any]:
        document = allow(plan_document(), event=event, kind=kind, path=path, seen=list(values))
        compile_plan(document)
        schema: dict[str, Any] = document["events"][event]["schema"]
        return schema

    def test_adds_the_property_with_the_type_that_was_seen(self):
        assert self.allowed("unknown_property", "/gift", True)["properties"]["gift"] == {"type": "boolean"}

    def test_adds_a_property_of_the_items_of_a_list(self):
        schema = self.allowed("unknown_property", "/products/*/colour", "red")

        assert schema["properties"]["products"]["items"]["properties"]["colour"] == {"type": "string"}

    def test_adds_the_event_with_the_properties_seen_and_room_for_more(self):
        schema = self.allowed("unknown_event", "", {"a": 1}, event="New")

        assert schema == {"type": "object", "properties": {"a": {"type": "number"}}}

    def test_makes_a_property_optional(self):
        assert "required" not in self.allowed("missing_property", "/order_id")

    def test_adds_the_type(self):
        assert self.allowed("wrong_type", "/revenue", "5")["properties"]["revenue"]["type"] == ["number", "string"]

    def test_adds_the_value_and_widens_the_range(self):
        assert self.allowed("wrong_value", "/currency", "GBP")["properties"]["currency"]["enum"][-1] == "GBP"
        assert self.allowed("wrong_value", "/revenue", -3)["properties"]["revenue"]["minimum"] == -3

    @pytest.mark.parametrize(
        ("kind", "path", "values"),
        [("wrong_value", "/email", ["anna"]), ("wrong_type", "/revenue", []), ("unknown_property", "/none/x", [1])],
    )
    def test_leaves_to_people_what_is_not_plain(self, kind: str, path: str, values: list[Any]):
        with pytest.raises(PlanError) as caught:
            self.allowed(kind, path, *values)

        assert caught.value.code == "not_by_a_click"


class TestDifferences:
    def lines(self, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
        return [f"{one.sign} {one.place}: {one.text}" for one in differences(old, new)]

    def test_are_none_between_equals(self):
        assert self.lines(plan_document(), plan_document()) == []

    def test_read_like_sentences(self):
        new = plan_document(wrong_type="block")
        properties = ORDER["properties"] | {"revenue": {"type": "number"}, "gift": {"type": "boolean"}}
        del properties["email"]
        new["events"]["Order Completed"]["schema"] = ORDER | {"properties": properties, "required": ["gift"]}
        new["events"]["Refunded"] = {"schema": {"properties": {"a": {}}}}

        assert self.lines(plan_document(), new) == [
            "~ All events: wrong type: flag → block",
            "~ Order Completed · revenue: minimum: 0 → none",
            "− Order Completed · email: removed",
            "+ Order Completed · gift: added, boolean, required",
            "~ Order Completed · order_id: no longer required",
            "+ Refunded: added, 1 property",
        ]

    def test_look_into_lists(self):
        items = {"type": "object", "properties": {"sku": {"type": "integer"}}}
        old = {"events": {"A": {"schema": {"properties": {"products": ORDER["properties"]["products"]}}}}}
        new = {"events": {"A": {"schema": {"properties": {"products": {"type": "array", "items": items}}}}}}

        assert "~ A · products[].sku: type: string → integer" in self.lines(old, new)
