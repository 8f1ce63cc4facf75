"""The events that a condition reads, as SQL: which of them, in which window, and what is measured over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from segments.ast import Measure, Path, Test, Where
from segments.plan import RELATIVE, Clock, Measured
from segments.predicates import COMPARISONS, elements, path_edge, path_holds, path_value
from segments.sql import Sql, conjunction, earliest, join, sql

# Numbers beyond this are left out of measures: their sum could overflow.
LARGEST_NUMBER = "1e100"
VALUE_MEASURES = frozenset({Measure.SUM, Measure.AVG, Measure.MIN, Measure.MAX})
PROPERTIES = Sql("e.properties")
CONTEXT = Sql("e.context")


@dataclass(frozen=True)
class EventNameEntry:
    """What the dictionary knows of an event name: its id, and the property that `event.value` holds."""

    id: int
    value_property: str | None


Dictionary = Mapping[str, EventNameEntry]


class Selected:
    """The events of these names that pass these tests."""

    def __init__(self, names: Iterable[str], where: Sequence[Where], dictionary: Dictionary, clock: Clock) -> None:
        self.clock = clock
        self.entries = [dictionary[name] for name in names if name in dictionary]
        self.lasting = [self._passes(one) for one in where if one.test.op not in RELATIVE]
        self.relative = [self._passes(one) for one in where if one.test.op in RELATIVE]
        self.edges = [edge for one in where if (edge := self._edge(one))]

    @property
    def named(self) -> Sql:
        ids = [entry.id for entry in self.entries]
        return sql("e.name_id = {id}", id=ids[0]) if len(ids) == 1 else sql("e.name_id = ANY ({ids}::int[])", ids=ids)

    def promoted(self, path: Path) -> bool:
        """Whether `event.value` holds this property, for each of the names: then the index has the answer."""
        return bool(self.entries) and all(entry.value_property == path.text for entry in self.entries)

    def _passes(self, where: Where) -> Sql:
        test = where.test
        if self.promoted(where.property) and test.op in COMPARISONS:
            return sql(f"e.value {COMPARISONS[test.op]} {{wanted}}", wanted=test.value)
        return path_holds(*_test_of(where, self.clock), self.clock)

    def _edge(self, where: Where) -> Sql | None:
        return path_edge(*_test_of(where, self.clock), self.clock)


class Stream:
    """The events a condition looks at: those in its window by now, and those that will come into it."""

    def __init__(self, measured: Measured, dictionary: Dictionary, clock: Clock) -> None:
        self.measured = measured
        self.clock = clock
        self.selected = Selected(measured.names, measured.where, dictionary, clock)
        self.source, self.operand = self._source()
        self.counted = conjunction((sql("e.ts <= {now}", now=clock.now), *self.selected.relative, *self._until_turn()))

    def _source(self) -> tuple[Sql, Sql | None]:
        """The FROM list, and what the measure is taken of."""
        of = self.measured.of
        if of is None:
            return Sql("event AS e"), None
        if self.measured.measure in VALUE_MEASURES and self.selected.promoted(of):
            return Sql("event AS e"), Sql("e.value")
        path, base = located(of, self.clock)
        if path.single:
            return Sql("event AS e"), path_value(path, base)
        lists, value = elements(path, base)
        return sql("event AS e CROSS JOIN LATERAL {lists}", lists=lists), value

    def _until_turn(self) -> Iterable[Sql]:
        """Yesterday's window already has today's events behind it, waiting for midnight."""
        extent = self.measured.extent
        return [sql("e.ts < {until}", until=extent.until)] if extent.turns and extent.until else []

    def rows(self, *narrowed: Sql) -> Sql:
        """FROM and WHERE of the events of now and of later alike, of everybody or `narrowed`."""
        where = conjunction((*narrowed, *self._where()))
        if self.measured.span is None:
            return sql("{source} WHERE {where}", source=self.source, where=where)
        return sql(
            "(SELECT e.*, {stretch} AS stretch FROM {source} WHERE {where}) AS e WHERE true",
            stretch=self._stretch(self.measured.span),
            source=self.source,
            where=where,
        )

    def _where(self) -> list[Sql]:
        extent = self.measured.extent
        parts = [self.selected.named, *self.selected.lasting]
        if extent.since:
            parts.append(sql("e.ts >= {since}", since=extent.since))
        if extent.until and not extent.turns:
            parts.append(sql("e.ts < {until}", until=extent.until))
        return parts

    def _stretch(self, length: timedelta) -> Sql:
        """The measure over the stretches of that length which begin or end at this event.

        A stretch that moves along changes its events only where one comes in or goes out. The most of a count lies
        from some event on; the most of a sum, whose numbers may be negative, from an event on, from just after one, or
        up to one.
        """
        frames = ["CURRENT ROW AND {length} FOLLOWING"]
        value = Sql("count(*)")
        if self.measured.measure is Measure.SUM:
            frames += ["'1 microsecond' FOLLOWING AND {length} FOLLOWING", "{length} PRECEDING AND CURRENT ROW"]
            value = sql("sum({number})", number=number_of(self.operand))
        sums = (
            sql(
                "{value} FILTER (WHERE {counted}) OVER (PARTITION BY e.profile_id ORDER BY e.ts RANGE BETWEEN"
                f" {frame})",
                value=value,
                counted=self.counted,
                length=length,
            )
            for frame in frames
        )
        return sql("GREATEST(0, {sums})", sums=join(", ", sums))

    def columns(self) -> Sql:
        """`measure` over the events that count now, and the instants at which others will."""
        extent = self.measured.extent
        columns = [
            sql("{measure} AS measure", measure=self.measure(self.counted)),
            sql("min(e.ts) FILTER (WHERE e.ts > {now}) AS coming", now=self.clock.now),
        ]
        if extent.slides:
            columns.append(sql("min(e.ts) FILTER (WHERE {counted}) AS oldest", counted=self.counted))
        if extent.turns:
            columns.append(Sql("count(*) > 0 AS any_event"))
        edges = earliest(self.selected.edges)
        if edges:
            columns.append(sql("min({edges}) AS edge", edges=edges))
        return join(", ", columns)

    def measure(self, counted: Sql | None = None) -> Sql:
        """The aggregate; with `counted`, over those rows only."""
        if self.measured.span is not None:
            return sql("coalesce(max(e.stretch){only}, 0)", only=_filter(counted))
        return _aggregate(self.measured.measure, self.operand, counted, self.clock)


def located(path: Path, clock: Clock) -> tuple[Path, Sql]:
    """The path from the column that it leads into."""
    if path.of_time:
        field = {"hour": "hour", "weekday": "isodow"}[path.of_time]
        told = sql(
            f"jsonb_build_object('{path.of_time}', extract({field} FROM e.ts AT TIME ZONE {{zone}})::int)",
            zone=clock.zone,
        )
        return Path(path.steps[1:]), told
    inside = path.inside_context
    return (path, PROPERTIES) if inside is None else (inside, CONTEXT)


def _test_of(where: Where, clock: Clock) -> tuple[Path, Test, Sql]:
    path, base = located(where.property, clock)
    return path, where.test, base


def _aggregate(measure: Measure, operand: Sql | None, counted: Sql | None, clock: Clock) -> Sql:
    """Casting a float8 result to numeric keeps 15 digits, which takes the dust of binary fractions off a sum."""
    match measure:
        case Measure.COUNT:
            return sql("count(*){only}", only=_filter(counted))
        case Measure.DAYS:
            return sql(
                "count(DISTINCT (e.ts AT TIME ZONE {zone})::date){only}", zone=clock.zone, only=_filter(counted)
            )
        case Measure.DISTINCT:
            return sql("count(DISTINCT {of}){only}", of=operand, only=_filter(_present(operand), counted))
        case Measure.FIRST | Measure.LAST:
            order = Sql("e.ts, e.id" if measure is Measure.FIRST else "e.ts DESC, e.id DESC")
            only = _filter(_present(operand), counted)
            return sql("(array_agg({of} ORDER BY {order}){only})[1]", of=operand, order=order, only=only)
        case Measure.SUM:
            return sql("coalesce({sum}, 0)", sum=_numeric(measure, operand, counted))
        case Measure.AVG | Measure.MIN | Measure.MAX:
            return _numeric(measure, operand, counted)
        case _:
            assert_never(measure)


def _numeric(measure: Measure, operand: Sql | None, counted: Sql | None) -> Sql:
    if operand is None:
        raise AssertionError(measure)
    if operand.text == "e.value":
        in_range = Sql(f"e.value BETWEEN -{LARGEST_NUMBER} AND {LARGEST_NUMBER}")
        return sql(f"{measure}(e.value){{only}}::numeric", only=_filter(in_range, counted))
    return sql(f"{measure}({{number}}){{only}}", number=number_of(operand), only=_filter(counted))


def number_of(operand: Sql | None) -> Sql:
    """The operand as a number; NULL where it is none, or too large."""
    if operand is None:
        raise AssertionError
    if operand.text == "e.value":
        return Sql(f"CASE WHEN e.value BETWEEN -{LARGEST_NUMBER} AND {LARGEST_NUMBER} THEN e.value::numeric END")
    return sql(
        "CASE WHEN jsonb_typeof({of}) = 'number'"
        f" AND {{of}} BETWEEN '-{LARGEST_NUMBER}'::jsonb AND '{LARGEST_NUMBER}'::jsonb THEN {{of}}::numeric END",
        of=operand,
    )


def _present(operand: Sql | None) -> Sql:
    return sql("jsonb_typeof({of}) <> 'null'", of=operand)


def _filter(*conditions_: Sql | None) -> Sql:
    kept = [condition for condition in conditions_ if condition is not None]
    return sql(" FILTER (WHERE {all})", all=conjunction(kept)) if kept else Sql("")
