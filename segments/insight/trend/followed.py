"""At which instants a sequence holds, from one pass over the events of its steps.

A sequence that began with one event holds while that event is in the window, so every event that is a later step
carries the latest instant until which a beginning before it stays in the window (`s0`, `s1` …). Steps that must be
absent are understood at the end; between two steps they are too involved for this.
"""

from segments.ast import Sequence, Stage
from segments.insight.trend.errors import TooInvolvedError
from segments.insight.trend.frame import Frame, Windowed
from segments.plan import RELATIVE
from segments.predicates import path_value
from segments.sql import Sql, conjunction, join, sql
from segments.streams import Dictionary, Selected, located

LATER = "RANGE BETWEEN '1 microsecond' FOLLOWING AND UNBOUNDED FOLLOWING"


class FollowedTrend:
    def __init__(self, sequence: Sequence, frame: Frame, dictionary: Dictionary) -> None:
        self.frame, self.stages = frame, sequence.stages
        self.window = Windowed(sequence.window, frame)
        present = [number for number, stage in enumerate(self.stages) if not stage.absent]
        self.last = present[-1]
        if present != list(range(len(present))):
            raise TooInvolvedError("an event that must not come between two others")
        if any(where.test.op in RELATIVE for stage in self.stages for where in stage.where):
            raise TooInvolvedError("properties that are compared with the date of the day")
        if len(set(self.window.until)) > 1:
            raise TooInvolvedError("a sequence that begins in an earlier day, week or month")
        self.selected = [Selected(stage.events, stage.where, dictionary, frame.clock) for stage in self.stages]
        self.ties = list(dict.fromkeys(stage.same for stage in self.stages if stage.same))

    @property
    def empty(self) -> Sql:
        return self.frame.zeros

    def bits(self, *narrowed: Sql) -> Sql:
        """`(profile_id, bits)`."""
        rows = self._begun(self._matched(narrowed))
        for number in range(1, self.last + 1):
            rows = self._next(rows, number)
        return self._end(self._absent(rows))

    def _matched(self, narrowed: tuple[Sql, ...]) -> Sql:
        since = [sql("e.ts >= {since}", since=self.window.since[0])] if self.window.since else []
        named = sql("({any})", any=join(" OR ", (selected.named for selected in self.selected)))
        up_to_now = sql("e.ts <= {last}", last=self.frame.last)
        matches = (
            sql(f"({{passes}}) IS TRUE AS m{number}", passes=conjunction((selected.named, *selected.lasting)))
            for number, selected in enumerate(self.selected)
        )
        ties = (
            sql(
                f"NULLIF({{value}}, 'null'::jsonb) AS k{place}",
                value=path_value(*located(path, self.frame.clock)),
            )
            for place, path in enumerate(self.ties)
        )
        return sql(
            "SELECT {columns} FROM event AS e WHERE {where}",
            columns=join(", ", (Sql("e.profile_id, e.ts"), *matches, *ties)),
            where=conjunction((*narrowed, named, up_to_now, *since)),
        )

    def _begun(self, rows: Sql) -> Sql:
        until = sql(" AND e.ts < {until}", until=self.window.until[0]) if self.window.until else Sql("")
        return sql(
            "SELECT e.*, CASE WHEN m0{until} THEN {leaves} END AS s0 FROM ({rows}) AS e",
            until=until,
            leaves=self.window.leaves(Sql("e.ts")),
            rows=rows,
        )

    def _next(self, rows: Sql, number: int) -> Sql:
        stage = self.stages[number]
        tie = self._tie(stage)
        begins = (
            sql("{within}::interval PRECEDING", within=stage.within.delta)
            if stage.within
            else Sql("UNBOUNDED PRECEDING")
        )
        return sql(
            f"SELECT e.*, CASE WHEN m{number}{f' AND {tie} IS NOT NULL' if tie else ''} THEN"
            f" max(s{number - 1}) OVER (PARTITION BY e.profile_id{f', {tie}' if tie else ''} ORDER BY e.ts"
            f" RANGE BETWEEN {{begins}} AND '1 microsecond' PRECEDING) END AS s{number} FROM ({{rows}}) AS e",
            begins=begins,
            rows=rows,
        )

    def _absent(self, rows: Sql) -> Sql:
        """When each of what must be absent comes first after an event: `n2`, `n3` …"""
        nexts = Sql("")
        for number, stage in self._absences():
            tie = self._tie(stage)
            partition = f"e.profile_id, {tie}" if tie else "e.profile_id"
            first = f"min(e.ts) FILTER (WHERE m{number}) OVER (PARTITION BY {partition} ORDER BY e.ts {LATER})"
            known = f"CASE WHEN {tie} IS NOT NULL THEN {first} END" if tie else first
            nexts = sql(f"{{nexts}}, {known} AS n{number}", nexts=nexts)
        return sql("SELECT e.*{nexts} FROM ({rows}) AS e", nexts=nexts, rows=rows)

    def _end(self, rows: Sql) -> Sql:
        starts, ends, missed = [self.frame.first_at(Sql("e.ts"))], [Sql(f"s{self.last}")], []
        for number, stage in self._absences():
            if stage.within is None:
                came = self.frame.first_at(Sql(f"n{number}"))
                ends.append(sql("coalesce({came}, {size})", came=came, size=Sql(str(self.frame.size))))
            else:
                over = sql("e.ts + {within}", within=stage.within.delta)
                starts.append(self.frame.first_at(over))
                missed.append(sql(f"(n{number} <= {{over}}) IS NOT TRUE", over=over))
        return sql(
            "SELECT e.profile_id, bit_or({stretch}) AS bits FROM ({rows}) AS e WHERE {where} GROUP BY e.profile_id",
            stretch=self.frame.stretch(
                sql("GREATEST({starts})", starts=join(", ", starts)), sql("LEAST({ends})", ends=join(", ", ends))
            ),
            rows=rows,
            where=conjunction((Sql(f"s{self.last} IS NOT NULL"), *missed)),
        )

    def _absences(self) -> list[tuple[int, Stage]]:
        return [(number, stage) for number, stage in enumerate(self.stages) if stage.absent]

    def _tie(self, stage: Stage) -> str:
        return f"k{self.ties.index(stage.same)}" if stage.same else ""
