"""How many of some people, and of everybody, have each value of a trait: counted from its packed column.

What is left to the database is a short table of values with two numbers each. It is asked by the same rules as the
rows of profiles are (`segments.insight.holders`): what is equal, what comes first, how numbers are cut.
"""

import json
from decimal import Decimal
from functools import partial

from django.db import transaction

from identity.columns.wanted import packed_traits, want_trait
from segments.ast import Path
from segments.columnar.ask import worth_it
from segments.engine import fetch
from segments.insight.holders import NUMBER, RANKED, Look
from segments.sql import Sql, sql


class Tally:
    """`counted` yields `(value, own, everywhere)`: for each value how many of these people and of everybody have it.

    The value is NULL for those who have none. Equal values may come more than once.
    """

    def __init__(self, counted: Sql) -> None:
        self._counted = counted

    def look(self, *, parts: list[float]) -> Look:
        ((people, present, numbers, distinct, edges, everybody),) = fetch(sql(_LOOK, tally=self._counted, parts=parts))
        return Look(people, present, numbers, distinct, edges, everybody)

    def holders(self) -> tuple[int, int]:
        ((own, everywhere),) = fetch(sql(_SET, tally=self._counted))
        return own, everywhere

    def by_values(self, *, limit: int) -> list[tuple[str | None, int, int, bool]]:
        return fetch(sql(_VALUES, tally=self._counted, limit=limit))

    def by_bins(self, *, bounds: list[Decimal]) -> list[tuple[int | None, int, int, bool]]:
        return fetch(sql(_BINS, tally=self._counted, bounds=bounds))


def tally_of(people: Sql, path: Path) -> Tally | None:
    """None where rows are to be read.

    That is where there are few profiles, outside of a snapshot, for elements of lists, and for a trait without a
    column; then one is asked for.
    """
    if not path.single or not worth_it():
        return None
    if not packed_traits([path.text]):
        transaction.on_commit(partial(want_trait, path.text), robust=True)
        return None
    counted = _counted(people, path.text)
    return None if counted is None else Tally(counted)


def _counted(people: Sql, path: str) -> Sql | None:
    import numpy as np

    from identity.columns.queries import read_trait
    from segments.insight.marks import ids_of

    column = read_trait(path)
    ids = ids_of(people)
    places = np.searchsorted(column.profiles, ids)
    places[places == len(column.profiles)] = 0
    inside = np.zeros(len(column.profiles), bool)
    if len(inside):
        inside[places[column.profiles[places] == ids]] = True
    own = np.bincount(column.codes[inside] + 1, minlength=len(column.values) + 1)
    everywhere = np.bincount(column.codes + 1, minlength=len(column.values) + 1)
    held = np.flatnonzero(everywhere).tolist()
    try:
        texts = [json.dumps(column.values[place - 1]) if place else None for place in held]
    except TypeError:  # a number that no float holds
        return None
    return sql(_TALLY, values=texts, own=own[held].tolist(), everywhere=everywhere[held].tolist())


_TALLY = """
SELECT NULLIF(t.value, 'null'::jsonb) AS value, t.own, t.everywhere
FROM unnest({values}::jsonb[], {own}::bigint[], {everywhere}::bigint[]) AS t(value, own, everywhere)
"""
# Of many equal numbers in a row the first is reached at the place after those before it; see `percentile_disc`.
_LOOK = f"""
WITH tally AS MATERIALIZED ({{tally}}),
     numbers AS (SELECT n.number, sum(sum(n.own)) OVER (ORDER BY n.number) AS upto
                 FROM (SELECT {NUMBER} AS number, h.own FROM tally AS h WHERE h.own > 0) AS n
                 WHERE n.number IS NOT NULL GROUP BY n.number),
     everyone AS (SELECT coalesce(max(upto), 0)::bigint AS count FROM numbers)
SELECT coalesce(sum(own), 0)::bigint, coalesce(sum(own) FILTER (WHERE value IS NOT NULL), 0)::bigint,
       (SELECT count FROM everyone), (SELECT count(*) FROM numbers),
       ARRAY(SELECT (SELECT min(number) FROM numbers WHERE upto >= greatest(ceil(p.part * e.count), 1))
             FROM unnest({{parts}}::float8[]) WITH ORDINALITY AS p(part, place), everyone AS e ORDER BY p.place),
       coalesce(sum(everywhere), 0)::bigint
FROM tally
"""
_SET = """
SELECT coalesce(sum(own), 0)::bigint, coalesce(sum(everywhere), 0)::bigint FROM ({tally}) AS h WHERE value IS NOT NULL
"""
_VALUES = f"""
WITH counted AS (SELECT value, sum(own) AS own, sum(everywhere) AS everywhere FROM ({{tally}}) AS h GROUP BY value),
{RANKED}
"""
_BINS = f"""
SELECT CASE WHEN n.number IS NOT NULL THEN width_bucket(n.number, {{bounds}}::numeric[]) END, sum(n.own)::bigint,
       sum(n.everywhere)::bigint, n.value IS NULL AS unset
FROM (SELECT h.*, {NUMBER} AS number FROM ({{tally}}) AS h) AS n
GROUP BY 1, 4 ORDER BY 1, 4
"""
