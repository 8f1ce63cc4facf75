"""The first stage of a source's treatment: its rules, put together per event name.

Traits of people come with identify messages. A track message may also name a person by `context.traits.email`, which
nothing stores: where a rule standardises the trait `email`, what it makes of that address is who is meant.
"""

import structlog

from cdp.kernel.identifiers import normalise
from ingestion.checks import ANY_EVENT, Check, Checks, Opened
from ingestion.messages import FIXED_NAMES, person_of
from ingestion.standardise.models import StandardRule
from ingestion.standardise.rules import RuleSpec, Step, compile_rule
from ingestion.standardise.values import BadOptionsError, Standardiser, make_standardiser

IDENTIFY = FIXED_NAMES["identify"]

log = structlog.get_logger(__name__)


def checks_of(source_id: int) -> Checks:
    """The rules of a source that are switched on, as checks by event name."""
    rows = StandardRule.objects.filter(source_id=source_id, enabled=True, deleted_at=None)
    return compile_checks([row.spec for row in rows])


def compile_checks(rules: list[RuleSpec]) -> Checks:
    compiled = [(rule, step) for rule in rules if (step := _compiled(rule))]
    traits = [step for rule, step in compiled if rule.of == "traits"]
    address = _address_rule(rules)
    names = {rule.event for rule, _ in compiled if rule.of == "properties" and rule.event}
    common = _properties_of(compiled, "")
    checks: dict[str, Check] = {name: _check(_properties_of(compiled, name), [], address) for name in names}
    if common or address:
        checks[ANY_EVENT] = _check(common, [], address)
    if traits or IDENTIFY in checks or ANY_EVENT in checks:
        checks[IDENTIFY] = _check(_properties_of(compiled, IDENTIFY), traits, address)
    return checks


def _compiled(rule: RuleSpec) -> Step | None:
    """A rule that newer code refuses is left out, and nothing else with it."""
    try:
        return compile_rule(rule)
    except BadOptionsError as error:
        log.warning("standard_rule_left_out", field=rule.field, code=error.code)
        return None


def _properties_of(compiled: list[tuple[RuleSpec, Step]], event: str) -> list[Step]:
    """In their order, the rules for this event and those for every event."""
    return [step for rule, step in compiled if rule.of == "properties" and rule.event in {"", event}]


def _check(properties: list[Step], traits: list[Step], address: Standardiser | None) -> Check:
    def check(opened: Opened) -> None:
        event = opened.event
        if event.traits is not None:
            for step in traits if event.type == "identify" else ():
                step(opened.fields, opened)
            return
        for step in properties:
            step(opened.fields, opened)
        if address is not None:
            _standardise_address(opened, address)

    return check


def _address_rule(rules: list[RuleSpec]) -> Standardiser | None:
    for rule in rules:
        if (rule.of, rule.field, rule.kind) == ("traits", "email", "email"):
            return make_standardiser(rule.kind, rule.options)
    return None


def _standardise_address(opened: Opened, standardise: Standardiser) -> None:
    identifiers = opened.event.identifiers
    for index, (kind, value) in enumerate(identifiers):
        if kind != "email":
            continue
        found = standardise(value)
        spelt = normalise("email", found) if isinstance(found, str) else None
        if spelt and spelt != value:
            opened.event.person = person_of((*identifiers[:index], ("email", spelt), *identifiers[index + 1 :]))
