"""Who of some people, and of everybody, has what value of a trait: asked of the rows of profiles."""

from decimal import Decimal
from typing import NamedTuple, Protocol

from segments.ast import Path
from segments.engine import fetch
from segments.predicates import elements, path_value
from segments.sql import Sql, sql

TRAITS = Sql("p.traits")
NUMBER = (
    "CASE WHEN jsonb_typeof(h.value) = 'number' AND h.value BETWEEN '-1e100'::jsonb AND '1e100'::jsonb"
    " THEN h.value::numeric END"
)


class Look(NamedTuple):
    """Of these people: how many there are, have the trait, and have a number in it; how many numbers differ, and those
    at the given parts of all in their order. How many profiles there are.
    """

    people: int
    present: int
    numbers: int
    distinct: int
    edges: list[Decimal]
    everybody: int


class Source(Protocol):
    """Counts are of these people, then of everybody. A list counts each different element once for a person."""

    def look(self, *, parts: list[float]) -> Look: ...

    def holders(self) -> tuple[int, int]:
        """Who has any value."""
        ...

    def by_values(self, *, limit: int) -> list[tuple[str | None, int, int, bool]]:
        """JSON, or None for all values beyond the limit and for those who have none, which the last tells apart.

        The most frequent of these people's; among equally frequent ones those that more of all have.
        """
        ...

    def by_bins(self, *, bounds: list[Decimal]) -> list[tuple[int | None, int, int, bool]]:
        """How many of the bounds are reached; None for what is no number and for those who have none."""
        ...


class Rows:
    """`people` yields `(profile_id)`."""

    def __init__(self, people: Sql, path: Path) -> None:
        self._parts = {"people": people, "held": _held(path)}

    def look(self, *, parts: list[float]) -> Look:
        ((people, present, numbers, distinct, edges),) = fetch(sql(_LOOK, parts=parts, **self._parts))
        ((everybody,),) = fetch(Sql("SELECT count(*) FROM profile"))
        return Look(people, present, numbers, distinct, edges, everybody)

    def holders(self) -> tuple[int, int]:
        ((own, everywhere),) = fetch(sql(_SET, **self._parts))
        return own, everywhere

    def by_values(self, *, limit: int) -> list[tuple[str | None, int, int, bool]]:
        return fetch(sql(_VALUES, limit=limit, **self._parts))

    def by_bins(self, *, bounds: list[Decimal]) -> list[tuple[int | None, int, int, bool]]:
        return fetch(sql(_BINS, bounds=bounds, **self._parts))


def _held(path: Path) -> Sql:
    """`(profile_id, value)` of everybody: NULL where there is none; a row for each different element of a list."""
    if path.single:
        return sql(
            "SELECT p.id AS profile_id, NULLIF({value}, 'null'::jsonb) AS value FROM profile AS p",
            value=path_value(path, TRAITS),
        )
    lists, value = elements(path, TRAITS)
    return sql(
        "SELECT p.id AS profile_id, each.value FROM profile AS p LEFT JOIN LATERAL"
        " (SELECT DISTINCT {value} AS value FROM {lists} WHERE jsonb_typeof({value}) <> 'null') AS each ON true",
        value=value,
        lists=lists,
    )


_LOOK = f"""
WITH people AS MATERIALIZED ({{people}}),
     own AS (SELECT h.profile_id, h.value, {NUMBER} AS number
             FROM ({{held}}) AS h JOIN people AS b ON b.profile_id = h.profile_id)
SELECT count(DISTINCT profile_id), count(DISTINCT profile_id) FILTER (WHERE value IS NOT NULL), count(number),
       count(DISTINCT number), percentile_disc({{parts}}::float8[]) WITHIN GROUP (ORDER BY number)
FROM own
"""
_SET = """
WITH people AS MATERIALIZED ({people})
SELECT count(DISTINCT b.profile_id), count(DISTINCT h.profile_id)
FROM ({held}) AS h LEFT JOIN people AS b ON b.profile_id = h.profile_id WHERE h.value IS NOT NULL
"""
RANKED = """
     ranked AS (SELECT *, row_number() OVER (ORDER BY value IS NULL, own DESC, everywhere DESC, value) AS place
                FROM counted)
SELECT CASE WHEN value IS NOT NULL AND place <= {limit} THEN value::text END AS shown,
       sum(own)::bigint, sum(everywhere)::bigint, value IS NULL AS unset
FROM ranked GROUP BY 1, 4 ORDER BY 2 DESC, 3 DESC, 1
"""
_VALUES = f"""
WITH people AS MATERIALIZED ({{people}}),
     counted AS (SELECT h.value, count(b.profile_id) AS own, count(*) AS everywhere
                 FROM ({{held}}) AS h LEFT JOIN people AS b ON b.profile_id = h.profile_id GROUP BY h.value),
{RANKED}
"""
_BINS = f"""
WITH people AS MATERIALIZED ({{people}})
SELECT CASE WHEN n.number IS NOT NULL THEN width_bucket(n.number, {{bounds}}::numeric[]) END, count(b.profile_id),
       count(*), n.value IS NULL AS unset
FROM (SELECT h.*, {NUMBER} AS number FROM ({{held}}) AS h) AS n LEFT JOIN people AS b ON b.profile_id = n.profile_id
GROUP BY 1, 4 ORDER BY 1, 4
"""
