"""The stage of `ingestion.treatment` that holds messages against the live plan of their source."""

from functools import partial

import structlog

from ingestion.checks import ANY_EVENT, Check, Checks, Opened
from ingestion.errors import BadMessageError
from ingestion.messages import FIXED_NAMES
from ingestion.plans import queries
from ingestion.plans.compile import CompiledPart, CompiledPlan, compile_plan
from ingestion.plans.contracts import Action, Kind, Violation
from ingestion.plans.errors import PlanError
from ingestion.plans.judge import judge, unknown_event

CODE_PREFIX = "plan_"

log = structlog.get_logger(__name__)


class OffPlanError(BadMessageError):
    """The message is not as the tracking plan says, which turns such messages away."""

    def __init__(self, blocking: Violation, violations: list[Violation], *, root: str) -> None:
        place = blocking.path[1:].replace("/", ".")
        super().__init__(
            f"{place} {blocking.what}, says the tracking plan."
            if place
            else "This event is not in the tracking plan.",
            code=f"{CODE_PREFIX}{blocking.kind}",
            path=f"{root}{blocking.path}" if place else root,
        )
        self.changes = tuple(violations)


def plan_checks(source_id: int) -> Checks:
    """The checks of a source's live plan, by event name; none where it has no plan."""
    document = queries.live_document(source_id=source_id)
    if document is None:
        return {}
    try:
        plan = compile_plan(document)
    except PlanError as error:
        # Checked when it was published: only another version of the validator can think otherwise.
        log.exception("live_plan_unusable", source=source_id, code=error.code, path=error.path)
        return {}
    return checks_of(plan)


def checks_of(plan: CompiledPlan) -> dict[str, Check]:
    checks: dict[str, Check] = {
        name: partial(_check, part, "track", "/properties") for name, part in plan.events.items()
    }
    for name in (FIXED_NAMES["page"], FIXED_NAMES["screen"]):
        if name in plan.events:
            checks[name] = partial(_check, plan.events[name], "", "/properties")
    for kind, part in (("identify", plan.traits), ("group", plan.group_traits)):
        fixed = FIXED_NAMES.get(kind)
        if part is not None and fixed is not None:
            checks[fixed] = partial(_check_either, partial(_check, part, kind, "/traits"), checks.get(fixed))
    action = plan.actions[Kind.UNKNOWN_EVENT]
    if action is not Action.ALLOW:
        checks[ANY_EVENT] = partial(_note_unknown, unknown_event(action))
    return checks


def _check(part: CompiledPart, kind: str, root: str, opened: Opened) -> None:
    """Valid messages, which nearly all are, cost this one call."""
    if part.is_valid(opened.fields) or (kind and opened.event.type != kind):
        return
    verdict = judge(part, opened.fields)
    if verdict.blocked is not None:
        raise OffPlanError(verdict.blocked, verdict.violations, root=root)
    opened.changes += verdict.violations
    if verdict.stripped:
        opened.changed = True


def _check_either(traits: Check, named: Check | None, opened: Opened) -> None:
    """A track message may bear the name that identify messages go by."""
    if opened.event.type != "track":
        traits(opened)
    elif named is not None:
        named(opened)


def _note_unknown(violation: Violation, opened: Opened) -> None:
    """Only events that senders name themselves can be unknown."""
    if opened.event.type != "track":
        return
    if violation.action is Action.BLOCK:
        raise OffPlanError(violation, [violation], root="/event")
    opened.changes.append(violation)
