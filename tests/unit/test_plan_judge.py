"""A message held against its plan: what is found, what is taken out, what is left."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.plans.compile import compile_plan
from ingestion.plans.judge import Verdict, judge, value_at
from tests.factories.plans import plan_document

GOOD = {"order_id": "o-1", "revenue": 5, "products": [{"sku": "a", "price": 1}]}


def verdict(fields: dict[str, Any], *, schema: dict[str, Any] | None = None, **actions: str) -> Verdict:
    document = plan_document(**actions) if schema is None else plan_document(schema=schema, **actions)
    return judge(compile_plan(document).events["Order Completed"], fields)


def found(fields: dict[str, Any], **options: Any) -> set[tuple[str, str, str]]:
    return {(one.kind.value, one.path, one.what) for one in verdict(fields, **options).violations}


class TestJudge:
    def test_finds_nothing_in_a_valid_message(self):
        assert verdict(copy.deepcopy(GOOD)) == Verdict()

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"gift": True}, ("unknown_property", "/gift", "not in the plan")),
            ({"revenue": "5"}, ("wrong_type", "/revenue", "is text, expected a number")),
            ({"revenue": -1}, ("wrong_value", "/revenue", "is less than 0")),
            ({"currency": "GBP"}, ("wrong_value", "/currency", "is not one of the allowed values")),
            ({"email": "anna"}, ("wrong_value", "/email", "is not a valid e-mail address")),
            ({"products": [{"sku": "a"}, {}]}, ("missing_property", "/products/1/sku", "missing")),
            ({"products": [{"sku": "a", "x/y": 1}]}, ("unknown_property", "/products/0/x~1y", "not in the plan")),
            ({"products": ["a"]}, ("wrong_type", "/products/0", "is text, expected an object")),
        ],
    )
    def test_names_the_kind_the_path_and_what_is_wrong(self, change: dict[str, Any], expected: tuple[str, str, str]):
        assert found(GOOD | change) == {expected}

    @pytest.mark.parametrize(
        ("schema", "fields", "kind", "path"),
        [
            ({"properties": {"a": False}}, {"a": 1}, "unknown_property", "/a"),
            ({"unevaluatedProperties": False}, {"a": 1}, "unknown_property", "/a"),
            ({"propertyNames": {"pattern": "^b"}}, {"a": 1}, "unknown_property", "/a"),
            ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "missing_property", "/b"),
            ({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, {"a": 1}, "wrong_type", "/a"),
            ({"properties": {"a": {"oneOf": [{"const": 2}, {"const": 3}]}}}, {"a": 1}, "wrong_value", "/a"),
            ({"not": {"required": ["a"]}}, {"a": 1}, "wrong_value", ""),
        ],
    )
    def test_understands_the_rest_of_json_schema(self, schema: Any, fields: dict[str, Any], kind: str, path: str):
        assert {(one[0], one[1]) for one in found(fields, schema=schema)} == {(kind, path)}

    def test_counts_the_items_of_a_list_as_one_place(self):
        (violation,) = verdict(GOOD | {"products": [{"sku": 1}, {"sku": 2}]}).violations

        assert (violation.path, violation.where) == ("/products/0/sku", "/products/*/sku")

    def test_says_nothing_of_what_is_allowed(self):
        assert verdict(GOOD | {"gift": True}, unknown_property="allow") == Verdict()

    def test_blocks_by_the_first_violation_that_is_to_be_blocked(self):
        result = verdict(GOOD | {"gift": True, "revenue": "5"}, wrong_type="block")

        assert result.blocked is not None
        assert (result.blocked.kind.value, len(result.violations)) == ("wrong_type", 2)

    def test_strips_the_property_and_nothing_else(self):
        fields = GOOD | {"gift": True, "products": [{"sku": "a", "x": 1, "y": 2}, {"sku": "b", "x": 3}]}

        verdict(fields, unknown_property="strip")

        assert fields == GOOD | {"products": [{"sku": "a"}, {"sku": "b"}]}

    def test_strips_items_of_a_list_without_mistaking_one_for_another(self):
        fields = GOOD | {"products": ["a", {"sku": "1"}, "b", {"sku": "2"}, "c"]}

        verdict(fields, wrong_type="strip")

        assert fields["products"] == [{"sku": "1"}, {"sku": "2"}]

    def test_asks_again_after_stripping(self):
        result = verdict({"order_id": 7}, wrong_type="strip", missing_property="block")

        assert result.blocked is not None
        assert result.blocked.kind.value == "missing_property"

    def test_flags_what_cannot_be_stripped(self):
        (violation,) = verdict({"a": 1}, schema={"maxProperties": 0}, wrong_value="strip").violations

        assert violation.action.value == "flag"


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from(["EUR", "x", "a@b.org"])
PRODUCT = st.dictionaries(st.sampled_from(["sku", "price", "x"]), SCALARS, max_size=3) | SCALARS
FIELDS = st.dictionaries(
    st.sampled_from(["order_id", "revenue", "currency", "email", "gift", "x"]), SCALARS, max_size=6
).flatmap(
    lambda fields: st.builds(
        lambda products: fields | ({"products": products} if products is not None else {}),
        st.none() | st.lists(PRODUCT, max_size=4) | SCALARS,
    )
)
ACTIONS = st.fixed_dictionaries(
    {
        "unknown_property": st.sampled_from(["strip", "flag", "allow"]),
        "missing_property": st.sampled_from(["flag", "allow"]),
        "wrong_type": st.sampled_from(["strip", "flag", "allow"]),
        "wrong_value": st.sampled_from(["strip", "flag", "allow"]),
    }
)


class TestStripping:
    @settings(max_examples=300, deadline=None)
    @given(fields=FIELDS, actions=ACTIONS)
    def test_leaves_what_is_valid_and_comes_to_an_end(self, fields: dict[str, Any], actions: dict[str, str]):
        part = compile_plan(plan_document(**actions)).events["Order Completed"]
        before = copy.deepcopy(fields)
        bad = {one.path.split("/")[1] for one in verdict(copy.deepcopy(before)).violations if one.path}

        first = judge(part, fields)
        once = copy.deepcopy(fields)
        again = judge(part, fields)

        assert {name: value for name, value in once.items() if name not in bad} == {
            name: value for name, value in before.items() if name not in bad
        }
        assert (again.stripped, fields) == ([], once)
        assert all(one.action.value != "strip" for one in again.violations)
        for steps in first.stripped:
            value_at(before, steps)

    @settings(max_examples=200, deadline=None)
    @given(fields=FIELDS)
    def test_leaves_a_message_that_is_valid_or_flagged(self, fields: dict[str, Any]):
        strip = dict.fromkeys(("unknown_property", "wrong_type", "wrong_value"), "strip")
        part = compile_plan(plan_document(**strip)).events["Order Completed"]

        result = judge(part, fields)

        assert part.is_valid(fields) or any(one.action.value == "flag" for one in result.violations)
