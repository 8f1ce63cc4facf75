"""A rule as data, and what it does to the fields of a message. No Django here. R: B3, A7"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from ingestion.standardise import paths
from ingestion.standardise.values import KINDS, BadOptionsError, Unreadable, make_standardiser

STAGE = "standardise"
MOVES = {"rename": "Rename the field", "copy": "Copy to another field"}
"""Kinds of rules that move values and leave them as they are."""

Of = Literal["properties", "traits"]


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the API and the screens speak of. `event` is empty for every event, and always for traits."""

    field: str
    kind: str
    of: Of = "properties"
    event: str = ""
    options: dict[str, Any] = {}
    on_failure: Literal["keep", "null"] = "keep"
    enabled: bool = True


class Report(Protocol):
    """Who is told what a rule did: `ingestion.checks.Opened`, or a preview."""

    def note(self, stage: str, path: str, what: str, *, before: Any = None, after: Any = None) -> None: ...

    def flag(self, stage: str, path: str, what: str) -> None: ...


Step = Callable[[dict[str, Any], Report], None]


def compile_rule(rule: RuleSpec) -> Step:
    """What the rule does to properties or traits.

    Raises:
        BadOptionsError: with a code, and the path of the part of the rule at fault.
    """
    if rule.kind in MOVES:
        return _compile_move(rule)
    if rule.kind not in KINDS:
        raise BadOptionsError(f"{rule.kind!r} is no kind of rule.", code="kind_unknown", path="/kind")
    try:
        standardise = make_standardiser(rule.kind, rule.options)
    except BadOptionsError as error:
        raise BadOptionsError(error.message, code=error.code, path=f"/options{error.path}") from None
    find, nulling, base, label = paths.finder(rule.field), rule.on_failure == "null", f"/{rule.of}", rule.kind

    def step(fields: dict[str, Any], report: Report) -> None:
        for holder, key, address in find(fields):
            value = holder[key]
            if value is None:
                continue
            single = not isinstance(value, dict | list)
            result = standardise(value) if single else _NOT_SINGLE
            if isinstance(result, Unreadable):
                what = f"{label}: {result.reason}"
                if nulling:
                    holder[key] = None
                    report.note(STAGE, base + address, what, before=value, after=None)
                else:
                    report.flag(STAGE, base + address, what)
            elif result != value or type(result) is not type(value):
                holder[key] = result
                report.note(STAGE, base + address, label, before=value, after=result)

    return step


_NOT_SINGLE = Unreadable("not a single value")


def _compile_move(rule: RuleSpec) -> Step:
    """Fill another field where it is empty. A rename leaves the old field standing where the new one is taken."""
    to = rule.options.get("to")
    if not isinstance(to, str) or set(rule.options) != {"to"}:
        raise BadOptionsError("Name the field to fill as `to`.", code="option_invalid", path="/options/to")
    common, source, target = paths.siblings(rule.field, to)
    if source == target or target[: len(source)] == source or source[: len(target)] == target:
        raise BadOptionsError("These two fields lie within each other.", code="same_field", path="/options/to")
    keeping, base, label = rule.kind == "copy", f"/{rule.of}", rule.kind

    def step(fields: dict[str, Any], report: Report) -> None:
        for item, address in paths.items(fields, common):
            value = paths.get(item, source)
            if value is ... or value is None:
                continue
            present = paths.get(item, target)
            place = base + paths.address_of(address, target)
            if present is not ... and present is not None:
                if not keeping:
                    report.flag(STAGE, place, f"{label}: there is a value already")
                continue
            if not paths.put(item, target, value):
                report.flag(STAGE, place, f"{label}: something else is in its place")
                continue
            if not keeping:
                paths.drop(item, source)
            report.note(STAGE, place, f"{label} of {rule.field}", before=None, after=value)

    return step
