"""From the document of a plan to validators: one call tells whether a message is valid."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from ingestion.plans.contracts import DEFAULT_ACTIONS, Action, Kind
from ingestion.plans.document import check_document, dialect_of, join, parts_of
from ingestion.plans.errors import PlanError

_VALIDATORS = {
    "2020-12": jsonschema_rs.Draft202012Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
    "7": jsonschema_rs.Draft7Validator,
    "6": jsonschema_rs.Draft6Validator,
}
# Matching takes time linear in the text; the limits bound what one pattern may take in memory and so per character.
_PATTERNS = jsonschema_rs.RegexOptions(size_limit=500_000, dfa_size_limit=1_000_000)
_EMAILS = jsonschema_rs.EmailOptions(require_tld=True, allow_domain_literal=False, allow_display_text=False)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch  # ITU-T E.164: up to 15 digits with the country's


@dataclass(frozen=True, slots=True)
class CompiledPart:
    """The validator of an event's properties (or of traits), and what is done about violations."""

    is_valid: Callable[[Any], bool]
    iter_errors: Callable[[Any], Iterable[Any]]
    actions: Mapping[Kind, Action]


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    events: dict[str, CompiledPart]
    traits: CompiledPart | None
    group_traits: CompiledPart | None
    actions: Mapping[Kind, Action]


def compile_plan(document: Any) -> CompiledPlan:
    """Check a document and compile its schemas.

    Raises:
        PlanError: with the path of the first part at fault.
    """
    found = check_document(document)
    actions = dict(DEFAULT_ACTIONS) | _actions(found)
    compiled = {
        path: CompiledPart(validator.is_valid, validator.iter_errors, actions | _actions(part))
        for path, part in parts_of(found)
        for validator in [build_validator(part.get("schema", {}), f"{path}/schema")]
    }
    return CompiledPlan(
        events={name: compiled[join("/events", name)] for name in found.get("events", {})},
        traits=compiled.get("/traits"),
        group_traits=compiled.get("/group_traits"),
        actions=actions,
    )


def build_validator(schema: dict[str, Any], path: str) -> Any:
    """Compile one schema that `check_schema` has let pass; `path` is where it stands."""
    try:
        return _VALIDATORS[dialect_of(schema, path)](
            schema,
            formats={"phone": _is_phone},
            validate_formats=True,
            ignore_unknown_formats=False,
            retriever=_refuse,
            pattern_options=_PATTERNS,
            email_options=_EMAILS,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise _problem(error, path) from None


def _is_phone(text: str) -> bool:
    return _E164(text) is not None


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} lies outside of the schema")


def _problem(error: Exception, path: str) -> PlanError:
    place = list(getattr(error, "instance_path", []))
    keyword = error.kind.name if isinstance(error, jsonschema_rs.ValidationError) else ""
    where = join(path, *place)
    if keyword == "format" and "regex" in str(error) and place:
        return PlanError(
            "This pattern cannot be used: it is not a regular expression, it is too large, or it looks around or back,"
            " which takes unbounded time.",
            code="pattern_invalid",
            path=where,
        )
    if keyword == "$ref" or isinstance(error, jsonschema_rs.ReferencingError):
        return PlanError("This reference leads nowhere.", code="ref_unresolved", path=where)
    return PlanError(f"This is no JSON Schema: {_short(error)}", code="schema_invalid", path=where)


def _short(error: Exception) -> str:
    return str(getattr(error, "message", error)).partition("\n")[0][:300]


def _actions(part: Mapping[str, Any]) -> dict[Kind, Action]:
    return {Kind(kind): Action(action) for kind, action in part.get("actions", {}).items()}
