"""A definition in English, made from the nodes and not from the JSON, so that one meaning has one sentence."""

from typing import assert_never

from segments.ast import (
    NEGATIVE,
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
    Period,
    Scalar,
    Sequence,
    Stage,
    Standing,
    Test,
    Trait,
    Where,
    Window,
)

UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
COMPARED = {
    Op.EQ: "is",
    Op.NEQ: "is not",
    Op.IN: "is one of",
    Op.NOT_IN: "is none of",
    Op.GT: "is more than",
    Op.GTE: "is at least",
    Op.LT: "is less than",
    Op.LTE: "is at most",
    Op.BETWEEN: "is between",
    Op.CONTAINS: "contains",
    Op.NOT_CONTAINS: "does not contain",
    Op.STARTS_WITH: "starts with",
    Op.ENDS_WITH: "ends with",
    Op.EXISTS: "is known",
    Op.NOT_EXISTS: "is not known",
    Op.BEFORE: "is before",
    Op.AFTER: "is after",
    Op.WITHIN_LAST: "is within the last",
    Op.WITHIN_NEXT: "is within the next",
    Op.IS_TRUE: "is true",
    Op.IS_FALSE: "is false",
    Op.ANNIVERSARY_WITHIN: "has its anniversary within",
}
MEASURED = {
    Measure.SUM: "sum",
    Measure.AVG: "average",
    Measure.MIN: "lowest",
    Measure.MAX: "highest",
    Measure.DISTINCT: "number of different values",
    Measure.FIRST: "first",
    Measure.LAST: "last",
}
PERIODS = {
    Period.TODAY: "today",
    Period.YESTERDAY: "yesterday",
    Period.THIS_WEEK: "this week",
    Period.LAST_WEEK: "last week",
    Period.THIS_MONTH: "this month",
    Period.LAST_MONTH: "last month",
}
COUNTED = {
    Op.EQ: "exactly",
    Op.NEQ: "not exactly",
    Op.GT: "more than",
    Op.GTE: "at least",
    Op.LT: "fewer than",
    Op.LTE: "at most",
    Op.BETWEEN: "between",
}
CHOSEN = {
    Standing.GRANTED: "has agreed to",
    Standing.DENIED: "has refused",
    Standing.UNKNOWN: "has no choice that stands about",
}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NO_QUOTES = str.maketrans("", "", "“”")
_LISTED = 5
_OFTEN = {1: "once", 2: "twice"}


def sentence(node: Node) -> str:
    """The whole definition: a capital letter, no full stop."""
    text = phrase(node)
    return text[:1].upper() + text[1:]


def phrase(node: Node) -> str:  # noqa: PLR0911 - one return per kind of node
    match node:
        case All(of):
            return " and ".join(_grouped(part) for part in of)
        case Any(of):
            return " or ".join(_grouped(part) for part in of)
        case Not(Event() as event) if _plain_occurrence(event):
            return f"did not do {_events(event)}{_window(event.window)}"
        case Not(InSegment(slug)):
            return f"is not in the segment {slug}"
        case Not(of):
            return f"not ({phrase(of)})"
        case Trait() | Account() | Consent() | InSegment() | Given():
            return _being(node)
        case Event():
            return _event(node)
        case Sequence():
            return _sequence(node)
        case _:
            assert_never(node)


def _being(node: Trait | Account | Consent | InSegment | Given) -> str:
    """What they are, not what they did."""
    match node:
        case Trait(trait, test):
            return f"{_path(trait.text)} {_test(test)}"
        case Account(trait, test) if test.op in NEGATIVE:
            return f"{_path(trait.text)} of no account {_test(Test(NEGATIVE[test.op], test.value))}"
        case Account(trait, test):
            return f"{_path(trait.text)} of an account {_test(test)}"
        case Consent(purpose, state):
            return f"{CHOSEN[state]} {purpose}"
        case InSegment(slug):
            return f"is in the segment {slug}"
        case Given():
            return "was put here by hand, by upload or by the API"
        case _:
            assert_never(node)


def _grouped(node: Node) -> str:
    text = phrase(node)
    return f"({text})" if isinstance(node, All | Any) and len(node.of) > 1 else text


def _event(event: Event) -> str:
    within = f" within {_length(event.span)}" if event.span else ""
    window = within + _window(event.window)
    if event.measure is Measure.COUNT:
        return f"{_count(event)}{window}"
    if event.measure is Measure.DAYS:
        return f"did {_events(event)} on {_amount(event.test, 'day')}{window}"
    of = _path(event.of.text) if event.of else ""
    return f"{MEASURED[event.measure]} of {of} of {_events(event)} {_test(event.test)}{window}"


def _count(event: Event) -> str:
    events, test = _events(event), event.test
    if _plain_occurrence(event):
        return f"did {events}"
    if (test.op, test.value) in {(Op.EQ, 0), (Op.LT, 1), (Op.LTE, 0)}:
        return f"did not do {events}"
    return f"did {events} {_times(test)}"


def _sequence(node: Sequence) -> str:
    first, *others = node.stages
    return f"did {_events(first)}{_window(node.window)}{''.join(map(_then, others))}"


def _then(stage: Stage) -> str:
    what = f", then not {_events(stage)}" if stage.absent else f", then {_events(stage)}"
    same = f" with the same {_path(stage.same.text)}" if stage.same else ""
    return what + same + (f" within {_length(stage.within)}" if stage.within else "")


def _plain_occurrence(event: Event) -> bool:
    at_least_once = (event.test.op, event.test.value) in {(Op.GTE, 1), (Op.GT, 0)}
    return event.measure is Measure.COUNT and at_least_once


def _times(test: Test) -> str:
    often = _OFTEN.get(test.value) if isinstance(test.value, int) else None
    return f"{COUNTED[test.op]} {often}" if often else _amount(test)


def _amount(test: Test, noun: str = "time") -> str:
    if isinstance(test.value, tuple):
        low, high = test.value
        return f"{COUNTED[test.op]} {_scalar(low)} and {_scalar(high)} {noun}s"
    return f"{COUNTED[test.op]} {_value(test)} {noun}{'' if test.value == 1 else 's'}"


def _events(event: Event | Stage) -> str:
    names = " or ".join(event.events[:_LISTED]) + _more(len(event.events) - _LISTED)
    return names + (f" where {' and '.join(map(_where, event.where))}" if event.where else "")


def _where(where: Where) -> str:
    if where.property.of_time == "weekday":
        return f"the day of the week {_test(_named_days(where.test)).translate(_NO_QUOTES)}"
    if where.property.of_time == "hour":
        return f"the hour of the day {_test(where.test)}"
    return f"{_path(where.property.text)} {_test(where.test)}"


def _named_days(test: Test) -> Test:
    """Monday for 1, where every number is a day; else the test as it is."""
    values = test.value if isinstance(test.value, tuple) else (test.value,)
    names = tuple(WEEKDAYS[value - 1] for value in values if isinstance(value, int) and 1 <= value <= len(WEEKDAYS))
    if len(names) != len(values):
        return test
    return Test(test.op, names if isinstance(test.value, tuple) else names[0])


def _test(test: Test) -> str:
    if test.op is Op.ANNIVERSARY_WITHIN and isinstance(test.value, Duration) and not test.value.amount:
        return "has its anniversary today"
    value = _value(test)
    return f"{COMPARED[test.op]} {value}" if value else COMPARED[test.op]


def _value(test: Test) -> str:
    match test.value:
        case None:
            return ""
        case tuple() as values:
            if test.op is Op.BETWEEN:
                return " and ".join(map(_scalar, values))
            return ", ".join(map(_scalar, values[:_LISTED])) + _more(len(values) - _LISTED)
        case Duration() as duration:
            return _length(duration) if test.op is Op.ANNIVERSARY_WITHIN else _duration(duration)
        case Moment(text):
            return text
        case str() | int() | float() as value:
            return _scalar(value)
        case _:
            assert_never(test.value)


def _scalar(value: Scalar) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"“{value}”"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.15g}"
        case _:
            assert_never(value)


def _length(duration: Duration) -> str:
    return f"1 {UNITS[duration.unit]}" if duration.amount == 1 else _duration(duration)


def _duration(duration: Duration) -> str:
    """As it stands behind "the last"."""
    unit = UNITS[duration.unit]
    return unit if duration.amount == 1 else f"{duration.amount:,} {unit}s"


def _window(window: Window | None) -> str:
    match window:
        case None:
            return ""
        case Last(duration):
            return f" in the last {_duration(duration)}"
        case Calendar(period, tz):
            return f" {PERIODS[period]}" + (f" ({tz})" if tz else "")
        case Between(None, Moment(before)):
            return f" before {before}"
        case Between(Moment(after), None):
            return f" since {after}"
        case Between(Moment(after), Moment(before)):
            return f" from {after} until {before}"
        case _:
            raise AssertionError(window)


def _path(text: str) -> str:
    return text.replace("[].", " → ").replace("[]", "").replace(".", " → ")


def _more(others: int) -> str:
    return f" and {others:,} more" if others > 0 else ""


# For others who put events in words.
events_phrase, window_phrase, length_phrase, path_phrase = _events, _window, _length, _path
