"""Some people by the values of one trait, beside everybody: which values are theirs more than others'?

1. What the trait holds for these people is looked at first: how many have it, how many have a number.
2. Mostly numbers, and many of them: the people are cut into parts of about the same size (quantiles).
3. Otherwise the most frequent values, and the rest together.

Everybody is counted by the same values or bins in the same pass, so that two shares stand side by side.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from ingestion.dictionary.masking import CLEAR, Masker
from segments.ast import DefinitionError, Path, parse
from segments.ast import Trait as TraitNode
from segments.engine import fetch
from segments.predicates import elements, path_value
from segments.sql import Sql, sql

VALUES = 10
BINS = 5
MANY_NUMBERS = 12
TRAITS = Sql("p.traits")
LONGEST = 80


class Rest(Enum):
    """Lines that are no value."""

    OTHER = "All others"
    UNSET = "Not set"


OTHER, UNSET = Rest.OTHER, Rest.UNSET
Label = str | Rest


@dataclass(frozen=True)
class Line:
    """One value or bin. `of_everybody` counts all profiles that have it."""

    label: Label
    count: int
    of_everybody: int


@dataclass(frozen=True)
class Breakdown:
    """`kind`: values, bins, or hidden where the person who asks may not see the values. A list counts each element
    once per person, so that lines may come to more than the people.
    """

    trait: str
    kind: str
    people: int
    everybody: int
    lines: list[Line]
    other: Line | None = None
    unset: Line | None = None


def trait_path(name: str) -> Path:
    """Raises DefinitionError, with the path `/trait`."""
    node = parse({"type": "trait", "trait": name, "op": "exists"})
    if not isinstance(node, TraitNode):
        raise DefinitionError("This is no trait.", code="invalid_path", path="/trait")
    return node.trait


def break_down(*, people: Sql, trait: str, masker: Masker = CLEAR) -> Breakdown:
    """`people` yields `(profile_id)`; ask within `segments.insight.people.asked`."""
    held = _held(trait_path(trait))
    ((total, present, numbers, distinct, edges),) = fetch(sql(_LOOK, people=people, held=held, parts=_parts()))
    ((everybody,),) = fetch(Sql("SELECT count(*) FROM profile"))
    if masker.value("trait", "", trait, "Probe 1") != "Probe 1":
        kind, lines = "hidden", _set_or_not(people, held, total, everybody)
    elif numbers * 2 > present and distinct > MANY_NUMBERS:
        kind, lines = "bins", _by_bins(people, held, edges)
    else:
        kind, lines = "values", _by_values(people, held)
    named = [line for line in lines if line.label not in {UNSET, OTHER}]
    found = {line.label: line for line in lines}
    return Breakdown(trait, kind, total, everybody, named, found.get(OTHER), found.get(UNSET))


def _parts() -> list[float]:
    return [number / BINS for number in range(BINS + 1)]


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


_NUMBER = (
    "CASE WHEN jsonb_typeof(h.value) = 'number' AND h.value BETWEEN '-1e100'::jsonb AND '1e100'::jsonb"
    " THEN h.value::numeric END"
)
_LOOK = f"""
WITH people AS MATERIALIZED ({{people}}),
     own AS (SELECT h.profile_id, h.value, {_NUMBER} AS number
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
# The most frequent of these people's; among equally frequent ones those that fewer others have.
_VALUES = """
WITH people AS MATERIALIZED ({people}),
     counted AS (SELECT h.value, count(b.profile_id) AS own, count(*) AS everywhere
                 FROM ({held}) AS h LEFT JOIN people AS b ON b.profile_id = h.profile_id GROUP BY h.value),
     ranked AS (SELECT *, row_number() OVER (ORDER BY value IS NULL, own DESC, everywhere DESC, value) AS place
                FROM counted)
SELECT CASE WHEN value IS NOT NULL AND place <= {limit} THEN value::text END AS shown,
       sum(own)::bigint, sum(everywhere)::bigint, value IS NULL AS unset
FROM ranked GROUP BY 1, 4 ORDER BY 2 DESC, 3 DESC, 1
"""
_BINS = f"""
WITH people AS MATERIALIZED ({{people}})
SELECT CASE WHEN n.number IS NOT NULL THEN width_bucket(n.number, {{bounds}}::numeric[]) END, count(b.profile_id),
       count(*), n.value IS NULL AS unset
FROM (SELECT h.*, {_NUMBER} AS number FROM ({{held}}) AS h) AS n LEFT JOIN people AS b ON b.profile_id = n.profile_id
GROUP BY 1, 4 ORDER BY 1
"""


def _set_or_not(people: Sql, held: Sql, total: int, everybody: int) -> list[Line]:
    ((own, everywhere),) = fetch(sql(_SET, people=people, held=held))
    return [Line("Set", own, everywhere), Line(UNSET, total - own, everybody - everywhere)]


def _by_values(people: Sql, held: Sql) -> list[Line]:
    rows = fetch(sql(_VALUES, people=people, held=held, limit=VALUES))
    return [Line(_value_label(shown, unset=unset), own, everywhere) for shown, own, everywhere, unset in rows]


def _value_label(shown: str | None, *, unset: bool) -> Label:
    if unset:
        return UNSET
    return OTHER if shown is None else _label(json.loads(shown))


def _by_bins(people: Sql, held: Sql, edges: list[Decimal]) -> list[Line]:
    """`edges` are the smallest number that these people have, those between the bins, and the largest."""
    distinct = sorted(set(edges))
    bounds = distinct[1:-1] or distinct[-1:]
    rows = fetch(sql(_BINS, people=people, held=held, bounds=bounds))
    return [Line(_bin_label(place, bounds, unset=unset), own, everywhere) for place, own, everywhere, unset in rows]


def _bin_label(place: int | None, bounds: list[Decimal], *, unset: bool) -> Label:
    if place is None:
        return UNSET if unset else OTHER
    if place == 0:
        return f"below {_number(bounds[0])}"
    if place == len(bounds):
        return f"{_number(bounds[-1])} and more"
    return f"{_number(bounds[place - 1])} to below {_number(bounds[place])}"


def _number(number: Decimal) -> str:
    rounded = round(number, 2)
    return f"{rounded.normalize():,f}"


def _label(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…") or "“”"
