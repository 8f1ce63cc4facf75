"""From a plan to SQL, in the shapes that hold up on large tables.

A population is asked with one grouped subquery per event condition, joined to `profile` by hash: an inner, outer
or anti join as the formula needs, never a lookup per profile. A few changed profiles are asked the other way
round: LATERAL from their ids, so that each reads only its own stretch of the index. Both give the same columns,
so the formula over the conditions is the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import assert_never

from segments.ast import NEGATIVE, NUMERIC_MEASURES, All, Any, Event, Measure, Node, Not, Op, Path, Test, Trait, Where
from segments.plan import RELATIVE, Clock, Measured, Plan, conditions
from segments.predicates import COMPARISONS, elements, path_edge, path_holds, path_value, value_edge, value_holds
from segments.sql import Sql, conjunction, earliest, join, sql

# Numbers beyond this are left out of measures: their sum could overflow.
LARGEST_NUMBER = "1e100"
# What changes later than this is noticed in time by the evaluation in between.
HORIZON = timedelta(days=36_500)
# Only these can fall, and not rise, when an event leaves the window.
FALLING = frozenset({Measure.COUNT, Measure.DISTINCT, Measure.DAYS})
PROPERTIES = Sql("e.properties")
CONTEXT = Sql("e.context")
TRAITS = Sql("p.traits")


@dataclass(frozen=True)
class EventNameEntry:
    """What the dictionary knows of an event name: its id, and the property that `event.value` holds."""

    id: int
    value_property: str | None


Dictionary = Mapping[str, EventNameEntry]


class Answer(Enum):
    """MEMBERS: the ids that are in. STATE: also who is out but has a due time; with `holds` and `due`."""

    MEMBERS = "members"
    STATE = "state"


def compile_members(plan: Plan, dictionary: Dictionary) -> Sql:
    """`(profile_id)` of everybody who is in."""
    source = _population(plan, dictionary, Answer.MEMBERS)
    formula = compile_formula(plan.root, plan, Answer.MEMBERS)
    return sql("SELECT p.id AS profile_id FROM {source} WHERE {formula}", source=source, formula=formula)


def compile_breakdown(plan: Plan, dictionary: Dictionary, parts: Sequence[Node]) -> Sql:
    """One row: how many profiles there are, then for each part of the definition how many hold it."""
    source = _population(plan, dictionary, Answer.MEMBERS)
    formulas = [compile_formula(part, plan, Answer.MEMBERS) for part in parts]
    counts = (sql("count(*) FILTER (WHERE {formula})", formula=formula) for formula in formulas)
    return sql("SELECT {counts} FROM {source}", counts=join(", ", (Sql("count(*)"), *counts)), source=source)


def compile_state(plan: Plan, dictionary: Dictionary) -> Sql:
    """`(profile_id, holds, due)` of everybody who is in or has a due time."""
    source = _population(plan, dictionary, Answer.STATE)
    return sql("{states} WHERE holds OR due IS NOT NULL", states=_states(plan, source))


def compile_state_of(plan: Plan, dictionary: Dictionary, profile_ids: Sequence[int]) -> Sql:
    """`(profile_id, holds, due)` of each of these profiles that exists."""
    joins = [
        sql(
            f"LEFT JOIN LATERAL ({{state}}) AS c{place} ON true", state=_state_of_one(measured, dictionary, plan.clock)
        )
        for place, measured in enumerate(plan.measured)
    ]
    ids = sql("unnest({ids}::bigint[]) AS i(id) JOIN profile AS p ON p.id = i.id", ids=list(profile_ids))
    return _states(plan, join(" ", (ids, *joins)))


# --- The formula over the conditions ------------------------------------------------------------------------


def compile_formula(node: Node, plan: Plan, answer: Answer) -> Sql:
    """A boolean over the joined conditions; NULL means false, so only IS NOT TRUE may negate it."""
    match node:
        case All(of):
            return conjunction(compile_formula(part, plan, answer) for part in of)
        case Any(of):
            return sql("({any})", any=join(" OR ", (compile_formula(part, plan, answer) for part in of)))
        case Not(of):
            return sql("({part}) IS NOT TRUE", part=compile_formula(of, plan, answer))
        case Trait(trait, test):
            return path_holds(trait, test, TRAITS, plan.clock)
        case Event():
            return _event_holds(plan.place(node), plan, answer)
        case _:
            assert_never(node)


def _event_holds(place: int, plan: Plan, answer: Answer) -> Sql:
    """Whoever has no such event has no row in the condition's subquery."""
    empty = plan.measured[place].holds_when_empty
    if answer is Answer.MEMBERS:
        return Sql(f"c{place}.profile_id IS {'' if empty else 'NOT '}NULL")
    return Sql(f"c{place}.holds IS {'NOT FALSE' if empty else 'TRUE'}")


def _states(plan: Plan, source: Sql) -> Sql:
    due = earliest((*(Sql(f"c{place}.due") for place in range(len(plan.measured))), *_trait_edges(plan)))
    return sql(
        "SELECT profile_id, holds, CASE WHEN due < {horizon} THEN due END AS due"
        " FROM (SELECT p.id AS profile_id, ({formula}) IS TRUE AS holds, {due}::timestamptz AS due"
        " FROM {source} OFFSET 0) AS q",  # OFFSET 0: once per profile, not once per place of use
        horizon=plan.clock.now + HORIZON,
        formula=compile_formula(plan.root, plan, Answer.STATE),
        due=due or Sql("NULL"),
        source=source,
    )


def _trait_edges(plan: Plan) -> Iterable[Sql]:
    for condition in dict.fromkeys(conditions(plan.root)):
        if isinstance(condition, Trait):
            edge = path_edge(condition.trait, condition.test, TRAITS, plan.clock)
            if edge:
                yield edge


# --- Conditions ---------------------------------------------------------------------------------------------


def _population(plan: Plan, dictionary: Dictionary, answer: Answer) -> Sql:
    compile_condition = _members if answer is Answer.MEMBERS else _state_of_all
    joins = [
        sql(
            f"LEFT JOIN ({{condition}}) AS c{place} ON c{place}.profile_id = p.id",
            condition=compile_condition(measured, dictionary, plan.clock),
        )
        for place, measured in enumerate(plan.measured)
    ]
    return join(" ", (Sql("profile AS p"), *joins))


def _members(measured: Measured, dictionary: Dictionary, clock: Clock) -> Sql:
    """Who holds the condition; where nobody's nothing holds it already, who breaks it."""
    stream = _Stream(measured, dictionary, clock)
    holds = measure_holds(measured.measure, measured.test, stream.measure(), clock)
    return sql(
        "SELECT e.profile_id FROM {source} WHERE {where} AND {counted}"
        " GROUP BY e.profile_id HAVING ({holds}) IS {truth}",
        source=stream.source,
        where=stream.where(),
        counted=stream.counted,
        holds=holds,
        truth=Sql("NOT TRUE" if measured.holds_when_empty else "TRUE"),
    )


def _state_of_all(measured: Measured, dictionary: Dictionary, clock: Clock) -> Sql:
    stream = _Stream(measured, dictionary, clock)
    grouped = sql(
        "SELECT e.profile_id, {columns} FROM {source} WHERE {where} GROUP BY e.profile_id",
        columns=stream.columns(),
        source=stream.source,
        where=stream.where(),
    )
    return sql("SELECT profile_id, {state} FROM ({grouped}) AS g", state=_state(measured, clock), grouped=grouped)


def _state_of_one(measured: Measured, dictionary: Dictionary, clock: Clock) -> Sql:
    stream = _Stream(measured, dictionary, clock)
    single = sql(
        "SELECT {columns} FROM {source} WHERE e.profile_id = i.id AND {where}",
        columns=stream.columns(),
        source=stream.source,
        where=stream.where(),
    )
    return sql("SELECT {state} FROM ({single}) AS g", state=_state(measured, clock), single=single)


def _state(measured: Measured, clock: Clock) -> Sql:
    """`holds` and `due` from the columns `measure`, `oldest`, `coming`, `edge` of one profile's events."""
    holds = measure_holds(measured.measure, measured.test, Sql("g.measure"), clock)
    columns = sql("({holds}) IS TRUE AS holds", holds=holds)
    moments = [Sql("g.coming")]
    if measured.extent.slides:
        moments.append(_leaves(measured, holds))
    if measured.extent.turns:
        moments.append(sql("CASE WHEN g.any_event THEN {turns} END", turns=measured.extent.turns))
    if any(where.test.op in RELATIVE for where in measured.where):
        moments.append(Sql("g.edge"))
    if measured.test.op in RELATIVE:
        moments.append(value_edge(measured.test, Sql("g.measure"), clock))
    return sql("{columns}, {due} AS due", columns=columns, due=earliest(moments))


def _leaves(measured: Measured, holds: Sql) -> Sql:
    """When the oldest event leaves the window, unless that cannot change the answer.

    A count can only fall then: "at least" that does not hold will not begin to, "at most" will not cease to.
    """
    leaves = sql("g.oldest + {length}", length=measured.extent.slides)
    if measured.measure in FALLING and measured.test.op in {Op.GT, Op.GTE}:
        return sql("CASE WHEN {holds} THEN {leaves} END", holds=holds, leaves=leaves)
    if measured.measure in FALLING and measured.test.op in {Op.LT, Op.LTE}:
        return sql("CASE WHEN NOT ({holds}) THEN {leaves} END", holds=holds, leaves=leaves)
    return leaves


def measure_holds(measure: Measure, test: Test, value: Sql, clock: Clock) -> Sql:
    """The test of a measure's value; NULL, the measure of no events at all, never passes."""
    if measure not in NUMERIC_MEASURES:
        return _first_or_last_holds(test, value, clock)
    if isinstance(test.value, tuple):
        low, high = test.value
        return sql("{value} BETWEEN {low} AND {high}", value=value, low=low, high=high)
    sign = {Op.EQ: "=", Op.NEQ: "<>", **COMPARISONS}[test.op]
    return sql(f"{{value}} {sign} {{wanted}}", value=value, wanted=test.value)


def _first_or_last_holds(test: Test, value: Sql, clock: Clock) -> Sql:
    if test.op not in NEGATIVE:
        return value_holds(test, value, clock)
    positive = value_holds(Test(NEGATIVE[test.op], test.value), value, clock)
    return sql("({value} IS NOT NULL AND ({positive}) IS NOT TRUE)", value=value, positive=positive)


# --- Event streams ------------------------------------------------------------------------------------------


class _Stream:
    """The events a condition looks at: those in its window by now, and those that will come into it."""

    def __init__(self, measured: Measured, dictionary: Dictionary, clock: Clock) -> None:
        self.measured = measured
        self.clock = clock
        self.entries = [dictionary[name] for name in measured.names if name in dictionary]
        self.source, self.operand = self._source()
        relative = [where for where in measured.where if where.test.op in RELATIVE]
        self.counted = conjunction(
            (sql("e.ts <= {now}", now=clock.now), *(self._passes(where) for where in relative), *self._until_turn())
        )

    def _source(self) -> tuple[Sql, Sql | None]:
        """The FROM list, and what the measure is taken of."""
        of = self.measured.of
        if of is None:
            return Sql("event AS e"), None
        if self._is_value(of):
            return Sql("event AS e"), Sql("e.value")
        if of.single:
            return Sql("event AS e"), path_value(*_located(of))
        lists, value = elements(*_located(of))
        return sql("event AS e CROSS JOIN LATERAL {lists}", lists=lists), value

    def _is_value(self, path: Path) -> bool:
        """Whether `event.value` holds this property, for each of the names: then the index has the answer."""
        numeric = self.measured.measure in {Measure.SUM, Measure.AVG, Measure.MIN, Measure.MAX}
        return numeric and self._promoted(path)

    def _promoted(self, path: Path) -> bool:
        return bool(self.entries) and all(entry.value_property == path.text for entry in self.entries)

    def _until_turn(self) -> Iterable[Sql]:
        """Yesterday's window already has today's events behind it, waiting for midnight."""
        extent = self.measured.extent
        return [sql("e.ts < {until}", until=extent.until)] if extent.turns and extent.until else []

    def where(self) -> Sql:
        """What can be said before grouping, for the events of now and of later alike."""
        extent = self.measured.extent
        parts = [self._named()]
        if extent.since:
            parts.append(sql("e.ts >= {since}", since=extent.since))
        if extent.until and not extent.turns:
            parts.append(sql("e.ts < {until}", until=extent.until))
        parts.extend(self._passes(where) for where in self.measured.where if where.test.op not in RELATIVE)
        return conjunction(parts)

    def _named(self) -> Sql:
        ids = [entry.id for entry in self.entries]
        return sql("e.name_id = {id}", id=ids[0]) if len(ids) == 1 else sql("e.name_id = ANY ({ids}::int[])", ids=ids)

    def _passes(self, where: Where) -> Sql:
        test = where.test
        if self._promoted(where.property) and test.op in COMPARISONS:
            return sql(f"e.value {COMPARISONS[test.op]} {{wanted}}", wanted=test.value)
        path, base = _located(where.property)
        return path_holds(path, test, base, self.clock)

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
        edges = earliest(self._edges())
        if edges:
            columns.append(sql("min({edges}) AS edge", edges=edges))
        return join(", ", columns)

    def _edges(self) -> list[Sql]:
        found = []
        for where in self.measured.where:
            path, base = _located(where.property)
            found.append(path_edge(path, where.test, base, self.clock))
        return [edge for edge in found if edge]

    def measure(self, counted: Sql | None = None) -> Sql:
        """The aggregate; with `counted`, over those rows only."""
        return _aggregate(self.measured.measure, self.operand, counted, self.clock)


def _located(path: Path) -> tuple[Path, Sql]:
    """The path from the column that it leads into."""
    inside = path.inside_context
    return (path, PROPERTIES) if inside is None else (inside, CONTEXT)


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
    number = sql(
        "CASE WHEN jsonb_typeof({of}) = 'number'"
        f" AND {{of}} BETWEEN '-{LARGEST_NUMBER}'::jsonb AND '{LARGEST_NUMBER}'::jsonb THEN {{of}}::numeric END",
        of=operand,
    )
    return sql(f"{measure}({{number}}){{only}}", number=number, only=_filter(counted))


def _present(operand: Sql | None) -> Sql:
    return sql("jsonb_typeof({of}) <> 'null'", of=operand)


def _filter(*conditions_: Sql | None) -> Sql:
    kept = [condition for condition in conditions_ if condition is not None]
    return sql(" FILTER (WHERE {all})", all=conjunction(kept)) if kept else Sql("")
