"""Sequences as SQL: one pass over a person's events per step, forwards in time.

1. Which events can be which step: `m0`, `m1` … of every event of any of the steps' names.
2. `r0`: the first step, in the window. From each event that is a step there is a time until which the next one may
   come: `within` after it, or the first event that must be absent in between, whichever is earlier.
3. `r1`: an event is the next step if such a time, of some strictly earlier event, has not run out before it. So on.
4. What must be absent at the end is asked of every event that is the last step.

Every question about "some earlier event" or "the next event after" is one window function, so the whole costs a few
sorts, however long and repetitive somebody's history is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from segments.ast import Path, Stage
from segments.plan import Clock, Followed
from segments.predicates import path_value
from segments.sql import Sql, conjunction, earliest, join, sql
from segments.streams import Dictionary, Selected, located

EARLIER = "RANGE BETWEEN UNBOUNDED PRECEDING AND '1 microsecond' PRECEDING"


@dataclass(frozen=True)
class Present:
    """A step that has to happen, and what must be absent after it, before the next or for ever."""

    number: int
    stage: Stage
    absent: tuple[tuple[int, Stage], ...]


class Trail:
    """The events of a sequence, and what they come to for each person."""

    def __init__(self, followed: Followed, dictionary: Dictionary, clock: Clock) -> None:
        self.followed = followed
        self.clock = clock
        self.selected = [Selected(stage.events, stage.where, dictionary, clock) for stage in followed.stages]
        self.present = group(followed.stages)
        self.ties = list(dict.fromkeys(stage.same for stage in followed.stages if stage.same))

    def grouped(self, *narrowed: Sql) -> Sql:
        """`(profile_id, holds, pending, coming, oldest, any_event, edge)` of everybody who did any of the steps."""
        return self._end(self._stepped(*narrowed), self.present[-1])

    def reached(self, *narrowed: Sql) -> Sql:
        """`(id, ts, steps)` of every event that is a step: the numbers of the steps that it can be, from 0."""
        steps = (Sql(f"CASE WHEN e.r{step.number} THEN {step.number} END") for step in self.present)
        return sql(
            "SELECT * FROM (SELECT e.id, e.ts, array_remove(ARRAY[{steps}], NULL) AS steps FROM ({rows}) AS e) AS s"
            " WHERE steps <> '{{}}'",
            steps=join(", ", steps),
            rows=self._stepped(*narrowed),
        )

    def _stepped(self, *narrowed: Sql) -> Sql:
        rows = self._first_step(self._matched(*narrowed))
        for before, step in zip(self.present, self.present[1:], strict=False):
            rows = self._next_step(rows, before, step)
        return rows

    def _matched(self, *narrowed: Sql) -> Sql:
        extent = self.followed.extent
        some = (sql("({step})", step=conjunction((each.named, *each.lasting))) for each in self.selected)
        any_step = sql("({any})", any=join(" OR ", some))
        since = [sql("e.ts >= {since}", since=extent.since)] if extent.since else []
        matches = (
            sql(f"({{passes}}) IS TRUE AS m{number}", passes=self._passes(selected))
            for number, selected in enumerate(self.selected)
        )
        ties = (sql(f"{{value}} AS k{place}", value=self._value(path)) for place, path in enumerate(self.ties))
        edge = earliest([edge for selected in self.selected for edge in selected.edges]) or Sql("NULL::timestamptz")
        return sql(
            "SELECT e.profile_id, e.id, e.ts, {columns}, {edge} AS edge FROM event AS e WHERE {where}",
            columns=join(", ", (*matches, *ties)),
            edge=edge,
            where=conjunction((*narrowed, any_step, *since)),
        )

    def _passes(self, selected: Selected) -> Sql:
        return conjunction(
            (selected.named, sql("e.ts <= {now}", now=self.clock.now), *selected.lasting, *selected.relative)
        )

    def _value(self, path: Path) -> Sql:
        return sql("NULLIF({value}, 'null'::jsonb)", value=path_value(*located(path, self.clock)))

    def _first_step(self, rows: Sql) -> Sql:
        until = self.followed.extent.until
        first = sql("m0 AND e.ts < {until}", until=until) if until else Sql("m0")
        return sql("SELECT e.*, {first} AS r0{next} FROM ({rows}) AS e", first=first, next=self._nexts(0), rows=rows)

    def _next_step(self, rows: Sql, before: Present, step: Present) -> Sql:
        tie = self._tie(step.stage)
        reached = sql(
            f"m{step.number} AND coalesce(max({{until}}) FILTER (WHERE r{before.number}) OVER ("
            f"PARTITION BY e.profile_id{', ' + tie if tie else ''} ORDER BY e.ts {EARLIER}) >= e.ts, false)",
            until=self._runs_out(before, step.stage),
        )
        if tie:
            reached = sql(f"{{reached}} AND {tie} IS NOT NULL", reached=reached)
        return sql(
            f"SELECT e.*, {{reached}} AS r{step.number}{{next}} FROM ({{rows}}) AS e",
            reached=reached,
            next=self._nexts(self.present.index(step)),
            rows=rows,
        )

    def _nexts(self, place: int) -> Sql:
        """For every event, when the first of each kind that must be absent after it comes: `n2`, `n3` …"""
        nexts = Sql("")
        for number, stage in self.present[place].absent:
            tie = self._tie(stage)
            partition = f"e.profile_id, {tie}" if tie else "e.profile_id"
            first = f"min(e.ts) FILTER (WHERE m{number}) OVER (PARTITION BY {partition} ORDER BY e.ts DESC {EARLIER})"
            known = f"CASE WHEN {tie} IS NOT NULL THEN {first} END" if tie else first
            nexts = sql(f"{{nexts}}, {known} AS n{number}", nexts=nexts)
        return nexts

    def _runs_out(self, before: Present, following: Stage) -> Sql:
        ends = [sql("e.ts + {within}", within=following.within.delta)] if following.within else []
        for number, stage in before.absent:
            if stage.within:
                near = sql(f"n{number} <= e.ts + {{within}}", within=stage.within.delta)
                ends.append(sql(f"CASE WHEN {{near}} THEN n{number} END", near=near))
            else:
                ends.append(Sql(f"n{number}"))
        return sql("coalesce({ends}, 'infinity')", ends=earliest(ends)) if ends else Sql("'infinity'::timestamptz")

    def _end(self, rows: Sql, last: Present) -> Sql:
        reached = Sql(f"r{last.number}")
        missed = [self._is_missed(number, stage) for number, stage in last.absent]
        timed = [sql("e.ts + {within}", within=stage.within.delta) for _, stage in last.absent if stage.within]
        over = sql("GREATEST({timed})", timed=join(", ", timed)) if timed else None
        holds, pending = conjunction((reached, *missed)), Sql("NULL::timestamptz")
        if over:
            pending = sql(
                "min({over}) FILTER (WHERE {holds} AND {over} > {now})", over=over, holds=holds, now=self.now
            )
            holds = sql("{holds} AND {over} <= {now}", holds=holds, over=over, now=self.now)
        return sql(
            "SELECT e.profile_id, bool_or({holds}) AS holds, {pending} AS pending,"
            " min(e.ts) FILTER (WHERE e.ts > {now}) AS coming, min(e.ts) FILTER (WHERE r0) AS oldest,"
            " count(*) > 0 AS any_event, min(e.edge) AS edge FROM ({rows}) AS e GROUP BY e.profile_id",
            holds=holds,
            pending=pending,
            now=self.now,
            rows=rows,
        )

    @property
    def now(self) -> Sql:
        return sql("{now}::timestamptz", now=self.clock.now)

    def _is_missed(self, number: int, stage: Stage) -> Sql:
        """Whether what must be absent at the end has not come so far, or came too late to matter."""
        if stage.within is None:
            return Sql(f"n{number} IS NULL")
        return sql(f"(n{number} <= e.ts + {{within}}) IS NOT TRUE", within=stage.within.delta)

    def _tie(self, stage: Stage) -> str:
        return f"k{self.ties.index(stage.same)}" if stage.same else ""


def group(stages: Sequence[Stage]) -> list[Present]:
    found: list[Present] = []
    for number, stage in enumerate(stages):
        if stage.absent:
            last = found[-1]
            found[-1] = Present(last.number, last.stage, (*last.absent, (number, stage)))
        else:
            found.append(Present(number, stage, ()))
    return found
