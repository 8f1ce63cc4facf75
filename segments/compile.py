"""From a plan to SQL, in the shapes that hold up on large tables.

A population is asked with one grouped subquery per event condition, joined to `profile` by hash: an inner, outer
or anti join as the formula needs, never a lookup per profile. A few changed profiles are asked the other way
round: LATERAL from their ids, so that each reads only its own stretch of the index. Both give the same columns,
so the formula over the conditions is the same.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Listed
from datetime import timedelta
from enum import Enum
from typing import assert_never

from segments.ast import (
    NEGATIVE,
    NUMERIC_MEASURES,
    Account,
    All,
    Any,
    Consent,
    Event,
    Given,
    InSegment,
    Measure,
    Node,
    Not,
    Op,
    Sequence,
    Test,
    Trait,
)
from segments.given import given_to_all, given_to_one
from segments.holdings import account_holds, consent_holds, held_by_all, held_by_one, held_dues
from segments.plan import RELATIVE, Behaviour, Clock, Followed, Measured, Plan, UnexpandedError, conditions
from segments.predicates import COMPARISONS, path_edge, path_holds, value_edge, value_holds
from segments.sequences import Trail
from segments.sql import Sql, conjunction, earliest, join, sql
from segments.streams import Dictionary, Stream

# What changes later than this is noticed in time by the evaluation in between.
HORIZON = timedelta(days=36_500)
# Only these can fall, and not rise, when an event leaves the window.
FALLING = frozenset({Measure.COUNT, Measure.DISTINCT, Measure.DAYS})
TRAITS = Sql("p.traits")


class Answer(Enum):
    """MEMBERS: the ids that are in. STATE: also who is out but has a due time; with `holds` and `due`."""

    MEMBERS = "members"
    STATE = "state"


def compile_members(plan: Plan, dictionary: Dictionary) -> Sql:
    """`(profile_id)` of everybody who is in."""
    source = _population(plan, dictionary, Answer.MEMBERS)
    formula = compile_formula(plan.root, plan, Answer.MEMBERS)
    return sql("SELECT p.id AS profile_id FROM {source} WHERE {formula}", source=source, formula=formula)


def compile_breakdown(plan: Plan, dictionary: Dictionary, parts: Listed[Node]) -> Sql:
    """One row: how many profiles there are, then for each part of the definition how many hold it."""
    source = _population(plan, dictionary, Answer.MEMBERS)
    formulas = [compile_formula(part, plan, Answer.MEMBERS) for part in parts]
    counts = (sql("count(*) FILTER (WHERE {formula})", formula=formula) for formula in formulas)
    return sql("SELECT {counts} FROM {source}", counts=join(", ", (Sql("count(*)"), *counts)), source=source)


def compile_sets(plan: Plan, dictionary: Dictionary, parts: Listed[Node]) -> Sql:
    """One row: for each part of the definition the ids of who holds it, as PostgreSQL sends them, in one string."""
    source = _population(plan, dictionary, Answer.MEMBERS)
    formulas = [compile_formula(part, plan, Answer.MEMBERS) for part in parts]
    packed = (sql("string_agg(int8send(p.id), '') FILTER (WHERE {formula})", formula=formula) for formula in formulas)
    return sql("SELECT {packed} FROM {source}", packed=join(", ", packed), source=source)


def compile_state(plan: Plan, dictionary: Dictionary) -> Sql:
    """`(profile_id, holds, due)` of everybody who is in or has a due time."""
    source = _population(plan, dictionary, Answer.STATE)
    states, horizon = _states(plan, [plan.root], source), plan.clock.now + HORIZON
    return sql("{states} WHERE holds0 OR due0 < {horizon}", states=states, horizon=horizon)


def compile_state_of(plan: Plan, dictionary: Dictionary, profile_ids: Listed[int]) -> Sql:
    """`(profile_id, holds, due)` of each of these profiles that exists."""
    return compile_states_of(plan, dictionary, [plan.root], profile_ids)


def compile_states_of(plan: Plan, dictionary: Dictionary, roots: Listed[Node], profile_ids: Listed[int]) -> Sql:
    """`(profile_id, holds, due, holds, due…)` of each of these profiles that exists, for each of the `roots`.

    These are definitions whose conditions the plan has: what several of them ask is measured once.
    """
    joins = [
        sql(
            f"LEFT JOIN LATERAL ({{state}}) AS c{place} ON true",
            state=_state_of_one(behaviour, dictionary, plan.clock),
        )
        for place, behaviour in enumerate(plan.behaviours)
    ]
    listed = "{" + ",".join(map(str, profile_ids)) + "}"  # constants in a list would be parsed one by one
    ids = sql("unnest({ids}::bigint[]) AS i(id) JOIN profile AS p ON p.id = i.id", ids=listed)
    return _states(plan, roots, join(" ", (ids, *joins, *given_to_one(plan.given), *held_by_one(plan))))


# --- The formula over the conditions ------------------------------------------------------------------------


def compile_formula(node: Node, plan: Plan, answer: Answer) -> Sql:  # noqa: PLR0911 - one return per kind of node
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
        case Account():
            return account_holds(node, plan)
        case Consent():
            return consent_holds(node, plan)
        case Event() | Sequence():
            return _behaviour_holds(plan.place(node), plan, answer)
        case Given(slug):
            return Sql(f"g{plan.given.index(slug)}.profile_id IS NOT NULL")
        case InSegment(slug):
            raise UnexpandedError(slug)
        case _:
            assert_never(node)


def _behaviour_holds(place: int, plan: Plan, answer: Answer) -> Sql:
    """Whoever has no such event has no row in the condition's subquery."""
    empty = plan.behaviours[place].holds_when_empty
    if answer is Answer.MEMBERS:
        return Sql(f"c{place}.profile_id IS {'' if empty else 'NOT '}NULL")
    return Sql(f"c{place}.holds IS {'NOT FALSE' if empty else 'TRUE'}")


def _states(plan: Plan, roots: Listed[Node], source: Sql) -> Sql:
    """OFFSET 0: each answer once per profile, not once per place of use."""
    inner, outer = [], []
    for place, root in enumerate(roots):
        answer = sql(
            f"({{formula}}) IS TRUE AS holds{place}, {{due}}::timestamptz AS due{place}",
            formula=compile_formula(root, plan, Answer.STATE),
            due=_due(root, plan) or Sql("NULL"),
        )
        inner.append(answer)
        due = sql(f"CASE WHEN due{place} < {{horizon}} THEN due{place} END", horizon=plan.clock.now + HORIZON)
        outer.append(sql(f"holds{place} AS holds, {{due}} AS due", due=due))
    return sql(
        "SELECT profile_id, {outer} FROM (SELECT p.id AS profile_id, {inner} FROM {source} OFFSET 0) AS q",
        outer=join(", ", outer),
        inner=join(", ", inner),
        source=source,
    )


def _due(root: Node, plan: Plan) -> Sql | None:
    """When the answer of a definition can next change by time alone."""
    found = list(dict.fromkeys(conditions(root)))
    joined = (Sql(f"c{plan.place(one)}.due") for one in found if isinstance(one, Event | Sequence))
    return earliest((*joined, *held_dues(found, plan), *_trait_edges(found, plan)))


def _trait_edges(found: Iterable[Node], plan: Plan) -> Iterable[Sql]:
    for condition in found:
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
            condition=compile_condition(behaviour, dictionary, plan.clock),
        )
        for place, behaviour in enumerate(plan.behaviours)
    ]
    return join(" ", (Sql("profile AS p"), *joins, *given_to_all(plan.given), *held_by_all(plan)))


def _members(behaviour: Behaviour, dictionary: Dictionary, clock: Clock) -> Sql:
    """Who holds the condition; where nobody's nothing holds it already, who breaks it."""
    if isinstance(behaviour, Followed):
        grouped = Trail(behaviour, dictionary, clock).grouped()
        return sql("SELECT profile_id FROM ({grouped}) AS g WHERE holds", grouped=grouped)
    stream = Stream(behaviour, dictionary, clock)
    holds = measure_holds(behaviour.measure, behaviour.test, stream.measure(), clock)
    return sql(
        "SELECT e.profile_id FROM {rows} AND {counted} GROUP BY e.profile_id HAVING ({holds}) IS {truth}",
        rows=stream.rows(),
        counted=stream.counted,
        holds=holds,
        truth=Sql("NOT TRUE" if behaviour.holds_when_empty else "TRUE"),
    )


def _state_of_all(behaviour: Behaviour, dictionary: Dictionary, clock: Clock) -> Sql:
    if isinstance(behaviour, Followed):
        grouped = Trail(behaviour, dictionary, clock).grouped()
    else:
        stream = Stream(behaviour, dictionary, clock)
        grouped = sql(
            "SELECT e.profile_id, {columns} FROM {rows} GROUP BY e.profile_id",
            columns=stream.columns(),
            rows=stream.rows(),
        )
    return sql("SELECT profile_id, {state} FROM ({grouped}) AS g", state=_state(behaviour, clock), grouped=grouped)


def _state_of_one(behaviour: Behaviour, dictionary: Dictionary, clock: Clock) -> Sql:
    one = Sql("e.profile_id = i.id")
    if isinstance(behaviour, Followed):
        single = Trail(behaviour, dictionary, clock).grouped(one)
    else:
        stream = Stream(behaviour, dictionary, clock)
        single = sql("SELECT {columns} FROM {rows}", columns=stream.columns(), rows=stream.rows(one))
    return sql("SELECT {state} FROM ({single}) AS g", state=_state(behaviour, clock), single=single)


def _state(behaviour: Behaviour, clock: Clock) -> Sql:
    """`holds` and `due` of one profile from what its events come to."""
    moments = [Sql("g.coming")]
    if behaviour.extent.turns:
        moments.append(sql("CASE WHEN g.any_event THEN {turns} END", turns=behaviour.extent.turns))
    if isinstance(behaviour, Followed):
        return _state_of_followed(behaviour, moments)
    return _state_of_measured(behaviour, moments, clock)


def _state_of_followed(followed: Followed, moments: list[Sql]) -> Sql:
    """Whoever is in falls out, at the earliest, when a first step leaves the window; nobody gets in by that."""
    moments += [Sql("g.pending"), Sql("g.edge")]
    if followed.extent.slides:
        moments.append(sql("CASE WHEN g.holds THEN g.oldest + {length} END", length=followed.extent.slides))
    return sql("g.holds, {due} AS due", due=earliest(moments))


def _state_of_measured(measured: Measured, moments: list[Sql], clock: Clock) -> Sql:
    holds = measure_holds(measured.measure, measured.test, Sql("g.measure"), clock)
    if measured.extent.slides:
        moments.append(_leaves(measured, holds))
    if any(where.test.op in RELATIVE for where in measured.where):
        moments.append(Sql("g.edge"))
    if measured.test.op in RELATIVE:
        moments.append(value_edge(measured.test, Sql("g.measure"), clock))
    return sql("({holds}) IS TRUE AS holds, {due} AS due", holds=holds, due=earliest(moments))


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
