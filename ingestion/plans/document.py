"""The document of a plan: what it may hold, and how much.

    {"actions": {KIND: ACTION…},
     "events": {NAME: {"description"?, "schema": JSON Schema of the properties, "actions"?: {KIND: ACTION…}}…},
     "traits": {"schema": JSON Schema of the traits of identify, "actions"?}, "group_traits": the same for groups}

A schema must stay cheap on any message: no remote or recursive reference, a bound on its size once references are
followed, and patterns for an engine that is linear in the text (no look-around, no back-reference).
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ingestion.plans.contracts import NOT_STRIPPABLE, Action, Kind
from ingestion.plans.errors import PlanError

MAX_BYTES = 1024 * 1024
MAX_EVENTS = 1_000
MAX_NAME = 200
MAX_SCHEMA_BYTES = 128 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_SCHEMA_NODES = 5_000
MAX_PATTERN = 500

DIALECTS = {
    "https://json-schema.org/draft/2020-12/schema": "2020-12",
    "https://json-schema.org/draft/2019-09/schema": "2019-09",
    "http://json-schema.org/draft-07/schema": "7",
    "http://json-schema.org/draft-06/schema": "6",
}
FORMATS = (
    "email",
    "phone",
    "date-time",
    "date",
    "time",
    "duration",
    "uri",
    "uri-reference",
    "uuid",
    "hostname",
    "ipv4",
    "ipv6",
    "idn-email",
    "iri",
    "json-pointer",
)

_KEYS = {"actions", "events", "traits", "group_traits"}
_PART_KEYS = {"description", "schema", "actions"}
_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_SINGLE = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_REFUSED = ("$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$anchor", "$vocabulary")


def empty_document() -> dict[str, Any]:
    return {"actions": {kind.value: Action.FLAG.value for kind in Kind}, "events": {}}


def read_document(text: str | bytes) -> Any:
    """From JSON text, as a person may have written it."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise PlanError(
            f"This is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.", code="json_invalid"
        ) from None
    except (ValueError, RecursionError) as error:
        raise PlanError(f"This JSON cannot be read: {error}", code="json_invalid") from None


def check_document(document: Any) -> dict[str, Any]:
    """Check everything but what only compiling the schemas can tell.

    Raises:
        PlanError: with the path of the first part at fault.
    """
    found = _object(document, "")
    _known(found, _KEYS, "")
    try:
        text = json.dumps(found, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, RecursionError, UnicodeEncodeError) as error:
        raise PlanError(f"This plan cannot be kept: {error}", code="plan_not_storable") from None
    if size > MAX_BYTES:
        raise PlanError(f"The plan is larger than {MAX_BYTES:,} bytes.", code="plan_too_large")
    _check_actions(found.get("actions", {}), "/actions")
    events = _object(found.get("events", {}), "/events")
    if len(events) > MAX_EVENTS:
        raise PlanError(f"A plan holds up to {MAX_EVENTS:,} events.", code="plan_too_large", path="/events")
    for path, part in parts_of(found):
        _check_part(part, path)
    for name in events:
        if not name.strip() or name != name.strip() or len(name) > MAX_NAME or "\0" in name:
            raise PlanError(
                f"An event name has 1 to {MAX_NAME} characters and no space around it.",
                code="event_name_invalid",
                path=join("/events", name),
            )
    return found


def parts_of(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every event and both kinds of traits, with its path."""
    for name, part in document.get("events", {}).items():
        yield join("/events", name), part
    for key in ("traits", "group_traits"):
        if key in document:
            yield f"/{key}", document[key]


def check_schema(schema: Any, path: str) -> None:
    """Refuse what would be dear, reach outside, or promise a check that nobody makes."""
    found = _object(schema, path)
    if len(json.dumps(found, ensure_ascii=False)) > MAX_SCHEMA_BYTES:
        raise PlanError(f"A schema may have {MAX_SCHEMA_BYTES:,} bytes.", code="schema_too_large", path=path)
    dialect_of(found, path)
    if found.get("type", "object") != "object":
        raise PlanError(
            "Properties and traits are objects: the type of the whole schema is object.",
            code="schema_not_object",
            path=f"{path}/type",
        )
    _check_node(found, path, depth=0)
    if _weight(found, root=found, path=path, inside=[], known={}) > MAX_SCHEMA_NODES:
        raise PlanError(
            f"With its references followed, a schema may have {MAX_SCHEMA_NODES:,} parts.",
            code="schema_too_large",
            path=path,
        )


def dialect_of(schema: Mapping[str, Any], path: str = "") -> str:
    """Which JSON Schema it is written in; 2020-12 where it does not say."""
    stated = schema.get("$schema", "https://json-schema.org/draft/2020-12/schema")
    known = DIALECTS.get(stated.rstrip("#")) if isinstance(stated, str) else None
    if known is None:
        raise PlanError(
            f"The dialect {str(stated)[:80]!r} is not known; use one of {', '.join(DIALECTS)}.",
            code="schema_dialect_unknown",
            path=f"{path}/$schema",
        )
    return known


def join(path: str, *steps: str | int) -> str:
    """A JSON pointer further in."""
    return "/".join([path, *(str(step).replace("~", "~0").replace("/", "~1") for step in steps)])


# --- The plan around the schemas ----------------------------------------------------------------------------


def _check_part(part: Any, path: str) -> None:
    found = _object(part, path)
    _known(found, _PART_KEYS, path)
    if not isinstance(found.get("description", ""), str):
        raise PlanError("A description is text.", code="text_expected", path=f"{path}/description")
    _check_actions(found.get("actions", {}), f"{path}/actions")
    if Kind.UNKNOWN_EVENT in found.get("actions", {}):
        raise PlanError(
            "What happens to unknown events is said for the whole plan.",
            code="action_not_possible",
            path=f"{path}/actions/{Kind.UNKNOWN_EVENT}",
        )
    check_schema(found.get("schema", {}), f"{path}/schema")


def _check_actions(actions: Any, path: str) -> None:
    for name, action in _object(actions, path).items():
        place = join(path, name)
        if name not in set(Kind):
            raise PlanError(
                f"There is no kind of violation {name[:40]!r}; there are {', '.join(Kind)}.",
                code="kind_unknown",
                path=place,
            )
        if not isinstance(action, str) or action not in set(Action):
            raise PlanError(f"An action is one of {', '.join(Action)}.", code="action_unknown", path=place)
        if action == Action.STRIP and Kind(name) in NOT_STRIPPABLE:
            raise PlanError(
                "There is nothing to strip from an unknown event or where a property is missing.",
                code="action_not_possible",
                path=place,
            )


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PlanError("An object is expected here.", code="object_expected", path=path)
    return value


def _known(found: Mapping[str, Any], keys: set[str], path: str) -> None:
    unknown = sorted(found.keys() - keys)
    if unknown:
        raise PlanError(
            f"There is no {unknown[0][:40]!r} here; there are {', '.join(sorted(keys))}.",
            code="key_unknown",
            path=join(path, unknown[0]),
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# --- Inside a schema ----------------------------------------------------------------------------------------


def _check_node(node: Any, path: str, *, depth: int) -> None:
    if not isinstance(node, dict):
        return
    if depth > MAX_SCHEMA_DEPTH:
        raise PlanError(f"A schema nests up to {MAX_SCHEMA_DEPTH} levels.", code="schema_too_deep", path=path)
    for key in (*_REFUSED, *(("$id", "id", "$schema") if depth else ())):
        if isinstance(node.get(key), str | dict | bool):
            raise PlanError(f"{key} is not supported here.", code="schema_keyword_unsupported", path=join(path, key))
    reference = node.get("$ref")
    if isinstance(reference, str) and reference != "#" and not reference.startswith("#/"):
        raise PlanError(
            "A reference stays inside its schema: it begins with #/.", code="ref_not_local", path=f"{path}/$ref"
        )
    _check_format(node.get("format"), f"{path}/format")
    _check_pattern(node.get("pattern"), f"{path}/pattern")
    for name in node["patternProperties"] if isinstance(node.get("patternProperties"), dict) else ():
        _check_pattern(name, join(path, "patternProperties", name))
    for place, child in _children(node):
        _check_node(child, join(path, *place), depth=depth + 1)


def _check_format(name: Any, path: str) -> None:
    if isinstance(name, str) and name not in FORMATS:
        raise PlanError(
            f"The format {name[:40]!r} is not checked here; there are {', '.join(FORMATS)}.",
            code="format_unknown",
            path=path,
        )


def _check_pattern(pattern: Any, path: str) -> None:
    if isinstance(pattern, str) and len(pattern) > MAX_PATTERN:
        raise PlanError(f"A pattern has up to {MAX_PATTERN} characters.", code="pattern_too_long", path=path)


def _children(node: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for key in _OF_NAMES:
        for name, child in node[key].items() if isinstance(node.get(key), dict) else ():
            yield (key, name), child
    for key in _LISTS:
        for index, child in enumerate(node[key]) if isinstance(node.get(key), list) else ():
            yield (key, index), child
    for key in _SINGLE:
        if isinstance(node.get(key), dict):
            yield (key,), node[key]


def _weight(node: Any, *, root: dict[str, Any], path: str, inside: list[int], known: dict[int, int]) -> int:
    """How many parts a schema has when every reference is replaced by what it refers to."""
    if not isinstance(node, dict):
        return 1
    if id(node) in inside:
        raise PlanError("A schema may not refer to itself.", code="schema_recursive", path=path)
    if id(node) in known:
        return known[id(node)]
    inside.append(id(node))
    total = 1
    for place, child in _children(node):
        total += _weight(child, root=root, path=join(path, *place), inside=inside, known=known)
    reference = node.get("$ref")
    if isinstance(reference, str):
        total += _weight(_target(reference, root), root=root, path=f"{path}/$ref", inside=inside, known=known)
    inside.pop()
    known[id(node)] = total
    return total


def _target(reference: str, root: dict[str, Any]) -> Any:
    """What a local reference means; a wrong one is found by the compiler."""
    found: Any = root
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found
