"""A definition back as JSON, in its one canonical spelling: `parse(dump(node)) == node`."""

from typing import Any as AnyJson
from typing import assert_never

from segments.ast.nodes import (
    Account,
    All,
    Any,
    Between,
    Calendar,
    Consent,
    Duration,
    Event,
    Given,
    InSegment,
    Last,
    Moment,
    Node,
    Not,
    Sequence,
    Stage,
    Test,
    Trait,
    Value,
    Where,
    Window,
)


def dump(node: Node) -> dict[str, AnyJson]:  # noqa: C901, PLR0911 - one return per kind of node
    match node:
        case All(of):
            return {"type": "all", "of": [dump(part) for part in of]}
        case Any(of):
            return {"type": "any", "of": [dump(part) for part in of]}
        case Not(of):
            return {"type": "not", "of": dump(of)}
        case Trait(trait, test):
            return {"type": "trait", "trait": trait.text, **_dump_test(test)}
        case Account(trait, test):
            return {"type": "account", "trait": trait.text, **_dump_test(test)}
        case Consent(purpose, state):
            return {"type": "consent", "purpose": purpose, "state": state.value}
        case Event():
            return _dump_event(node)
        case Sequence():
            return _dump_sequence(node)
        case InSegment(slug):
            return {"type": "segment", "segment": slug}
        case Given(slug):
            return {"type": "given", "segment": slug}
        case _:
            assert_never(node)


def _dump_event(node: Event) -> dict[str, AnyJson]:
    dumped: dict[str, AnyJson] = {"type": "event", **_dump_stream(node)}
    dumped["measure"] = node.measure.value
    if node.of:
        dumped["of"] = node.of.text
    dumped.update(_dump_test(node.test))
    if node.window:
        dumped["window"] = _dump_window(node.window)
    if node.span:
        dumped["span"] = node.span.text
    return dumped


def _dump_sequence(node: Sequence) -> dict[str, AnyJson]:
    dumped: dict[str, AnyJson] = {"type": "sequence", "steps": [_dump_stage(stage) for stage in node.stages]}
    if node.window:
        dumped["window"] = _dump_window(node.window)
    return dumped


def _dump_stage(stage: Stage) -> dict[str, AnyJson]:
    dumped = _dump_stream(stage)
    if stage.within:
        dumped["within"] = stage.within.text
    if stage.absent:
        dumped["absent"] = True
    if stage.same:
        dumped["same"] = stage.same.text
    return dumped


def _dump_stream(events: Event | Stage) -> dict[str, AnyJson]:
    """Which events are meant."""
    dumped: dict[str, AnyJson] = {"event": events.events[0] if len(events.events) == 1 else list(events.events)}
    if events.where:
        dumped["where"] = [_dump_where(where) for where in events.where]
    return dumped


def _dump_where(where: Where) -> dict[str, AnyJson]:
    return {"property": where.property.text, **_dump_test(where.test)}


def _dump_test(test: Test) -> dict[str, AnyJson]:
    value = {} if test.value is None else {"value": _dump_value(test.value)}
    return {"op": test.op.value, **value}


def _dump_value(value: Value) -> AnyJson:
    match value:
        case Moment() | Duration():
            return value.text
        case tuple():
            return list(value)
        case _:
            return value


def _dump_window(window: Window) -> dict[str, str]:
    match window:
        case Last(duration):
            return {"last": duration.text}
        case Between(after, before):
            ends = {"after": after, "before": before}
            return {name: moment.text for name, moment in ends.items() if moment}
        case Calendar(period, tz):
            return {"calendar": period.value} | ({"tz": tz} if tz else {})
        case _:
            assert_never(window)
