"""At which instants a test of one JSON value holds. Only tests relative to now differ between instants."""

import json
from datetime import timedelta

from segments.ast import Duration, Op, Path, Test
from segments.insight.trend.frame import Frame
from segments.plan import RELATIVE, Clock
from segments.predicates import day_of_year, days_of_year, elements, path_holds, path_value, when_date
from segments.sql import Sql, sql


def path_bits(path: Path, test: Test, base: Sql, frame: Frame) -> Sql:
    """Of the value at a path, or of any of them."""
    if test.op not in RELATIVE:
        return frame.always(path_holds(path, test, base, frame.clock))
    if path.single:
        return sql("coalesce({bits}, {zeros})", bits=_relative(test, path_value(path, base), frame), zeros=frame.zeros)
    source, value = elements(path, base)
    return sql(
        "coalesce((SELECT bit_or({bits}) FROM {source}), {zeros})",
        bits=_relative(test, value, frame),
        source=source,
        zeros=frame.zeros,
    )


def _relative(test: Test, value: Sql, frame: Frame) -> Sql:
    """NULL where the value is no date."""
    if not isinstance(test.value, Duration):
        raise TypeError(test)
    length, moment = test.value.delta, Sql("d.at")
    match test.op:
        case Op.WITHIN_LAST:
            then = frame.stretch(frame.first_at(moment), frame.first_at(sql("d.at + {length}", length=length)))
        case Op.WITHIN_NEXT:
            then = frame.stretch(frame.first_at(sql("d.at - {length}", length=length)), frame.first_at(moment))
        case _:
            then = _anniversary(length, frame)
    known = sql("CASE WHEN d.at IS NOT NULL THEN {then} END", then=then)
    return when_date(value, known, frame.clock)


def _anniversary(within: timedelta, frame: Frame) -> Sql:
    """By the day of the year: a list of the instants for each day that is near enough at any of them."""
    near: dict[int, set[int]] = {}
    for number, instant in enumerate(frame.instants):
        for day in days_of_year(Clock(instant, frame.zone).today, within.days):
            near.setdefault(day, set()).add(number)
    known = {str(day): frame.bits(numbers) for day, numbers in near.items()}
    return sql(
        f"coalesce(({{known}}::jsonb ->> {{day}}::text)::bit({frame.size}), {{zeros}})",
        known=json.dumps(known),
        day=day_of_year(frame.clock),
        zeros=frame.zeros,
    )
