"""A message held against its plan: what differs, and what is left of the message after that."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ingestion.plans.compile import CompiledPart
from ingestion.plans.contracts import Action, Kind, Violation
from ingestion.plans.document import join

STAGE = "plan"
MAX_ROUNDS = 32
MAX_KEPT = 100

Steps = tuple[str | int, ...]

_TYPE_WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "yes or no",
    "array": "a list",
    "object": "an object",
    "null": "empty",
}
_FORMAT_WORDS = {
    "email": "e-mail address",
    "phone": "phone number such as +431234567",
    "date-time": "date and time such as 2026-03-10T12:00:00Z",
    "date": "date such as 2026-03-10",
    "uri": "address such as https://example.com/",
    "uuid": "UUID",
}
_KINDS = {
    "type": Kind.WRONG_TYPE,
    "required": Kind.MISSING_PROPERTY,
    "dependentRequired": Kind.MISSING_PROPERTY,
    "falseSchema": Kind.UNKNOWN_PROPERTY,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: its kind, the steps to it, and in words what is wrong, without the value."""

    kind: Kind
    steps: Steps
    text: str


@dataclass(slots=True)
class Verdict:
    """What a plan makes of a message. With `blocked` it is turned away, and what was stripped does not matter."""

    violations: list[Violation] = field(default_factory=list)
    blocked: Violation | None = None
    stripped: list[Steps] = field(default_factory=list)


def judge(part: CompiledPart, fields: dict[str, Any]) -> Verdict:
    """Hold `fields` against their schema, and take out of them, in place, what is to be stripped.

    1. Nothing differs: that is all. 2. Something is to be blocked: the message is. 3. What is to be stripped is taken
    out, and the rest is asked again: a required property may be missing now. 4. Until there is nothing to strip;
    what then still differs is flagged.
    """
    verdict = Verdict()
    seen: set[tuple[Kind, Steps]] = set()
    for _ in range(MAX_ROUNDS):
        if part.is_valid(fields):
            return verdict
        found = list(_findings(part.iter_errors(fields)))
        stripping = [finding.steps for finding in found if _is_stripped(part, finding)]
        for finding in found:
            if (finding.kind, finding.steps) not in seen:
                seen.add((finding.kind, finding.steps))
                _add(verdict, part, finding)
        if verdict.blocked is not None or not stripping:
            return verdict
        verdict.stripped += strip(fields, stripping)
    return verdict


def strip(fields: dict[str, Any], places: Iterable[Steps]) -> list[Steps]:
    """Take these out, the last of a list first so that the others keep their place; returns what was there."""
    taken = []
    for steps in sorted(set(places), key=_order, reverse=True):
        inside: Any = fields
        for step in steps[:-1]:
            inside = inside[step]
        del inside[steps[-1]]
        taken.append(steps)
    return taken


def unknown_event(action: Action) -> Violation:
    return Violation(STAGE, "", "not in the plan", None, None, Kind.UNKNOWN_EVENT, action, "")


def value_at(fields: Any, steps: Steps) -> Any:
    for step in steps:
        fields = fields[step]
    return fields


def _add(verdict: Verdict, part: CompiledPart, finding: Finding) -> None:
    """Once for each place as it is counted: a hundred products without a price are one thing to say."""
    action = _action(part, finding)
    if action is Action.ALLOW:
        return
    violation = Violation(
        STAGE,
        join("", *finding.steps),
        finding.text,
        None,
        None,
        finding.kind,
        action,
        join("", *("*" if isinstance(step, int) else step for step in finding.steps))[:200],
    )
    if action is Action.BLOCK and verdict.blocked is None:
        verdict.blocked = violation
    key = (violation.kind, violation.where)
    if len(verdict.violations) < MAX_KEPT and all((one.kind, one.where) != key for one in verdict.violations):
        verdict.violations.append(violation)


def _action(part: CompiledPart, finding: Finding) -> Action:
    action = part.actions[finding.kind]
    return Action.FLAG if action is Action.STRIP and not finding.steps else action


def _is_stripped(part: CompiledPart, finding: Finding) -> bool:
    return part.actions[finding.kind] is Action.STRIP and bool(finding.steps)


def _order(steps: Steps) -> list[tuple[bool, int, str]]:
    return [(isinstance(step, int), step if isinstance(step, int) else 0, str(step)) for step in steps]


def _findings(errors: Iterable[Any]) -> Iterator[Finding]:
    for error in errors:
        yield from _finding(error)


def _finding(error: Any) -> Iterator[Finding]:
    name, steps = error.kind.name, tuple(error.instance_path)
    if name in ("additionalProperties", "unevaluatedProperties"):
        for unexpected in error.kind.unexpected:
            yield Finding(Kind.UNKNOWN_PROPERTY, (*steps, unexpected), "not in the plan")
    elif name == "propertyNames":
        yield Finding(Kind.UNKNOWN_PROPERTY, (*steps, error.kind.error.instance), "has a name that is not in the plan")
    elif name in ("required", "dependentRequired"):
        yield Finding(Kind.MISSING_PROPERTY, (*steps, error.kind.property), "missing")
    elif name in ("anyOf", "oneOf") and _no_type_fits(error):
        yield Finding(Kind.WRONG_TYPE, steps, f"is {type_word(error.instance)}, which is not expected here")
    else:
        yield Finding(_KINDS.get(name, Kind.WRONG_VALUE), steps, _words(name, error))


def _no_type_fits(error: Any) -> bool:
    """Whether every alternative already fails at the type of the value itself."""
    here = list(error.instance_path)
    return all(
        any(inner.kind.name == "type" and list(inner.instance_path) == here for inner in branch)
        for branch in getattr(error.kind, "context", None) or [[]]
    )


def type_word(value: Any) -> str:
    for kind, word in (
        (bool, "boolean"),
        (str, "string"),
        (int, "integer"),
        (float, "number"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(value, kind):
            return _TYPE_WORDS[word]
    return _TYPE_WORDS["null"]


def _words(name: str, error: Any) -> str:
    """What is wrong, in few words that hold nothing of the value."""
    limit = getattr(error.kind, "limit", None)
    if name == "type":
        return f"is {type_word(error.instance)}, expected {' or '.join(_TYPE_WORDS[one] for one in error.kind.types)}"
    if name == "format":
        stated = error.kind.format
        return f"is not a valid {_FORMAT_WORDS.get(stated, stated)}"
    fixed = {
        "enum": "is not one of the allowed values",
        "const": "is not the one allowed value",
        "pattern": "does not match the pattern",
        "minimum": f"is less than {limit}",
        "maximum": f"is more than {limit}",
        "exclusiveMinimum": f"is not more than {limit}",
        "exclusiveMaximum": f"is not less than {limit}",
        "minLength": f"is shorter than {limit} characters",
        "maxLength": f"is longer than {limit} characters",
        "minItems": f"has fewer than {limit} items",
        "maxItems": f"has more than {limit} items",
        "falseSchema": "not in the plan",
    }
    return fixed.get(name, f"breaks the rule {name[:60]}")
