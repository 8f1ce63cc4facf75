"""What can be asked of computed traits: how values are spread, who has what, what an unsaved one would give."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from segments.computed.ask import PARTS, Bounds, ask, ask_bounds
from segments.computed.definition import Definition, Lifecycle, Measured, Rfm, Take, Tiers, read
from segments.computed.evaluate import loaded
from segments.computed.models import ComputedTrait
from segments.computed.sentence import describe
from segments.engine import fetch, limited_population
from segments.sql import Sql, sql

PREVIEW_SECONDS = 10
SAMPLE = 5_000
"""Profiles, spread over all, that a preview asks."""
MOST_VALUES = 12
BINS = 10


@dataclass(frozen=True)
class Spread:
    """How many profiles have which value; `series` are more than one for the parts of RFM."""

    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]
    having: int

    def as_chart(self) -> dict[str, Any]:
        return {"x": list(self.labels), "series": [{"name": name, "data": list(data)} for name, data in self.series]}


@dataclass(frozen=True)
class Preview:
    """Of a sample of profiles: how many were asked, how many have a value, which, and some of them."""

    sentence: str
    asked: int
    having: int
    spread: Spread
    sample: tuple[tuple[int, Any], ...]
    bounds: Bounds | None


def preview(*, definition: Any, now: datetime, people: int = 5) -> Preview:
    """What a definition would give, asked of some profiles; nothing is written.

    Raises:
        DefinitionError, QueryTooSlowError
    """
    node = read(definition)
    with limited_population(timeout_seconds=PREVIEW_SECONDS):
        bounds = estimate_bounds(node, now=now) if isinstance(node, Rfm) else None
        ids = _sample_ids()
        asked = sql(
            "SELECT i.id, q.value FROM unnest({ids}::bigint[]) AS i(id) JOIN profile AS p ON p.id = i.id"
            " CROSS JOIN LATERAL ({asked} OFFSET 0) AS q WHERE q.value IS NOT NULL",
            ids=ids,
            asked=ask(node, now=now, bounds=bounds),
        )
        values = sql("SELECT value FROM ({asked}) AS a", asked=asked)
        spread = _spread(node, values)
        some = fetch(
            sql("SELECT id, value::text FROM ({asked}) AS a ORDER BY id DESC LIMIT {n}", asked=asked, n=people)
        )
    sample = tuple((id_, loaded(value)) for id_, value in some)
    return Preview(describe(node), len(ids), spread.having, spread, sample, bounds)


def estimate_bounds(node: Rfm, *, now: datetime) -> Bounds:
    (cuts,) = fetch(ask_bounds(node, now=now))
    return {part: [float(cut) for cut in listed or ()] for part, listed in zip(PARTS, cuts, strict=True)}


def _sample_ids() -> list[int]:
    """Every n-th profile by id, so that old and new ones are among them."""
    ((last,),) = fetch(Sql("SELECT coalesce(max(id), 0) FROM profile"))
    step = max(1, last // SAMPLE)
    some = "SELECT id FROM profile WHERE id %% {step} = 0 ORDER BY id DESC LIMIT {most}"
    return [row[0] for row in fetch(sql(some, step=step, most=SAMPLE))]


# --- Of those that are kept -------------------------------------------------------------------------------------


def spread_of(trait: ComputedTrait) -> Spread:
    values = sql(
        "SELECT value FROM computed_value WHERE trait_id = {id} AND version = {version} AND value IS NOT NULL",
        id=trait.pk,
        version=trait.live_version,
    )
    return _spread(read(trait.live_definition or trait.definition), values)


def some_holders(trait: ComputedTrait, *, limit: int) -> list[tuple[int, Any, datetime]]:
    """Those whose value changed last: profile, value, and when it was computed."""
    newest = (
        "SELECT profile_id, value::text, computed_at FROM computed_value WHERE trait_id = {id} AND version = {version}"
        " AND value IS NOT NULL ORDER BY computed_at DESC, profile_id DESC LIMIT {limit}"
    )
    rows = fetch(sql(newest, id=trait.pk, version=trait.live_version, limit=limit))
    return [(id_, loaded(value), at) for id_, value, at in rows]


def labels_by_name() -> dict[str, str]:
    return dict(ComputedTrait.objects.values_list("name", "label"))


# --- How values are spread --------------------------------------------------------------------------------------


def _spread(node: Definition, values: Sql) -> Spread:
    match node:
        case Rfm():
            return _scores(values)
        case Measured(Take.FIRST_AT | Take.LAST_AT):
            return _months(values)
        case Measured(Take.FIRST | Take.LAST | Take.MOST_FREQUENT) | Lifecycle() | Tiers():
            return _texts(values)
        case _:
            return _numbers(values)


def _scores(values: Sql) -> Spread:
    counts = {part: [0] * 5 for part in PARTS}
    having = 0
    for *scores, count in fetch(
        sql(
            "SELECT (value ->> 'recency')::int, (value ->> 'frequency')::int, (value ->> 'monetary')::int, count(*)"
            " FROM ({values}) AS v GROUP BY 1, 2, 3",
            values=values,
        )
    ):
        having += count
        for part, score in zip(PARTS, scores, strict=True):
            counts[part][score - 1] += count
    series = tuple((part.capitalize(), tuple(counts[part])) for part in PARTS)
    return Spread(("1", "2", "3", "4", "5"), series, having)


def _months(values: Sql) -> Spread:
    month = "SELECT left(value #>> '{{}}', 7), count(*) FROM ({values}) AS v GROUP BY 1 ORDER BY 1 DESC LIMIT 24"
    return _of_rows(list(reversed(fetch(sql(month, values=values)))))


def _texts(values: Sql) -> Spread:
    most = "SELECT left(value #>> '{{}}', 40), count(*) FROM ({values}) AS v GROUP BY 1 ORDER BY 2 DESC, 1"
    rows = fetch(sql(most, values=values))
    others = sum(count for _, count in rows[MOST_VALUES:])
    return _of_rows([*rows[:MOST_VALUES], *([("others", others)] if others else [])])


_RANGE = """
SELECT count(*), min(n), max(n), percentile_disc(0.98) WITHIN GROUP (ORDER BY n)
FROM (SELECT value::numeric AS n FROM ({values}) AS v WHERE jsonb_typeof(value) = 'number') AS numbers
"""
_BINNED = """
SELECT least(width_bucket(n, {low}::numeric, {high}::numeric, {bins}), {last}), count(*)
FROM (SELECT value::numeric AS n FROM ({values}) AS v WHERE jsonb_typeof(value) = 'number') AS numbers GROUP BY 1
"""


def _numbers(values: Sql) -> Spread:
    """Ten stretches up to what nearly nobody exceeds, and one for those beyond; whole numbers where there are few."""
    ((having, low, high, usual),) = fetch(sql(_RANGE, values=values))
    if not having:
        return Spread((), (("People", ()),), 0)
    if low == high:
        return Spread((f"{low:g}",), (("People", (having,)),), having)
    whole = low == int(low) and high - low <= BINS and high == int(high)
    top = high + 1 if whole else max(usual, low + (high - low) / 1000)
    bins = int(high - low) + 1 if whole else BINS
    counts = dict(fetch(sql(_BINNED, values=values, low=low, high=top, bins=bins, last=bins + 1)))
    width = (top - low) / bins
    labels = [
        f"{low + width * place:.0f}" if whole else f"{low + width * place:,.4g} – {low + width * (place + 1):,.4g}"
        for place in range(bins)
    ]
    if not whole:
        labels.append(f"from {top:,.4g}")
    data = [counts.get(place + 1, 0) for place in range(len(labels))]
    return Spread(tuple(labels), (("People", tuple(data)),), having)


def _of_rows(rows: Sequence[tuple[str, int]]) -> Spread:
    data = tuple(count for _, count in rows)
    return Spread(tuple(label for label, _ in rows), (("People", data),), sum(data))
