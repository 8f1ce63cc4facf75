"""From JSON to nodes. Every refusal has a code, a sentence for the person, and a JSON pointer to the bad part."""

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any as AnyJson
from typing import TypeVar
from zoneinfo import ZoneInfo

from consent.policy import Standing
from segments.ast import limits, times
from segments.ast.errors import DefinitionError
from segments.ast.nodes import (
    NUMERIC_MEASURES,
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
    Measure,
    Moment,
    Node,
    Not,
    Op,
    Path,
    Period,
    Scalar,
    Sequence,
    Stage,
    Step,
    Test,
    Trait,
    Value,
    Where,
    Window,
)

Choice = TypeVar("Choice", bound=StrEnum)

NODE_TYPES = ("all", "any", "not", "trait", "account", "event", "sequence", "segment", "given", "consent")
NUMBER_OPS = frozenset({Op.EQ, Op.NEQ, Op.GT, Op.GTE, Op.LT, Op.LTE, Op.BETWEEN})
SPAN_MEASURES = frozenset({Measure.COUNT, Measure.SUM})
SPAN_OPS = frozenset({Op.GT, Op.GTE})
FIRST_LAST_OPS = frozenset(Op) - {Op.EXISTS, Op.NOT_EXISTS}

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_SURROGATE_OR_NUL = re.compile("[\ud800-\udfff\0]")
_SUGGESTION_CUTOFF = 0.6


def parse(definition: object) -> Node:
    """Read a definition; raises `DefinitionError` for the first thing that is wrong with it."""
    return _Parser().node(definition, at="", depth=1)


class _Parser:
    """Counts the nodes on the way; everything else is functions of a value and its address."""

    def __init__(self) -> None:
        self.nodes = 0

    def node(self, raw: object, *, at: str, depth: int) -> Node:  # noqa: PLR0911 - one return per kind of node
        found = _object(raw, at)
        self._count(at, depth)
        kind = _node_type(found, at)
        match kind:
            case "all" | "any":
                return self._group(kind, found, at=at, depth=depth)
            case "not":
                _check_keys(found, at, required=("type", "of"))
                return Not(self.node(found["of"], at=f"{at}/of", depth=depth + 1))
            case "trait":
                return Trait(*_trait(found, at))
            case "account":
                return Account(*_trait(found, at))
            case "consent":
                return _consent(found, at)
            case "sequence":
                return _sequence(found, at)
            case "segment":
                _check_keys(found, at, required=("type", "segment"))
                return InSegment(_name(found["segment"], f"{at}/segment"))
            case "given":
                _check_keys(found, at, required=("type", "segment"))
                return Given(_name(found["segment"], f"{at}/segment"))
            case _:
                return _event(found, at)

    def _group(self, kind: str, found: Mapping[str, AnyJson], *, at: str, depth: int) -> Node:
        _check_keys(found, at, required=("type", "of"))
        parts = _list(found["of"], f"{at}/of", most=limits.MAX_NODES, code="too_many_nodes")
        if not parts:
            raise DefinitionError("A group needs at least one condition.", code="empty_group", path=f"{at}/of")
        nodes = tuple(self.node(part, at=f"{at}/of/{place}", depth=depth + 1) for place, part in enumerate(parts))
        return All(nodes) if kind == "all" else Any(nodes)

    def _count(self, at: str, depth: int) -> None:
        self.nodes += 1
        if depth > limits.MAX_DEPTH:
            message = f"Groups may be nested {limits.MAX_DEPTH} deep at most."
            raise DefinitionError(message, code="too_deep", path=at)
        if self.nodes > limits.MAX_NODES:
            message = f"A definition may have {limits.MAX_NODES} groups and conditions at most."
            raise DefinitionError(message, code="too_many_nodes", path=at)


# --- Conditions ---------------------------------------------------------------------------------------------


def _node_type(found: Mapping[str, AnyJson], at: str) -> str:
    if "type" not in found:
        raise DefinitionError("A node needs a `type`.", code="missing_key", path=f"{at}/type")
    kind = _text(found["type"], f"{at}/type")
    if kind not in NODE_TYPES:
        raise _unknown(kind, NODE_TYPES, what="type of node", code="unknown_type", at=f"{at}/type")
    return kind


def _trait(found: Mapping[str, AnyJson], at: str) -> tuple[Path, Test]:
    _check_keys(found, at, required=("type", "trait", "op"), optional=("value",))
    return _path(found["trait"], f"{at}/trait"), _test(found, at, allowed=frozenset(Op))


def _consent(found: Mapping[str, AnyJson], at: str) -> Consent:
    _check_keys(found, at, required=("type", "purpose", "state"))
    state = _choice(Standing, found["state"], f"{at}/state", what="state of consent", code="unknown_state")
    return Consent(_name(found["purpose"], f"{at}/purpose"), state)


def _event(found: Mapping[str, AnyJson], at: str) -> Event:
    _check_keys(
        found,
        at,
        required=("type", "event"),
        optional=("where", "measure", "of", "op", "value", "window", "span"),
    )
    measure = _choice(Measure, found.get("measure", "count"), f"{at}/measure", what="measure", code="unknown_measure")
    test = _measure_test(found, measure, at)
    return Event(
        events=_event_names(found["event"], f"{at}/event"),
        where=_wheres(found.get("where", []), f"{at}/where"),
        measure=measure,
        of=_of(found, measure, at),
        test=test,
        window=_optional_window(found, at),
        span=_span(found["span"], measure, test, at) if found.get("span") is not None else None,
    )


def _span(raw: object, measure: Measure, test: Test, at: str) -> Duration:
    """Of a count or sum, "at least" or "more than": for less, a stretch without any event would be the answer."""
    span = _duration(raw, f"{at}/span")
    if measure not in SPAN_MEASURES:
        message = f"`span` goes with count and sum, not with {measure}."
        raise DefinitionError(message, code="span_not_allowed", path=f"{at}/span")
    if test.op not in SPAN_OPS:
        message = f"With `span` the operator is one of {', '.join(sorted(SPAN_OPS))}."
        raise DefinitionError(message, code="operator_not_allowed", path=f"{at}/op")
    return span


def _sequence(found: Mapping[str, AnyJson], at: str) -> Sequence:
    _check_keys(found, at, required=("type", "steps"), optional=("window",))
    raw = _list(found["steps"], f"{at}/steps", most=limits.MAX_STEPS, code="too_many_steps")
    if len(raw) < 2:
        raise DefinitionError("A sequence has two steps at least.", code="too_few_steps", path=f"{at}/steps")
    stages = tuple(_stage(step, f"{at}/steps/{place}", first=not place) for place, step in enumerate(raw))
    return Sequence(stages, _optional_window(found, at))


def _stage(raw: object, at: str, *, first: bool) -> Stage:
    found = _object(raw, at)
    _check_keys(found, at, required=("event",), optional=("where", "within", "absent", "same"))
    for key in ("within", "absent", "same"):
        if first and found.get(key):
            message = f"The first step has nothing before it, so it takes no `{key}`."
            raise DefinitionError(message, code="not_in_the_first_step", path=f"{at}/{key}")
    return Stage(
        events=_event_names(found["event"], f"{at}/event"),
        where=_wheres(found.get("where", []), f"{at}/where"),
        within=_duration(found["within"], f"{at}/within") if found.get("within") is not None else None,
        absent=_boolean(found.get("absent", False), f"{at}/absent"),
        same=_same(found["same"], f"{at}/same") if found.get("same") is not None else None,
    )


def _boolean(raw: object, at: str) -> bool:
    if not isinstance(raw, bool):
        raise _wrong_value(raw, at, "true or false")
    return raw


def _same(raw: object, at: str) -> Path:
    path = _path(raw, at)
    if not path.single:
        message = "The same value is one value, so its path cannot go through a list."
        raise DefinitionError(message, code="invalid_path", path=at)
    return path


def _optional_window(found: Mapping[str, AnyJson], at: str) -> Window | None:
    return _window(found["window"], f"{at}/window") if found.get("window") is not None else None


def _event_names(raw: object, at: str) -> tuple[str, ...]:
    if not isinstance(raw, list):
        return (_name(raw, at),)
    names = _list(raw, at, most=limits.MAX_EVENT_NAMES)
    if not names:
        raise DefinitionError("Name at least one event.", code="empty", path=at)
    read = (_name(name, f"{at}/{place}") for place, name in enumerate(names))
    return tuple(dict.fromkeys(read))


def _wheres(raw: object, at: str) -> tuple[Where, ...]:
    wheres = _list(raw, at, most=limits.MAX_WHERE)
    return tuple(_where(_object(where, f"{at}/{place}"), f"{at}/{place}") for place, where in enumerate(wheres))


def _where(found: Mapping[str, AnyJson], at: str) -> Where:
    _check_keys(found, at, required=("property", "op"), optional=("value",))
    return Where(_path(found["property"], f"{at}/property"), _test(found, at, allowed=frozenset(Op)))


def _of(found: Mapping[str, AnyJson], measure: Measure, at: str) -> Path | None:
    if measure in {Measure.COUNT, Measure.DAYS}:
        if found.get("of") is not None:
            message = f"`{measure}` counts events, so it takes no `of`."
            raise DefinitionError(message, code="of_not_allowed", path=f"{at}/of")
        return None
    if found.get("of") is None:
        message = f"Say with `of` which property to take the {measure} of."
        raise DefinitionError(message, code="missing_key", path=f"{at}/of")
    path = _path(found["of"], f"{at}/of")
    if measure not in NUMERIC_MEASURES and not path.single:
        message = f"The {measure} value is one value, so its path cannot go through a list."
        raise DefinitionError(message, code="of_not_allowed", path=f"{at}/of")
    return path


def _measure_test(found: Mapping[str, AnyJson], measure: Measure, at: str) -> Test:
    """`{"type": "event", "event": "X"}` alone means that it happened at least once."""
    if measure is Measure.COUNT and "op" not in found and "value" not in found:
        return Test(Op.GTE, 1)
    if "op" not in found:
        raise DefinitionError("This condition needs an operator `op`.", code="missing_key", path=f"{at}/op")
    if measure not in NUMERIC_MEASURES:
        return _test(found, at, allowed=FIRST_LAST_OPS)
    test = _test(found, at, allowed=NUMBER_OPS)
    if test.op in {Op.EQ, Op.NEQ}:
        _number(test.value, f"{at}/value")
    return test


# --- Operators and what they compare to ---------------------------------------------------------------------


def _test(found: Mapping[str, AnyJson], at: str, *, allowed: Collection[Op]) -> Test:
    op = _choice(Op, found["op"], f"{at}/op", what="operator", code="unknown_operator")
    if op not in allowed:
        message = f"`{op}` cannot be used here; use one of {', '.join(sorted(allowed))}."
        raise DefinitionError(message, code="operator_not_allowed", path=f"{at}/op")
    reader = _READERS[op]
    value_at = f"{at}/value"
    if reader is None:
        if found.get("value") is not None:
            raise DefinitionError(f"`{op}` takes no value.", code="value_not_allowed", path=value_at)
        return Test(op)
    if "value" not in found:
        raise DefinitionError(f"`{op}` needs a `value`.", code="missing_key", path=value_at)
    return Test(op, reader(found["value"], value_at))


def _scalar(raw: object, at: str) -> Scalar:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        return _text(raw, at)
    if isinstance(raw, int | float):
        return _number(raw, at)
    if raw is None:
        message = "null is no value; use `exists` or `not_exists`."
        raise DefinitionError(message, code="wrong_value_type", path=at)
    raise _wrong_value(raw, at, "a text, a number, true or false")


def _scalars(raw: object, at: str) -> tuple[Scalar, ...]:
    if not isinstance(raw, list):
        raise _wrong_value(raw, at, "a list of values")
    values = _list(raw, at, most=limits.MAX_LIST)
    if not values:
        raise DefinitionError("List at least one value.", code="empty", path=at)
    return tuple(_scalar(value, f"{at}/{place}") for place, value in enumerate(values))


def _number(raw: object, at: str) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _wrong_value(raw, at, "a number")
    if isinstance(raw, float) and not math.isfinite(raw):
        raise DefinitionError("A number must be finite.", code="not_finite", path=at)
    if abs(raw) > limits.MAX_NUMBER:
        raise DefinitionError("A number may have 18 digits at most.", code="number_too_large", path=at)
    return raw


def _range(raw: object, at: str) -> tuple[Scalar, ...]:
    if not isinstance(raw, list) or len(raw) != 2:
        raise _wrong_value(raw, at, "a list of two numbers, the lower one first")
    low, high = _number(raw[0], f"{at}/0"), _number(raw[1], f"{at}/1")
    if low > high:
        raise DefinitionError("The lower number comes first.", code="empty_range", path=at)
    return (low, high)


def _search_text(raw: object, at: str) -> str:
    text = _text(raw, at, code="wrong_value_type")
    if not text:
        raise DefinitionError("Give a text to look for.", code="empty", path=at)
    return text


def _moment(raw: object, at: str) -> Moment:
    text = _text(raw, at, code="wrong_value_type")
    if not times.is_iso(text) or not _in_reach(text):
        message = f"{_shown(text)} is no date: write 2026-03-01 or 2026-03-01T09:30:00Z."
        raise DefinitionError(message, code="invalid_timestamp", path=at)
    return Moment(text)


def _in_reach(text: str) -> bool:
    """Years that still exist in Python after moving to another time zone."""
    return "0002" <= text[:4] <= "9998"


def _duration(raw: object, at: str) -> Duration:
    duration = _duration_or_zero(raw, at)
    if not duration.amount:
        raise DefinitionError("A duration must be longer than nothing.", code="invalid_duration", path=at)
    return duration


def _duration_or_zero(raw: object, at: str) -> Duration:
    text = _text(raw, at, code="wrong_value_type")
    found = _DURATION.fullmatch(text)
    if not found:
        message = f"{_shown(text)} is no duration: write 45s, 10m, 24h, 30d or 8w."
        raise DefinitionError(message, code="invalid_duration", path=at)
    amount, unit = int(found[1]), found[2]
    if amount * times.UNITS[unit].total_seconds() > limits.MAX_DURATION.total_seconds():
        raise DefinitionError("A duration may be a hundred years at most.", code="invalid_duration", path=at)
    return Duration(amount, unit)


def _whole_days(raw: object, at: str) -> Duration:
    duration = _duration_or_zero(raw, at)
    if duration.delta % timedelta(days=1):
        message = "An anniversary is a day: give whole days or weeks, 0d for today."
        raise DefinitionError(message, code="invalid_duration", path=at)
    if duration.delta >= timedelta(days=365):
        message = "An anniversary is always less than 365 days away."
        raise DefinitionError(message, code="invalid_duration", path=at)
    return duration


_READERS: dict[Op, Callable[[object, str], Value] | None] = {
    Op.EQ: _scalar,
    Op.NEQ: _scalar,
    Op.IN: _scalars,
    Op.NOT_IN: _scalars,
    Op.GT: _number,
    Op.GTE: _number,
    Op.LT: _number,
    Op.LTE: _number,
    Op.BETWEEN: _range,
    Op.CONTAINS: _search_text,
    Op.NOT_CONTAINS: _search_text,
    Op.STARTS_WITH: _search_text,
    Op.ENDS_WITH: _search_text,
    Op.EXISTS: None,
    Op.NOT_EXISTS: None,
    Op.BEFORE: _moment,
    Op.AFTER: _moment,
    Op.WITHIN_LAST: _duration,
    Op.WITHIN_NEXT: _duration,
    Op.IS_TRUE: None,
    Op.IS_FALSE: None,
    Op.ANNIVERSARY_WITHIN: _whole_days,
}


# --- Windows ------------------------------------------------------------------------------------------------


def _window(raw: object, at: str) -> Window:
    found = _object(raw, at)
    kinds = {"last", "after", "before", "calendar"} & found.keys()
    if "last" in kinds:
        _check_keys(found, at, required=("last",))
        return Last(_duration(found["last"], f"{at}/last"))
    if "calendar" in kinds:
        _check_keys(found, at, required=("calendar",), optional=("tz",))
        return _calendar(found, at)
    _check_keys(found, at, optional=("last", "after", "before", "calendar", "tz"))
    if not kinds:
        message = "A window has `last`, `after` and `before`, or `calendar`."
        raise DefinitionError(message, code="invalid_window", path=at)
    return _between(found, at)


def _calendar(found: Mapping[str, AnyJson], at: str) -> Calendar:
    period = _choice(Period, found["calendar"], f"{at}/calendar", what="calendar period", code="unknown_period")
    zone = _zone(found["tz"], f"{at}/tz") if found.get("tz") is not None else None
    return Calendar(period, zone)


def _between(found: Mapping[str, AnyJson], at: str) -> Between:
    _check_keys(found, at, optional=("after", "before"))
    after = _moment(found["after"], f"{at}/after") if found.get("after") is not None else None
    before = _moment(found["before"], f"{at}/before") if found.get("before") is not None else None
    if after is None and before is None:
        raise DefinitionError("Give `after`, `before` or both.", code="invalid_window", path=at)
    if after and before and after.instant("UTC") >= before.instant("UTC"):
        raise DefinitionError("`after` must be earlier than `before`.", code="invalid_window", path=at)
    return Between(after, before)


def _zone(raw: object, at: str) -> str:
    name = _name(raw, at)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f"{_shown(name)} is no time zone: write a name such as Europe/Berlin."
        raise DefinitionError(message, code="unknown_time_zone", path=at) from None
    return name


# --- Words --------------------------------------------------------------------------------------------------


def _object(raw: object, at: str) -> Mapping[str, AnyJson]:
    if not isinstance(raw, dict):
        raise DefinitionError(f"This must be an object, not {_kind(raw)}.", code="not_an_object", path=at)
    return raw


def _list(raw: object, at: str, *, most: int, code: str = "too_many_values") -> list[AnyJson]:
    if not isinstance(raw, list):
        raise DefinitionError(f"This must be a list, not {_kind(raw)}.", code="not_a_list", path=at)
    if len(raw) > most:
        raise DefinitionError(f"This list may have {most:,} entries at most.", code=code, path=at)
    return raw


def _text(raw: object, at: str, *, most: int = limits.MAX_TEXT, code: str = "not_a_text") -> str:
    if not isinstance(raw, str):
        raise DefinitionError(f"This must be a text, not {_kind(raw)}.", code=code, path=at)
    if len(raw) > most:
        raise DefinitionError(f"This text may have {most:,} characters at most.", code="too_long", path=at)
    if _SURROGATE_OR_NUL.search(raw):
        message = "This text has a NUL or half of a surrogate pair in it."
        raise DefinitionError(message, code="invalid_character", path=at)
    return raw


def _name(raw: object, at: str) -> str:
    name = _text(raw, at, most=limits.MAX_NAME)
    if not name.strip():
        raise DefinitionError("This must not be empty.", code="empty", path=at)
    return name


def _path(raw: object, at: str) -> Path:
    """`a.b[].c`; a part is the key of an object, `[]` behind it means any element of the list there."""
    parts = _name(raw, at).split(".")
    if len(parts) > limits.MAX_PATH_STEPS:
        message = f"A path may have {limits.MAX_PATH_STEPS} parts at most."
        raise DefinitionError(message, code="invalid_path", path=at)
    steps = tuple(Step(part.removesuffix("[]"), part.endswith("[]")) for part in parts)
    if not all(step.key and "[]" not in step.key for step in steps):
        message = f"{_shown(str(raw))} is no path: write address.city or products[].category."
        raise DefinitionError(message, code="invalid_path", path=at)
    return Path(steps)


def _choice(choices: type[Choice], raw: object, at: str, *, what: str, code: str) -> Choice:
    text = _text(raw, at)
    try:
        return choices(text)
    except ValueError:
        raise _unknown(text, [choice.value for choice in choices], what=what, code=code, at=at) from None


def _check_keys(
    found: Mapping[str, AnyJson], at: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> None:
    known = (*required, *optional)
    for key in found:
        if key not in known:
            raise _unknown(str(key), known, what="key", code="unknown_key", at=f"{at}/{_pointer(str(key))}")
    for key in required:
        if key not in found:
            raise DefinitionError(f"`{key}` is missing.", code="missing_key", path=f"{at}/{key}")


def _unknown(text: str, known: Collection[str], *, what: str, code: str, at: str) -> DefinitionError:
    near = difflib.get_close_matches(text[: limits.MAX_NAME], known, n=1, cutoff=_SUGGESTION_CUTOFF)
    hint = f"Did you mean `{near[0]}`?" if near else f"Use one of {', '.join(known)}."
    return DefinitionError(f"{_shown(text)} is no {what} that is known here. {hint}", code=code, path=at)


def _wrong_value(raw: object, at: str, wanted: str) -> DefinitionError:
    return DefinitionError(f"This must be {wanted}, not {_kind(raw)}.", code="wrong_value_type", path=at)


def _kind(raw: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(raw), "a number")


def _shown(text: str) -> str:
    """A stranger's text inside our message: short, and safe to encode."""
    clean = _SURROGATE_OR_NUL.sub("?", text)
    return f"“{clean[:40]}…”" if len(clean) > 40 else f"“{clean}”"


def _pointer(key: str) -> str:
    """RFC 6901."""
    return _SURROGATE_OR_NUL.sub("?", key)[: limits.MAX_NAME].replace("~", "~0").replace("/", "~1")
