"""The language as a JSON Schema (draft 2020-12), for editors and other programs.

It says what can be said by shape. The parser is stricter where shape is not enough (that a time zone exists,
that a range is not empty, how deep groups nest), and its errors name the reason.
"""

from typing import Any

from consent.policy import Standing
from segments.ast import limits, times
from segments.ast.nodes import NUMERIC_MEASURES, Measure, Op, Period
from segments.ast.parse import FIRST_LAST_OPS, NUMBER_OPS, SPAN_MEASURES, SPAN_OPS

SCALAR_OPS = (Op.EQ, Op.NEQ)
LIST_OPS = (Op.IN, Op.NOT_IN)
NUMBER_TEST_OPS = (Op.GT, Op.GTE, Op.LT, Op.LTE)
TEXT_OPS = (Op.CONTAINS, Op.NOT_CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH)
BARE_OPS = (Op.EXISTS, Op.NOT_EXISTS, Op.IS_TRUE, Op.IS_FALSE)
DATE_OPS = (Op.BEFORE, Op.AFTER)
DURATION_OPS = (Op.WITHIN_LAST, Op.WITHIN_NEXT, Op.ANNIVERSARY_WITHIN)

Schema = dict[str, Any]

_NODES = ("group", "not", "trait", "account", "event", "sequence", "segment", "consent")


def json_schema() -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Segment definition",
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {"oneOf": [_ref(name) for name in _NODES]},
            "group": _object(
                {
                    "type": {"enum": ["all", "any"]},
                    "of": {"type": "array", "minItems": 1, "maxItems": limits.MAX_NODES, "items": _ref("node")},
                },
                required=["type", "of"],
            ),
            "not": _object({"type": {"const": "not"}, "of": _ref("node")}, required=["type", "of"]),
            "trait": _trait("trait"),
            "account": _trait("account"),
            "event": _event(),
            "sequence": _sequence(),
            "step": _step(),
            "segment": _object({"type": {"const": "segment"}, "segment": _ref("name")}, required=["type", "segment"]),
            "given": _object({"type": {"const": "given"}, "segment": _ref("name")}, required=["type", "segment"])
            | {"description": "What defines a manual segment: whoever was put into it. Others name it as `segment`."},
            "consent": _object(
                {
                    "type": {"const": "consent"},
                    "purpose": _ref("name"),
                    "state": {"enum": [state.value for state in Standing]},
                },
                required=["type", "purpose", "state"],
            ),
            "where": _object({"property": _ref("path"), "op": _ops(Op), "value": True}, required=["property", "op"])
            | _ref("test"),
            "test": {"allOf": [_when_op(*each) for each in _VALUES]},
            "window": {"oneOf": [_last(), _between(), _calendar()]},
            "name": {"type": "string", "minLength": 1, "maxLength": limits.MAX_NAME},
            "path": {
                "type": "string",
                "maxLength": limits.MAX_NAME,
                "pattern": r"^[^.\[\]]+(\[\])?(\.[^.\[\]]+(\[\])?)*$",
                "examples": ["country", "address.city", "products[].category"],
            },
            "scalar": {"oneOf": [_ref("text"), _ref("number"), {"type": "boolean"}]},
            "text": {"type": "string", "maxLength": limits.MAX_TEXT},
            "number": {"type": "number", "minimum": -limits.MAX_NUMBER, "maximum": limits.MAX_NUMBER},
            "duration": {"type": "string", "pattern": "^[0-9]{1,9}[smhdw]$", "examples": ["45s", "24h", "30d"]},
            "moment": {"type": "string", "pattern": times.ISO, "examples": ["2026-03-01", "2026-03-01T09:30:00Z"]},
        },
    }


def _trait(kind: str) -> Schema:
    """A trait of the person's own, or of their accounts."""
    properties = {"type": {"const": kind}, "trait": _ref("path"), "op": _ops(Op), "value": True}
    return _object(properties, required=["type", "trait", "op"]) | _ref("test")


def _event() -> Schema:
    properties = {
        "type": {"const": "event"},
        **_STREAM,
        "measure": {"enum": [measure.value for measure in Measure], "default": "count"},
        "of": {"oneOf": [_ref("path"), {"type": "null"}]},
        "op": _ops(Op),
        "value": True,
        "window": _or_null(_ref("window")),
        "span": _or_null(_ref("duration")),
    }
    numeric = sorted(measure.value for measure in NUMERIC_MEASURES)
    first_or_last = {"properties": {"op": _ops(FIRST_LAST_OPS)}, **_ref("test")}
    number_or_range = {"oneOf": [_ref("number"), {"type": "array"}]}
    number = {"properties": {"op": _ops(NUMBER_OPS), "value": number_or_range}, **_ref("test")}
    spanned = {"properties": {"measure": {"enum": sorted(SPAN_MEASURES)}, "op": _ops(SPAN_OPS)}}
    return _object(properties, required=["type", "event"]) | {
        "if": {"properties": {"measure": {"enum": numeric}}},
        "then": number,
        "else": first_or_last,
        "allOf": [{"if": {"properties": {"span": {"type": "string"}}, "required": ["span"]}, "then": spanned}],
    }


def _sequence() -> Schema:
    steps = {"type": "array", "minItems": 2, "maxItems": limits.MAX_STEPS, "items": _ref("step")}
    first = {"properties": {"within": {"type": "null"}, "absent": {"const": False}, "same": {"type": "null"}}}
    properties = {
        "type": {"const": "sequence"},
        "steps": steps | {"prefixItems": [_ref("step") | first]},
        "window": _or_null(_ref("window")),
    }
    return _object(properties, required=["type", "steps"])


def _step() -> Schema:
    properties = {
        **_STREAM,
        "within": _or_null(_ref("duration")),
        "absent": {"type": "boolean", "default": False},
        "same": _or_null(_ref("path")),
    }
    return _object(properties, required=["event"])


_VALUES: tuple[tuple[tuple[Op, ...], Schema | None], ...] = (
    (SCALAR_OPS, {"$ref": "#/$defs/scalar"}),
    (LIST_OPS, {"type": "array", "minItems": 1, "maxItems": limits.MAX_LIST, "items": {"$ref": "#/$defs/scalar"}}),
    (NUMBER_TEST_OPS, {"$ref": "#/$defs/number"}),
    ((Op.BETWEEN,), {"type": "array", "minItems": 2, "maxItems": 2, "items": {"$ref": "#/$defs/number"}}),
    (TEXT_OPS, {"$ref": "#/$defs/text", "minLength": 1}),
    (BARE_OPS, None),
    (DATE_OPS, {"$ref": "#/$defs/moment"}),
    (DURATION_OPS, {"$ref": "#/$defs/duration"}),
)


def _when_op(ops: tuple[Op, ...], value: Schema | None) -> Schema:
    """Each family of operators compares with its own kind of value."""
    named = {"properties": {"op": _ops(ops)}, "required": ["op"]}
    if value is None:
        return {"if": named, "then": {"properties": {"value": {"type": "null"}}}}
    return {"if": named, "then": {"properties": {"value": value}, "required": ["value"]}}


def _last() -> Schema:
    return _object({"last": _ref("duration")}, required=["last"])


def _between() -> Schema:
    moment = {"oneOf": [_ref("moment"), {"type": "null"}]}
    return _object({"after": moment, "before": moment}) | {"minProperties": 1}


def _calendar() -> Schema:
    zone = {"type": ["string", "null"], "maxLength": limits.MAX_NAME, "examples": ["Europe/Berlin"]}
    return _object({"calendar": {"enum": [p.value for p in Period]}, "tz": zone}, required=["calendar"])


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def _object(properties: Schema, *, required: list[str] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required or [],
        "additionalProperties": False,
    }


def _ops(ops: Any) -> Schema:
    return {"enum": sorted(op.value for op in ops)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


# Which events are meant.
_STREAM: Schema = {
    "event": {
        "oneOf": [
            _ref("name"),
            {"type": "array", "minItems": 1, "maxItems": limits.MAX_EVENT_NAMES, "items": _ref("name")},
        ]
    },
    "where": {"type": "array", "maxItems": limits.MAX_WHERE, "items": _ref("where")},
}
