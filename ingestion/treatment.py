"""Between decoding and storing: what the rules of a source make of its messages.

A message whose source has no rule for it passes as the bytes that came, and costs one look-up. The others are opened
once, go through every check in the order of `_STAGES`, and are closed again if one of them changed something.
A check changes the open message and notes what it did, or raises `BadMessageError`: then the message is quarantined.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from ingestion import messages
from ingestion.checks import ANY_EVENT, Checks, Opened, Stage
from ingestion.contracts import Incoming, Rejected, SourceTerms
from ingestion.errors import BadMessageError
from ingestion.plans.rules import plan_checks
from ingestion.quality.rules import value_rules
from ingestion.standardise import stage as standardise

__all__ = ["ANY_EVENT", "Checks", "Opened", "Stage", "Treated", "forget_rules", "treat"]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode

_STAGES: tuple[Stage, ...] = (standardise.checks_of, plan_checks, value_rules)

_compiled: dict[int, tuple[int, list[Checks]]] = {}


@dataclass(frozen=True, slots=True)
class Treated:
    kept: list[Incoming]
    rejected: list[Rejected]


def treat(events: list[Incoming], sources: Mapping[int, SourceTerms]) -> Treated:
    """Apply the rules of each message's source."""
    rules = {id_: found for id_, terms in sources.items() if (found := _checks_of(id_, terms.rules_version))}
    if not rules:
        return Treated(events, [])
    kept: list[Incoming] = []
    rejected: list[Rejected] = []
    for event in events:
        checks = rules.get(event.source_id)
        try:
            kept.append(_apply(event, checks) if checks else event)
        except BadMessageError as error:
            rejected.append(_turned_away(event, error))
    return Treated(kept, rejected)


def forget_rules() -> None:
    """For tests that roll rules back."""
    _compiled.clear()


def _checks_of(source_id: int, version: int) -> list[Checks]:
    known = _compiled.get(source_id)
    if known is None or known[0] != version:
        checks = [found for stage in _STAGES if (found := stage(source_id))]
        known = _compiled[source_id] = (version, checks)
    return known[1]


def _apply(event: Incoming, stages: Iterable[Checks]) -> Incoming:
    applicable = [check for checks in stages if (check := checks.get(event.name) or checks.get(ANY_EVENT))]
    if not applicable:
        return event
    opened = Opened(event)
    try:
        for check in applicable:
            check(opened)
    except msgspec.DecodeError as error:  # JSON that only jsonb can hold, such as 1e400, passes as it came
        opened.flag("rules", "", f"not looked at: {error}")
        opened.changed = False
    if opened.changed:
        _close(opened)
    if opened.changes:
        event.changes = (*event.changes, *opened.changes)
    return event


def _close(opened: Opened) -> None:
    """What was read from the fields follows them: the bytes to store, the promoted numbers, who is meant."""
    event = opened.event
    event.properties = _encode(opened.fields)
    event.numbers = messages.numbers_of(opened.fields)
    if event.traits is not None:
        event.traits = opened.fields
        event.person = messages.person_of(messages.renew_identifiers(event.identifiers, opened.fields))


def _turned_away(event: Incoming, error: BadMessageError) -> Rejected:
    received_at = _EPOCH + timedelta(microseconds=event.received)
    refused = messages.reject(event, received_at=received_at, code=error.code, message=error.message, path=error.path)
    return replace(refused, changes=error.changes) if error.changes else refused
