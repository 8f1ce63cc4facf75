"""Between decoding and storing: what the rules of a source make of its messages.

A message whose source has no rule for it passes as the bytes that came, and costs one look-up. The others are opened
once, go through every check in the order of `_STAGES`, and are closed again if one of them changed something.
A check changes the open message and notes what it did, or raises `BadMessageError`: then the message is quarantined.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ingestion.contracts import Change, Incoming, Rejected, SourceTerms
from ingestion.errors import BadMessageError
from ingestion.messages import reject

ANY_EVENT = "*"

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Opened:
    """A message while rules look at it: `fields` are its properties, or the traits of an identify or group.

    A check may change `fields` in place; it says so by `note`, which also is what the live view shows.
    """

    event: Incoming
    fields: dict[str, Any]
    changes: list[Change] = field(default_factory=list)
    changed: bool = False

    def note(self, stage: str, path: str, what: str, *, before: Any = None, after: Any = None) -> None:
        """Remember a change of `fields` (with the value before and after)."""
        self.changes.append(Change(stage, path, what, before, after))
        self.changed = True

    def flag(self, stage: str, path: str, what: str) -> None:
        """Remember something that is not as it should be and was left as it is."""
        self.changes.append(Change(stage, path, what, None, None))


Check = Callable[[Opened], None]
Checks = Mapping[str, Check]
"""What a stage does to the events of a source: by event name, `ANY_EVENT` for all that are not named."""

Stage = Callable[[int], Checks]
"""Compiles the rules of a source (its id); asked again when `Source.rules_version` grows."""

_STAGES: tuple[Stage, ...] = ()

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
    opened = Opened(event, dict(event.traits) if event.traits is not None else _decode(event.properties))
    for check in applicable:
        check(opened)
    if opened.changed:
        event.properties = _encode(opened.fields)
        if event.traits is not None:
            event.traits = opened.fields
    if opened.changes:
        event.changes = (*event.changes, *opened.changes)
    return event


def _turned_away(event: Incoming, error: BadMessageError) -> Rejected:
    received_at = _EPOCH + timedelta(microseconds=event.received)
    return reject(event, received_at=received_at, code=error.code, message=error.message, path=error.path)
