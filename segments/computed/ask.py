"""The value of a computed trait as SQL, for some profiles at once, with the instant at which time alone changes it.

`value` is JSON, or NULL where nothing follows from nothing. Events are read through the streams of the segment
language, so windows, tests and future events mean the same here and there.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from segments.computed.definition import Definition, Lifecycle, Measured, Rfm, Take, Tiers
from segments.engine import load_dictionary, plan_at
from segments.plan import Clock
from segments.plan import Measured as Planned
from segments.predicates import path_value
from segments.sql import Sql, conjunction, earliest, join, sql
from segments.streams import Stream

Bounds = Mapping[str, Sequence[float]]
"""Of `recency` (seconds), `frequency` and `monetary`: the four numbers between the five quintiles, rising."""

PARTS = ("recency", "frequency", "monetary")
MINE = Sql("e.profile_id = i.id")
_TRAITS = Sql("p.traits")
_STAMP = "to_jsonb(to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))"
_AVERAGE_PLACES = 6


def ask(definition: Definition, *, now: datetime, bounds: Bounds | None) -> Sql:
    """A LATERAL subquery `(value, due)` over `i(id)` and `profile AS p`."""
    match definition:
        case Measured(Take.MOST_FREQUENT):
            return _most_frequent(_stream(definition.events, now))
        case Measured(take):
            return _measured(take, _stream(definition.events, now))
        case Rfm():
            return _rfm(_stream(definition.events, now), bounds or {})
        case Lifecycle():
            return _lifecycle(definition, _stream(definition.events, now))
        case Tiers():
            return _tiers(definition)
        case _:
            assert_never(definition)


def ask_bounds(definition: Rfm, *, now: datetime) -> Sql:
    """One row: the quintile bounds of recency, frequency and monetary value of everybody who has such an event."""
    stream = _stream(definition.events, now)
    each = sql(
        "SELECT floor(extract(epoch FROM {now} - max(e.ts)))::bigint + 1 AS recency,"
        " count(DISTINCT (e.ts, e.id)) AS frequency, {spent} AS monetary FROM {rows} AND {counted}"
        " GROUP BY e.profile_id",
        now=now,
        spent=stream.measure(),
        rows=stream.rows(),
        counted=stream.counted,
    )
    cuts = join(", ", (Sql(f"percentile_disc(ARRAY[0.2, 0.4, 0.6, 0.8]) WITHIN GROUP (ORDER BY {p})") for p in PARTS))
    return sql("SELECT {cuts} FROM ({each}) AS each", cuts=cuts, each=each)


def _stream(events: Any, now: datetime) -> Stream:
    plan = plan_at(events, now=now)
    (planned,) = plan.behaviours
    if not isinstance(planned, Planned):
        raise TypeError(planned)
    return Stream(planned, load_dictionary(events), plan.clock)


# --- The kinds --------------------------------------------------------------------------------------------------


def _measured(take: Take, stream: Stream) -> Sql:
    inner = sql(
        "SELECT {columns}, {taken} AS taken, {some} AS some FROM {rows}",
        columns=stream.columns(),
        taken=_taken(take, stream),
        some=_some(stream),
        rows=stream.rows(MINE),
    )
    return sql(
        "SELECT CASE WHEN g.some THEN g.taken END AS value, {due} AS due FROM ({inner}) AS g",
        due=_due(stream),
        inner=inner,
    )


def _taken(take: Take, stream: Stream) -> Sql:
    counted = conjunction((stream.counted,))
    match take:
        case Take.FIRST_AT:
            return sql(_STAMP, moment=sql("min(e.ts) FILTER (WHERE {counted})", counted=counted))
        case Take.LAST_AT:
            return sql(_STAMP, moment=sql("max(e.ts) FILTER (WHERE {counted})", counted=counted))
        case Take.FIRST | Take.LAST:
            return stream.measure(stream.counted)
        case Take.AVG:
            return sql(
                f"to_jsonb(trim_scale(round({{measure}}, {_AVERAGE_PLACES})))", measure=stream.measure(stream.counted)
            )
        case Take.SUM | Take.MIN | Take.MAX:
            return sql("to_jsonb(trim_scale({measure}::numeric))", measure=stream.measure(stream.counted))
        case _:
            return sql("to_jsonb({measure})", measure=stream.measure(stream.counted))


def _most_frequent(stream: Stream) -> Sql:
    """Of values that came equally often, the one that came last; of one event's, the first by text."""
    value = stream.operand or Sql("NULL::jsonb")
    present = sql("{counted} AND jsonb_typeof({value}) <> 'null'", counted=stream.counted, value=value)
    each = sql(
        "SELECT {value} AS value, count(*) FILTER (WHERE {present}) AS often,"
        " max(e.ts) FILTER (WHERE {present}) AS last, {columns} FROM {rows} GROUP BY 1",
        value=value,
        present=present,
        columns=stream.columns(),
        rows=stream.rows(MINE),
    )
    inner = sql(
        'SELECT (array_agg(v.value ORDER BY v.often DESC, v.last DESC, v.value::text COLLATE "C")'
        " FILTER (WHERE v.often > 0))[1] AS value, {moments} FROM ({each}) AS v",
        moments=_moments_of_groups(stream),
        each=each,
    )
    return sql("SELECT g.value, {due} AS due FROM ({inner}) AS g", due=_due(stream), inner=inner)


def _moments_of_groups(stream: Stream) -> Sql:
    columns = [Sql("min(v.coming) AS coming")]
    if stream.measured.extent.slides:
        columns.append(Sql("min(v.oldest) AS oldest"))
    if stream.measured.extent.turns:
        columns.append(Sql("coalesce(bool_or(v.any_event), false) AS any_event"))
    if stream.selected.edges:
        columns.append(Sql("min(v.edge) AS edge"))
    return join(", ", columns)


def _rfm(stream: Stream, bounds: Bounds) -> Sql:
    inner = sql(
        "SELECT {columns}, max(e.ts) FILTER (WHERE {counted}) AS last,"
        " count(DISTINCT (e.ts, e.id)) FILTER (WHERE {counted}) AS often FROM {rows}",
        columns=stream.columns(),
        counted=stream.counted,
        rows=stream.rows(MINE),
    )
    scored = sql(
        "SELECT g.*, 5 - {ages} AS recency, 1 + {times} AS frequency, 1 + {sums} AS monetary, {fades} AS fades"
        " FROM ({inner}) AS g",
        ages=_steps(
            bounds.get("recency", ()), "(CASE WHEN g.last + {bound} <= {now} THEN 1 ELSE 0 END)", stream.clock
        ),
        times=_steps(bounds.get("frequency", ()), "(CASE WHEN g.often > {bound} THEN 1 ELSE 0 END)"),
        sums=_steps(bounds.get("monetary", ()), "(CASE WHEN g.measure > {bound} THEN 1 ELSE 0 END)"),
        fades=earliest(_coming_to_pass("g.last", bounds.get("recency", ()), stream.clock)) or Sql("NULL::timestamptz"),
        inner=inner,
    )
    return sql(
        "SELECT CASE WHEN g.often > 0 THEN jsonb_build_object('recency', g.recency, 'frequency', g.frequency,"
        " 'monetary', g.monetary, 'score', concat(g.recency, g.frequency, g.monetary)) END AS value, {due} AS due"
        " FROM ({scored}) AS g",
        due=_due(stream, Sql("g.fades")),
        scored=scored,
    )


def _steps(bounds: Sequence[float], step: str, clock: Clock | None = None) -> Sql:
    """How many of the bounds are passed; with a clock they are seconds."""
    now = clock.now if clock else None
    steps = [sql(step, bound=_seconds(bound) if clock else bound, now=now) for bound in bounds]
    return sql("({sum})", sum=join(" + ", steps)) if steps else Sql("0")


def _coming_to_pass(since: str, lengths: Sequence[float], clock: Clock) -> list[Sql]:
    return [
        sql(
            f"CASE WHEN {since} + {{length}} > {{now}} THEN {since} + {{length}} END",
            length=_seconds(length),
            now=clock.now,
        )
        for length in lengths
    ]


def _seconds(number: float) -> Sql:
    return sql("make_interval(secs => {number})", number=number)


def _lifecycle(definition: Lifecycle, stream: Stream) -> Sql:
    lengths = {key: getattr(definition, key).delta.total_seconds() for key in ("new", "active", "dormant")}
    inner = sql(
        "SELECT {columns}, min(e.ts) FILTER (WHERE {counted}) AS first, max(e.ts) FILTER (WHERE {counted}) AS last"
        " FROM {rows}",
        columns=stream.columns(),
        counted=stream.counted,
        rows=stream.rows(MINE),
    )
    now = stream.clock.now
    ends = {key: _seconds(length) for key, length in lengths.items()}
    stage = sql(
        "CASE WHEN g.last IS NULL THEN NULL WHEN g.first + {new} > {now} THEN 'new' WHEN g.last + {active} > {now}"
        " THEN 'active' WHEN g.last + {dormant} > {now} THEN 'dormant' ELSE 'churned' END",
        now=now,
        **ends,
    )
    moments = [
        *_coming_to_pass("g.first", [lengths["new"]], stream.clock),
        *_coming_to_pass("g.last", [lengths["active"], lengths["dormant"]], stream.clock),
    ]
    return sql(
        "SELECT to_jsonb({stage}) AS value, {due} AS due FROM ({inner}) AS g",
        stage=stage,
        due=_due(stream, *moments),
        inner=inner,
    )


def _tiers(definition: Tiers) -> Sql:
    value = path_value(definition.trait, _TRAITS)
    whens = join(
        " ",
        (
            sql("WHEN {value} >= to_jsonb({bound}::numeric) THEN {label}::text", value=value, bound=bound, label=label)
            for bound, label in definition.tiers
        ),
    )
    return sql(
        "SELECT CASE WHEN jsonb_typeof({value}) = 'number' THEN to_jsonb(CASE {whens} ELSE {otherwise}::text END) END"
        " AS value, NULL::timestamptz AS due",
        value=value,
        whens=whens,
        otherwise=definition.otherwise,
    )


# --- What changes by time alone ---------------------------------------------------------------------------------


def _some(stream: Stream) -> Sql:
    return sql("coalesce(bool_or({counted}), false)", counted=stream.counted)


def _due(stream: Stream, *more: Sql) -> Sql:
    """The next instant at which the value can change although nothing new arrives."""
    extent = stream.measured.extent
    moments = [Sql("g.coming"), *more]
    if extent.slides:
        moments.append(sql("g.oldest + {length}", length=extent.slides))
    if extent.turns:
        moments.append(sql("CASE WHEN g.any_event THEN {turns} END", turns=extent.turns))
    if stream.selected.edges:
        moments.append(Sql("g.edge"))
    return earliest(moments) or Sql("NULL::timestamptz")
