"""Why somebody is in a segment or not: what each condition comes to for them, and when that can change. R: D1"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any as AnyValue
from typing import assert_never

from identity.accounts.queries import accounts_of
from ingestion.dictionary.masking import Masker
from ingestion.messages import FIXED_NAMES
from segments.ast import (
    Account,
    All,
    Any,
    Consent,
    Event,
    Given,
    InSegment,
    Node,
    Not,
    Path,
    Sequence,
    Standing,
    Trait,
    parse,
)
from segments.compile import compile_state_of
from segments.engine import fetch, limited_population, load_dictionary, plan_at
from segments.holdings import consent
from segments.models import Membership, Segment
from segments.plan import Followed, Measured
from segments.references import expand
from segments.sentence import sentence
from segments.sequences import Trail
from segments.sql import Sql, sql
from segments.streams import Stream

MOST_EVENTS = 20
EXPLAIN_SECONDS = 10


@dataclass(frozen=True)
class Evidence:
    """An event that counts; of a sequence with the numbers of the steps that it can be, from 0."""

    id: uuid.UUID
    at: datetime
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """One node of a definition for one person.

    `value` is what the measure comes to, the trait, that trait of each account that has it, or how consent stands;
    `changes_at` when the answer can next change by time alone.
    """

    kind: str
    sentence: str
    holds: bool
    changes_at: datetime | None = None
    value: AnyValue = None
    trait: str = ""
    events: tuple[Evidence, ...] = ()
    parts: tuple["Explanation", ...] = ()


@dataclass(frozen=True)
class Answer:
    """`since` is when the person entered, as the membership has it; None for somebody who is not in."""

    segment: Segment
    profile_id: int
    since: datetime | None
    explanation: Explanation
    asked_at: datetime = field(kw_only=True)


def explain(*, segment: Segment, profile_id: int, traits: dict[str, AnyValue], now: datetime) -> Answer:
    """Evaluate a segment's definition for one profile, piece by piece, at `now`."""
    since = (
        Membership.objects.filter(segment=segment, profile_id=profile_id).values_list("entered_at", flat=True).first()
    )
    with limited_population(timeout_seconds=EXPLAIN_SECONDS):
        explanation = _Asked(profile_id, traits, now).node(parse(segment.definition))
    return Answer(segment, profile_id, since, explanation, asked_at=now)


@dataclass(frozen=True)
class _Asked:
    profile_id: int
    traits: dict[str, AnyValue]
    now: datetime

    def node(self, node: Node) -> Explanation:  # noqa: PLR0911 - one return per kind of node
        match node:
            case All(of) | Any(of):
                parts = tuple(self.node(part) for part in of)
                held = [part.holds for part in parts]
                kind, holds = ("all", all(held)) if isinstance(node, All) else ("any", any(held))
                return Explanation(kind, sentence(node), holds, _first(parts), parts=parts)
            case Not(of):
                part = self.node(of)
                return Explanation("not", sentence(node), not part.holds, part.changes_at, parts=(part,))
            case InSegment():
                part = self.node(expand(node))
                return Explanation("segment", sentence(node), part.holds, part.changes_at, parts=(part,))
            case Trait(trait):
                value = _values_at(trait, self.traits)
                return self._condition("trait", node, value=value, trait=trait.text)
            case Account(trait):
                return self._condition("account", node, value=self._of_accounts(trait), trait=trait.text)
            case Consent():
                return self._condition("consent", node, value=self._standing(node))
            case Event():
                value, events = self._measured(node)
                return self._condition("event", node, value=value, events=events)
            case Sequence():
                return self._condition("sequence", node, events=self._steps(node))
            case Given():
                return self._condition("given", node)
            case _:
                assert_never(node)

    def _condition(self, kind: str, node: Node, **more: AnyValue) -> Explanation:
        state = compile_state_of(plan_at(node, now=self.now), load_dictionary(node), [self.profile_id])
        ((_, holds, due),) = fetch(state) or [(self.profile_id, False, None)]
        return Explanation(kind, sentence(node), holds, due, **more)

    def _of_accounts(self, trait: Path) -> dict[str, AnyValue] | None:
        """What the trait is, by the id of the group."""
        held = {each.account.group_id: each.account.traits for each in accounts_of(profile_id=self.profile_id)}
        found = {group_id: _values_at(trait, traits) for group_id, traits in held.items()}
        return {group_id: value for group_id, value in found.items() if value not in (None, [])} or None

    def _standing(self, node: Consent) -> str:
        state = consent(node.purpose, plan_at(node, now=self.now).clock)
        found = fetch(sql("SELECT state FROM ({all} AND k.profile_id = {id}) AS k", all=state, id=self.profile_id))
        return found[0][0] if found else Standing.UNKNOWN.value

    @property
    def _mine(self) -> Sql:
        return sql("e.profile_id = {id}", id=self.profile_id)

    def _measured(self, node: Event) -> tuple[AnyValue, tuple[Evidence, ...]]:
        plan = plan_at(node, now=self.now)
        (measured,) = plan.behaviours
        if not isinstance(measured, Measured):
            raise TypeError(measured)
        stream = Stream(measured, load_dictionary(node), plan.clock)
        rows = stream.rows(self._mine)
        ((value,),) = fetch(sql("SELECT {measure} FROM {rows}", measure=stream.measure(stream.counted), rows=rows))
        found = fetch(
            sql(
                "SELECT DISTINCT e.ts, e.id FROM {rows} AND {counted} ORDER BY e.ts DESC, e.id LIMIT {most}",
                rows=rows,
                counted=stream.counted,
                most=MOST_EVENTS,
            )
        )
        return value, tuple(Evidence(id_, at) for at, id_ in found)

    def _steps(self, node: Sequence) -> tuple[Evidence, ...]:
        plan = plan_at(node, now=self.now)
        (followed,) = plan.behaviours
        if not isinstance(followed, Followed):
            raise TypeError(followed)
        reached = Trail(followed, load_dictionary(node), plan.clock).reached(self._mine)
        found = fetch(sql("{reached} ORDER BY ts DESC, id LIMIT {most}", reached=reached, most=MOST_EVENTS))
        return tuple(Evidence(id_, at, tuple(steps)) for id_, at, steps in found)


def _first(parts: tuple[Explanation, ...]) -> datetime | None:
    moments = [part.changes_at for part in parts if part.changes_at]
    return min(moments, default=None)


def _values_at(path: Path, data: AnyValue) -> AnyValue:
    """What a trait's path leads to: one value, or a list where it goes through one."""
    found = [data]
    for step in path.steps:
        found = [value[step.key] for value in found if isinstance(value, dict) and step.key in value]
        if step.each:
            found = [item for value in found if isinstance(value, list) for item in value]
    if path.single:
        return found[0] if found else None
    return found


def mask_value(explanation: Explanation, masker: Masker) -> AnyValue:
    """The value as somebody may see it: of a trait that they may not, masked; accounts tell theirs in messages."""
    if explanation.value is None:
        return None
    if explanation.kind == "trait":
        return masker.value("trait", "", explanation.trait, explanation.value)
    if explanation.kind == "account":
        event, trait = FIXED_NAMES["group"], explanation.trait
        return {one: masker.value("property", event, trait, value) for one, value in explanation.value.items()}
    return explanation.value
