"""Tests of one JSON value as SQL. They read alike for traits, properties and the first or last of a property.

A test yields true, false or NULL, and NULL means false; whatever the value is, it never raises: a cast stands
only behind a CASE that has seen that it will succeed.
"""

import json
from calendar import isleap
from datetime import date, timedelta
from typing import assert_never

from segments.ast import NEGATIVE, Duration, Moment, Op, Path, Test, Value
from segments.ast.times import HAS_OFFSET, ISO
from segments.plan import RELATIVE, Clock
from segments.sql import Sql, earliest, join, sql

TEXT_SEARCH = {
    Op.CONTAINS: "strpos(lower({text}), lower({value})) > 0",
    Op.STARTS_WITH: "starts_with(lower({text}), lower({value}))",
    Op.ENDS_WITH: "right(lower({text}), length(lower({value}))) = lower({value})",
}
COMPARISONS = {Op.GT: ">", Op.GTE: ">=", Op.LT: "<", Op.LTE: "<="}


def path_holds(path: Path, test: Test, base: Sql, clock: Clock) -> Sql:
    """Whether the value at `path`, or any of them, passes; a negative test is the complement of its counterpart."""
    if test.op in NEGATIVE:
        counterpart = Test(NEGATIVE[test.op], test.value)
        return sql("({positive}) IS NOT TRUE", positive=path_holds(path, counterpart, base, clock))
    if path.single:
        return value_holds(test, path_value(path, base), clock)
    source, value = elements(path, base)
    return sql("EXISTS (SELECT FROM {source} WHERE {holds})", source=source, holds=value_holds(test, value, clock))


def path_edge(path: Path, test: Test, base: Sql, clock: Clock) -> Sql | None:
    """The next instant at which `path_holds` can change by time alone; None where it never does."""
    if test.op not in RELATIVE:
        return None
    if path.single:
        return value_edge(test, path_value(path, base), clock)
    source, value = elements(path, base)
    return sql("(SELECT min({edge}) FROM {source})", edge=value_edge(test, value, clock), source=source)


def path_value(path: Path, base: Sql) -> Sql:
    """The JSON value at a path without lists."""
    steps = (sql("{key}::text", key=step.key) for step in path.steps)
    return sql("({base} -> {steps})", base=base, steps=join(" -> ", steps))


def elements(path: Path, base: Sql) -> tuple[Sql, Sql]:
    """A FROM list with a row per value at a path through lists, and the value in it."""
    sources: list[Sql] = []
    value = base
    for step in path.steps:
        value = sql("({value} -> {key}::text)", value=value, key=step.key)
        if step.each:
            name = f"item{len(sources)}"
            items = sql("CASE WHEN jsonb_typeof({value}) = 'array' THEN {value} ELSE '[]' END", value=value)
            sources.append(sql(f"jsonb_array_elements({{items}}) AS {name}(value)", items=items))
            value = Sql(f"{name}.value")
    return join(" CROSS JOIN LATERAL ", sources), value


def value_holds(test: Test, value: Sql, clock: Clock) -> Sql:  # noqa: PLR0911 - one return per kind of operator
    """A positive test of one JSON value."""
    match test.op:
        case Op.EQ:
            return sql("{value} = {wanted}", value=value, wanted=_json(test.value))
        case Op.IN if isinstance(test.value, tuple):
            wanted = [json.dumps(each) for each in test.value]
            return sql("{value} = ANY ({wanted}::jsonb[])", value=value, wanted=wanted)
        case Op.IS_TRUE | Op.IS_FALSE:
            return sql("{value} = {wanted}", value=value, wanted=_json(test.op is Op.IS_TRUE))
        case Op.EXISTS:
            return sql("jsonb_typeof({value}) <> 'null'", value=value)
        case Op.GT | Op.GTE | Op.LT | Op.LTE | Op.BETWEEN:
            return sql(
                "(jsonb_typeof({value}) = 'number' AND {compared})", value=value, compared=_compared(test, value)
            )
        case Op.CONTAINS | Op.STARTS_WITH | Op.ENDS_WITH:
            found = sql(TEXT_SEARCH[test.op], text=_text(value), value=test.value)
            return sql("(jsonb_typeof({value}) = 'string' AND {found})", value=value, found=found)
        case Op.BEFORE | Op.AFTER | Op.WITHIN_LAST | Op.WITHIN_NEXT | Op.ANNIVERSARY_WITHIN:
            return when_date(value, _date_holds(test, clock), clock)
        case _:
            raise AssertionError(test.op)


def value_edge(test: Test, value: Sql, clock: Clock) -> Sql:
    """When a relative test of this value will next change its answer; NULL for never."""
    return when_date(value, _date_edge(test, clock), clock)


def _compared(test: Test, value: Sql) -> Sql:
    """JSON numbers compare without a cast, exactly and whatever their size."""
    if isinstance(test.value, tuple):
        low, high = test.value
        return sql("{value} BETWEEN {low} AND {high}", value=value, low=_json(low), high=_json(high))
    return sql(f"{{value}} {COMPARISONS[test.op]} {{wanted}}", value=value, wanted=_json(test.value))


def _date_holds(test: Test, clock: Clock) -> Sql:
    """Over `d.at`, the instant that the value names."""
    match test.value:
        case Moment() as moment:
            sign = "<" if test.op is Op.BEFORE else ">"
            return sql(f"d.at {sign} {{moment}}", moment=moment.instant(clock.zone))
        case Duration() as duration if test.op is Op.ANNIVERSARY_WITHIN:
            days = days_of_year(clock.today, duration.delta.days)
            return sql("{day_of_year} = ANY ({days}::int[])", day_of_year=day_of_year(clock), days=days)
        case Duration() as duration if test.op is Op.WITHIN_LAST:
            return sql("(d.at > {oldest} AND d.at <= {now})", oldest=clock.now - duration.delta, now=clock.now)
        case Duration() as duration:
            return sql("(d.at > {now} AND d.at <= {latest})", now=clock.now, latest=clock.now + duration.delta)
        case _:
            raise AssertionError(test)


def _date_edge(test: Test, clock: Clock) -> Sql:
    if not isinstance(test.value, Duration):
        raise TypeError(test)
    if test.op is Op.ANNIVERSARY_WITHIN:
        return _anniversary_edge(test.value, clock)
    length = test.value.delta
    other = sql("d.at + {length}", length=length if test.op is Op.WITHIN_LAST else -length)
    edges = (
        sql("CASE WHEN {edge} > {now} THEN {edge} END", edge=edge, now=clock.now) for edge in (Sql("d.at"), other)
    )
    return earliest(edges) or Sql("NULL")


def days_of_year(first: date, further: int) -> list[int]:
    """The days from `first` on as 1231 for 31 December; in a year without 29 February it is kept on the 28th."""
    days = [first + timedelta(days=number) for number in range(further + 1)]
    numbers = {day.month * 100 + day.day for day in days}
    if any((day.month, day.day) == (2, 28) and not isleap(day.year) for day in days):
        numbers.add(229)
    return sorted(numbers)


def day_of_year(clock: Clock) -> Sql:
    day = sql("(d.at AT TIME ZONE {zone})", zone=clock.zone)
    return sql("(extract(month FROM {day}) * 100 + extract(day FROM {day}))::int", day=day)


def _anniversary_edge(within: Duration, clock: Clock) -> Sql:
    """The start of the first day that is near enough, or of the day after the anniversary."""
    return sql(
        "(SELECT (CASE WHEN n.next <= {latest}::date THEN n.next + 1 ELSE n.next - {days}::int END)::timestamp"
        " AT TIME ZONE {zone} FROM ("
        "SELECT CASE WHEN y.this_year >= {today}::date THEN y.this_year ELSE y.next_year END AS next FROM ("
        "SELECT {this_year} AS this_year, {next_year} AS next_year FROM ("
        "SELECT (d.at AT TIME ZONE {zone})::date AS day OFFSET 0"
        ") AS born OFFSET 0) AS y OFFSET 0) AS n)",
        latest=clock.today + within.delta,
        days=within.delta.days,
        zone=clock.zone,
        today=clock.today,
        this_year=_in_year(clock.today.year),
        next_year=_in_year(clock.today.year + 1),
    )


def _in_year(year: int) -> Sql:
    return sql("(born.day + make_interval(years => {year} - extract(year FROM born.day)::int))::date", year=year)


def when_date(value: Sql, then: Sql, clock: Clock) -> Sql:
    """`then` over `d.at`, read once: OFFSET 0 keeps PostgreSQL from copying the reading to each place of use."""
    return sql(
        "(SELECT {then} FROM (SELECT CASE WHEN jsonb_typeof({value}) = 'string' AND {text} ~ {iso} THEN"
        " CASE WHEN {text} ~ {offset} THEN {text}::timestamptz ELSE {text}::timestamp AT TIME ZONE {zone} END"
        " END AS at OFFSET 0) AS d)",
        then=then,
        value=value,
        text=_text(value),
        iso=ISO,
        offset=HAS_OFFSET,
        zone=clock.zone,
    )


def _text(value: Sql) -> Sql:
    return sql("({value} #>> '{{}}')", value=value)


def _json(value: Value) -> Sql:
    match value:
        case str() | bool() | int() | float():
            return sql("{value}::jsonb", value=json.dumps(value))
        case tuple() | Moment() | Duration() | None:
            raise AssertionError(value)
        case _:
            assert_never(value)
