"""Breakdowns and overlaps as the templates draw them: shares as lengths of bars, sets as dots."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from segments.ast.times import local_day
from segments.insight.breakdown import Breakdown, Line
from segments.insight.overlap import Overlap
from segments.insight.trend.run import Method, Past


@dataclass(frozen=True)
class Shares:
    """A line of a breakdown. `tone` is more, less or same: beside everybody, are these people this more often?"""

    label: str
    count: int
    share: float
    of_everybody: float
    tone: str
    quiet: bool

    @property
    def length(self) -> float:
        return round(100 * self.share, 2)

    @property
    def mark(self) -> float:
        return round(100 * self.of_everybody, 2)


@dataclass(frozen=True)
class Dot:
    name: str
    is_in: bool


@dataclass(frozen=True)
class Row:
    """A combination of sets: its dots in the order of the columns, and the question for its people."""

    dots: list[Dot]
    label: str
    count: int
    length: float
    query: str


TELLING = 1.2
"""From this ratio of two shares on, a line is said to be more (or less) frequent than among everybody."""


def lines_of(found: Breakdown) -> list[Shares]:
    rest = [line for line in (found.other, found.unset) if line and (line.count or line.of_everybody)]
    return [
        *(_shares(line, found, quiet=False) for line in found.lines),
        *(_shares(line, found, quiet=True) for line in rest),
    ]


def _shares(line: Line, found: Breakdown, *, quiet: bool) -> Shares:
    share = line.count / found.people if found.people else 0.0
    everywhere = line.of_everybody / found.everybody if found.everybody else 0.0
    more, less = share > everywhere * TELLING, share * TELLING < everywhere
    label = line.label if isinstance(line.label, str) else line.label.value
    return Shares(label, line.count, share, everywhere, "more" if more else "less" if less else "same", quiet)


def rows_of(overlap: Overlap) -> list[Row]:
    most = max((combination.count for combination in overlap.combinations), default=0)
    rows = []
    for combination in overlap.combinations:
        dots = [Dot(segment.name, segment.slug in combination.inside) for segment in overlap.sets]
        names = " and ".join(dot.name for dot in dots if dot.is_in)
        query = urlencode({"in": combination.inside, "not": combination.outside}, doseq=True)
        label = f"Only in {names}" if len(combination.inside) == 1 else f"In {names}"
        rows.append(Row(dots, label, combination.count, round(100 * combination.count / most, 2), query))
    return rows


def chart_of(past: Past) -> dict[str, Any]:
    """The past as the `chart` tag takes it; an estimate stands between what it is at least and at most."""
    people = {"name": "People", "data": [point.count for point in past.points]}
    series = [people]
    if past.method is Method.SAMPLE:
        series.append({"name": "At least", "data": [point.low for point in past.points], "colour": "grey"})
        series.append({"name": "At most", "data": [point.high for point in past.points], "colour": "grey"})
    days = [local_day(point.at, settings.TIME_ZONE).isoformat() for point in past.points]
    return {"x": days, "series": series, "time": "day", "axis": "Day"}
