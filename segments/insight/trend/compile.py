"""From a definition to one statement that yields sets of instants with the number of people who have just these."""

from collections.abc import Callable
from collections.abc import Sequence as Some

from segments.ast import Account, All, Any, Consent, Event, Node, Not, Sequence, Trait
from segments.compile import compile_members
from segments.engine import plan_at
from segments.insight.trend.followed import FollowedTrend
from segments.insight.trend.frame import Frame
from segments.insight.trend.held import accounts_joined, consent_joined
from segments.insight.trend.measured import MeasuredTrend
from segments.insight.trend.values import path_bits
from segments.plan import conditions
from segments.sql import Sql, join, sql
from segments.streams import Dictionary

TRAITS = Sql("p.traits")

Of = Callable[[Sql], Sql]
"""Of a column of profile ids, whether it is one of those who are asked about."""


def sample(*, one_in: int) -> Of:
    """The same people every time, whoever asks."""
    return lambda column: sql(f"mod(hashint8({{column}}), {one_in}) = 0", column=column)


def those(ids: Some[int]) -> Of:
    return lambda column: sql("{column} = ANY ({ids}::bigint[])", column=column, ids=list(ids))


def compile_trend(node: Node, frame: Frame, dictionary: Dictionary, *, of: Of | None = None) -> Sql:
    """`(bits, people)` of an expanded definition, of everybody or of some profiles.

    What is kept as it is now (traits, and whatever else is no event) holds at every instant as it does now.

    Raises:
        TooInvolvedError: a condition cannot be asked of all instants at once.
    """
    return sql(
        "SELECT bits, count(*) FROM ({each}) AS q WHERE bits <> {zeros} GROUP BY bits",
        each=compile_each(node, frame, dictionary, of=of),
        zeros=frame.zeros,
    )


def compile_each(node: Node, frame: Frame, dictionary: Dictionary, *, of: Of | None = None) -> Sql:
    """`(id, bits)`, as with `compile_trend`."""
    joined = [one for one in dict.fromkeys(conditions(node)) if not isinstance(one, Trait)]
    joins = [Sql("profile AS p")]
    known: dict[Node, Sql] = {}
    for place, condition in enumerate(joined):
        rows, bits = _joined(condition, f"c{place}", frame, dictionary, of)
        joins.append(sql(f"LEFT JOIN ({{rows}}) AS c{place} ON c{place}.profile_id = p.id", rows=rows))
        known[condition] = bits
    return sql(
        "SELECT p.id, {formula} AS bits FROM {source} WHERE {some}",
        formula=_formula(node, known, frame),
        source=join(" ", joins),
        some=of(Sql("p.id")) if of else Sql("true"),
    )


def _joined(condition: Node, name: str, frame: Frame, dictionary: Dictionary, of: Of | None) -> tuple[Sql, Sql]:
    """What is joined for a condition, and its instants."""
    if isinstance(condition, Account):
        return accounts_joined(condition, name, frame)
    if isinstance(condition, Consent):
        return consent_joined(condition, name, frame)
    if not isinstance(condition, Event | Sequence):
        rows = compile_members(plan_at(condition, now=frame.last), dictionary)
        return rows, frame.always(Sql(f"{name}.profile_id IS NOT NULL"))
    made = MeasuredTrend if isinstance(condition, Event) else FollowedTrend
    trend = made(condition, frame, dictionary)  # type: ignore[arg-type]
    narrowed = [of(Sql("e.profile_id"))] if of else []
    return trend.bits(*narrowed), sql("coalesce({bits}, {empty})", bits=Sql(f"{name}.bits"), empty=trend.empty)


def _formula(node: Node, known: dict[Node, Sql], frame: Frame) -> Sql:
    match node:
        case All(of):
            return sql("({all})", all=join(" & ", (_formula(part, known, frame) for part in of))) if of else frame.ones
        case Any(of):
            return sql("({any})", any=join(" | ", (_formula(part, known, frame) for part in of)))
        case Not(of):
            return sql("(~{part})", part=_formula(of, known, frame))
        case Trait(trait, test):
            return sql("({bits})", bits=path_bits(trait, test, TRAITS, frame))
        case _:
            return known[node]
