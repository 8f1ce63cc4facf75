"""What a tracking plan may hold, and what is refused with which code and path."""

import time
from typing import Any

import pytest

from ingestion.plans.compile import compile_plan
from ingestion.plans.errors import PlanError
from tests.factories.plans import plan_document


def with_schema(schema: Any) -> dict[str, Any]:
    return {"events": {"A": {"schema": schema}}}


def refused(document: Any) -> tuple[str, str]:
    with pytest.raises(PlanError) as caught:
        compile_plan(document)
    return caught.value.code, caught.value.path


def chain(length: int) -> dict[str, Any]:
    """Each definition asks for the next one twice: 2 to the power of `length` checks, in a few lines."""
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(length)}
    return {"$defs": doubling | {f"d{length}": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/d0"}}}


def nested(depth: int) -> dict[str, Any]:
    return {"properties": {"a": nested(depth - 1)}} if depth else {}


class TestDocument:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ([], ("object_expected", "")),
            ({"evnts": {}}, ("key_unknown", "/evnts")),
            ({"events": {"A": {"schemas": {}}}}, ("key_unknown", "/events/A/schemas")),
            ({"events": {"A/B": []}}, ("object_expected", "/events/A~1B")),
            ({"events": {" A": {}}}, ("event_name_invalid", "/events/ A")),
            ({"actions": {"wrong": "flag"}}, ("kind_unknown", "/actions/wrong")),
            ({"actions": {"wrong_type": "drop"}}, ("action_unknown", "/actions/wrong_type")),
            ({"actions": {"missing_property": "strip"}}, ("action_not_possible", "/actions/missing_property")),
            (
                {"events": {"A": {"actions": {"unknown_event": "block"}}}},
                ("action_not_possible", "/events/A/actions/unknown_event"),
            ),
            ({"events": {f"E{n}": {} for n in range(1_001)}}, ("plan_too_large", "/events")),
            ({"traits": {"description": 5}}, ("text_expected", "/traits/description")),
            ({"events": {"A": {"description": "\ud800"}}}, ("plan_not_storable", "")),
        ],
    )
    def test_is_refused_with_code_and_path(self, document: Any, expected: tuple[str, str]):
        assert refused(document) == expected

    def test_may_be_empty(self):
        assert compile_plan({}).events == {}


class TestSchema:
    @pytest.mark.parametrize(
        ("schema", "code", "path"),
        [
            ({"type": "string"}, "schema_not_object", "/type"),
            ({"properties": {"a": {"type": "txt"}}}, "schema_invalid", "/properties/a/type"),
            ({"properties": {"a": {"minimum": "1"}}}, "schema_invalid", "/properties/a/minimum"),
            ({"properties": {"a": {"format": "colour"}}}, "format_unknown", "/properties/a/format"),
            ({"properties": {"a": {"pattern": "(?=x)"}}}, "pattern_invalid", "/properties/a/pattern"),
            ({"properties": {"a": {"pattern": r"(a)\1"}}}, "pattern_invalid", "/properties/a/pattern"),
            ({"properties": {"a": {"pattern": "((a{999}){999}){9}"}}}, "pattern_invalid", "/properties/a/pattern"),
            ({"properties": {"a": {"pattern": "a" * 501}}}, "pattern_too_long", "/properties/a/pattern"),
            ({"patternProperties": {"a" * 501: {}}}, "pattern_too_long", f"/patternProperties/{'a' * 501}"),
            ({"properties": {"a": {"$ref": "https://x.y/z"}}}, "ref_not_local", "/properties/a/$ref"),
            ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "ref_not_local", "/properties/a/$ref"),
            ({"$id": "https://x.y/", "properties": {"a": {"$ref": "z"}}}, "ref_not_local", "/properties/a/$ref"),
            ({"properties": {"a": {"$id": "https://x.y/"}}}, "schema_keyword_unsupported", "/properties/a/$id"),
            ({"$schema": "https://x.y/z"}, "schema_dialect_unknown", "/$schema"),
            ({"$ref": "#"}, "schema_recursive", "/$ref"),
            ({"properties": {"a": {"items": {"$ref": "#"}}}}, "schema_recursive", "/properties/a/items/$ref"),
            (nested(40), "schema_too_deep", "/properties/a" * 33),
            (chain(20), "schema_too_large", ""),
            ({"properties": {"a": {"enum": ["x" * 1_000] * 140}}}, "schema_too_large", ""),
        ],
    )
    def test_is_refused_with_code_and_path(self, schema: Any, code: str, path: str):
        assert refused(with_schema(schema)) == (code, f"/events/A/schema{path}")

    def test_tells_a_reference_that_leads_nowhere(self):
        assert refused(with_schema({"properties": {"a": {"$ref": "#/$defs/b"}}}))[0] == "ref_unresolved"

    def test_may_have_properties_that_are_called_like_keywords(self):
        names = {"$ref": {"type": "string"}, "format": {"type": "string"}, "pattern": {}, "$id": {"enum": ["$ref"]}}

        assert compile_plan(with_schema({"properties": names})).events["A"].is_valid({"$ref": "x", "format": "y"})

    def test_may_refer_to_its_own_definitions(self):
        schema = {"$defs": {"m": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/m"}}}

        assert not compile_plan(with_schema(schema)).events["A"].is_valid({"a": "x"})

    @pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(a?){100}a{100}$"])
    def test_has_patterns_that_stay_quick_on_any_text(self, pattern: str):
        check = compile_plan(with_schema({"properties": {"a": {"pattern": pattern}}})).events["A"].is_valid

        started = time.process_time()
        check({"a": "a" * 30_000 + "!"})

        assert time.process_time() - started < 0.5


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "good", "bad"),
        [
            ("email", ["anna@example.org"], ["anna", "anna@", "Anna <anna@example.org>", "anna@localhost"]),
            (
                "phone",
                ["+431234567", "+12025550123"],
                ["0431234567", "+0123456789", "+43 1 2345", "+4312345678901234"],
            ),
            ("date", ["2026-02-28"], ["2026-02-30", "28.2.2026"]),
            (
                "date-time",
                ["2026-02-28T12:00:00Z", "2026-02-28T12:00:00.5+02:00"],
                ["2026-02-28", "2026-02-28T25:00:00Z"],
            ),
            ("uri", ["https://example.org/a?b"], ["example.org", "/a"]),
            ("uuid", ["6f1ed002-ab5a-4a5a-8c1a-000000000000"], ["6f1ed002"]),
        ],
    )
    def test_are_checked(self, name: str, good: list[str], bad: list[str]):
        check = compile_plan(with_schema({"properties": {"a": {"format": name}}})).events["A"].is_valid

        assert [text for text in good if not check({"a": text})] == []
        assert [text for text in bad if check({"a": text})] == []


class TestCompiledPlan:
    def test_knows_the_action_of_each_kind_of_each_event(self):
        document = plan_document(wrong_type="block")
        document["events"]["Order Completed"]["actions"] = {"wrong_type": "strip"}

        plan = compile_plan(document)

        assert (plan.actions["wrong_type"], plan.events["Order Completed"].actions["wrong_type"]) == ("block", "strip")
        assert plan.events["Order Completed"].actions["wrong_value"] == "flag"
