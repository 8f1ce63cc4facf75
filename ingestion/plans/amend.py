"""A plan changed by a click: events added from traffic, and what violated it allowed."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ingestion.messages import FIXED_NAMES
from ingestion.plans.contracts import Kind
from ingestion.plans.errors import PlanError
from ingestion.plans.infer import infer_schema

_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}


def add_missing(document: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """`document`, with the events and traits of `found` that it says nothing about."""
    grown = dict(copy.deepcopy(dict(document)))
    events = grown.setdefault("events", {})
    for name, part in found["events"].items():
        events.setdefault(name, part)
    for key in ("traits", "group_traits"):
        if key in found:
            grown.setdefault(key, found[key])
    return grown


def allow(document: Mapping[str, Any], *, event: str, kind: str, path: str, seen: Sequence[Any]) -> dict[str, Any]:
    """`document`, changed so that violations of this kind at this place are none; `seen` is what stood there.

    Raises:
        PlanError: no single change would do, or it is not plain which.
    """
    grown = copy.deepcopy(dict(document))
    if kind == Kind.UNKNOWN_EVENT:
        schema = infer_schema(value for value in seen if isinstance(value, dict))
        grown.setdefault("events", {})[event] = {"schema": _open({"type": "object"} | schema)}
        return grown
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    schema = _part(grown, event).setdefault("schema", {})
    if kind == Kind.UNKNOWN_PROPERTY:
        parent = _schema_at(schema, steps[:-1])
        parent.setdefault("properties", {})[steps[-1]] = _without_notes(infer_schema(seen))
    elif kind == Kind.MISSING_PROPERTY:
        _make_optional(_schema_at(schema, steps[:-1]), steps[-1])
    elif kind == Kind.WRONG_TYPE:
        _widen_type(_schema_at(schema, steps), seen)
    else:
        _widen_values(_schema_at(schema, steps), seen)
    return grown


def _part(document: dict[str, Any], event: str) -> dict[str, Any]:
    for key, kind in (("traits", "identify"), ("group_traits", "group")):
        if event == FIXED_NAMES.get(kind) and key in document:
            found: dict[str, Any] = document[key]
            return found
    if event not in document.get("events", {}):
        raise _by_hand("The plan does not name this event any more.")
    named: dict[str, Any] = document["events"][event]
    return named


def _schema_at(schema: Any, steps: Iterable[str]) -> dict[str, Any]:
    for step in steps:
        if not isinstance(schema, dict):
            raise _by_hand("This part of the schema is not a plain one.")
        within = schema.get("properties", {})
        schema = schema.get("items") if step == "*" and step not in within else within.get(step)
    if not isinstance(schema, dict):
        raise _by_hand("This part of the schema is not a plain one.")
    return schema


def _make_optional(schema: dict[str, Any], name: str) -> None:
    needed = schema.get("required", [])
    if name not in needed:
        raise _by_hand("What makes this property required is not a plain list.")
    schema["required"] = [one for one in needed if one != name]
    if not schema["required"]:
        del schema["required"]


def _widen_type(schema: dict[str, Any], seen: Sequence[Any]) -> None:
    stated = schema.get("type")
    known = [stated] if isinstance(stated, str) else list(stated or [])
    kinds = [_TYPES.get(type(value), "null") for value in seen]
    if not known or not kinds:
        raise _by_hand("No message shows any more which type to allow.")
    wider = [*known, *(kind for kind in dict.fromkeys(kinds) if kind not in known)]
    if "number" in wider and "integer" in wider:
        wider.remove("integer")
    schema["type"] = wider[0] if len(wider) == 1 else wider


def _widen_values(schema: dict[str, Any], seen: Sequence[Any]) -> None:
    plain = [value for value in seen if not isinstance(value, list | dict)]
    numbers = [value for value in plain if isinstance(value, int | float) and not isinstance(value, bool)]
    changed = False
    if isinstance(schema.get("enum"), list) and plain:
        schema["enum"] += [value for value in dict.fromkeys(plain) if value not in schema["enum"]]
        changed = True
    for key, outermost in (("minimum", min), ("maximum", max)):
        if key in schema and numbers:
            schema[key] = outermost(schema[key], *numbers)
            changed = True
    if not changed:
        raise _by_hand("A format or a pattern is changed by hand: open the property in the plan.")


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """A few messages show what is there, and not what may never be there."""
    kept = {key: value for key, value in schema.items() if key not in ("additionalProperties", "required")}
    return kept | {"properties": {name: _without_notes(one) for name, one in kept.get("properties", {}).items()}}


def _without_notes(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "x-seen"}


def _by_hand(why: str) -> PlanError:
    return PlanError(why, code="not_by_a_click")
