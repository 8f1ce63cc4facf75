"""At which instants a measure over events passes its test, for everybody who has such events, from one pass over them.

Every event is in the window from one instant until before another. So

- "at least once" is the union of these stretches;
- a count or sum changes only where an event enters or leaves: changes are summed up per instant, then over the
  instants in between (`_steps`);
- different values and days are a count in which an event enters where the one before it with the same value leaves;
- a largest or smallest number is above a bound wherever an event above the bound is in the window;
- the first or last value is that of an event until an earlier one has left, or a later one has come.
"""

from math import ceil, floor

from segments.ast import NEGATIVE, Event, Measure, Op, Test
from segments.compile import measure_holds
from segments.insight.trend.errors import TooInvolvedError
from segments.insight.trend.frame import Frame, Windowed
from segments.plan import RELATIVE, Measured, compare, make_plan
from segments.predicates import COMPARISONS, value_holds
from segments.sql import Sql, conjunction, join, sql
from segments.streams import Dictionary, Stream, number_of

WHOLE = frozenset({Measure.COUNT, Measure.DAYS, Measure.DISTINCT})


class MeasuredTrend:
    """The instants of one condition: `bits` of those who have such events, `empty` of all others."""

    def __init__(self, event: Event, frame: Frame, dictionary: Dictionary) -> None:
        plan = make_plan(event, now=frame.last, zone=frame.zone)
        (measured,) = plan.behaviours
        if not isinstance(measured, Measured):
            raise TypeError(measured)
        if any(where.test.op in RELATIVE for where in event.where):
            raise TooInvolvedError("properties that are compared with the date of the day")
        self.measured, self.test, self.frame = measured, event.test, frame
        self.window = Windowed(event.window, frame)
        self.stream = Stream(measured, dictionary, frame.clock)

    @property
    def empty(self) -> Sql:
        return self.frame.ones if self.measured.holds_when_empty else self.frame.zeros

    def bits(self, *narrowed: Sql) -> Sql:
        """`(profile_id, bits)`."""
        match self.measured.measure:
            case _ if self.measured.span is not None:
                return self._stretches(narrowed)
            case Measure.COUNT if (once := self._once()) is not None:
                return self._union(narrowed, once=once)
            case Measure.MIN | Measure.MAX:
                return self._extreme(narrowed)
            case Measure.FIRST | Measure.LAST:
                return self._first_or_last(narrowed)
            case _:
                return self._steps(narrowed)

    def _rows(self, narrowed: tuple[Sql, ...], *columns: Sql, only: Sql | None = None) -> Sql:
        """The events that are in the window at some instant, with the numbers of instants between which they are."""
        ts = Sql("e.ts")
        selected = self.stream.selected
        where = [*narrowed, selected.named, *selected.lasting, *self.window.within(ts), *([only] if only else [])]
        return sql(
            "SELECT * FROM (SELECT {columns} FROM {source} WHERE {where}) AS e WHERE e.i < e.j",
            columns=join(
                ", ",
                (
                    Sql("e.profile_id"),
                    sql("{enters} AS i", enters=self.window.enters(ts)),
                    sql("{leaves} AS j", leaves=self.window.leaves(ts)),
                    *columns,
                ),
            ),
            source=self.stream.source,
            where=conjunction(where),
        )

    # --- At least once, or never ----------------------------------------------------------------------------------

    def _once(self) -> bool | None:
        """True for tests that mean "at least once", False for "never", None for others."""
        if self.test.op not in {Op.GT, Op.GTE, Op.LT, Op.LTE}:
            return None
        answers = (compare(0, self.test), compare(1, self.test), compare(2, self.test))
        return {(False, True, True): True, (True, False, False): False}.get(answers)

    def _union(self, narrowed: tuple[Sql, ...], *, once: bool) -> Sql:
        return sql(
            "SELECT e.profile_id, {sign}bit_or({stretch}) AS bits FROM ({rows}) AS e GROUP BY e.profile_id",
            sign=Sql("" if once else "~"),
            stretch=self._stretch("e.i", "e.j"),
            rows=self._rows(narrowed),
        )

    def _stretch(self, start: str, end: str) -> Sql:
        return self.frame.stretch(Sql(start), Sql(end))

    # --- Counts and sums ------------------------------------------------------------------------------------------

    def _steps(self, narrowed: tuple[Sql, ...]) -> Sql:
        """Between two changes the measure stays as it is; before the first it is that of no events.

        Whole numbers stay integers all the way, which needs no numeric arithmetic.
        """
        whole = self.measured.measure in WHOLE
        kind = "int" if whole else "numeric"
        before = self._stretch("0", "min(s.at)") if self.measured.holds_when_empty else self.frame.zeros
        averages = self.measured.measure is Measure.AVG
        running = ", sum(c.number) OVER each AS number" if averages else ""
        changed = ", sum(d.sign * g.number)::int AS number" if averages else ""
        return sql(
            "SELECT s.profile_id, bit_or(CASE WHEN {holds} THEN {stretch} ELSE {zeros} END) | {before} AS bits FROM ("
            "SELECT c.profile_id, c.at, lead(c.at, 1, {size}) OVER each AS next,"
            f" sum(c.amount) OVER each AS amount{running} FROM ("
            f"SELECT g.profile_id, d.at, sum(d.sign * g.amount)::{kind} AS amount{changed} FROM ("
            f"SELECT e.profile_id, e.i, e.j, sum(e.amount)::{kind} AS amount, count(*)::int AS number"
            " FROM ({rows}) AS e GROUP BY 1, 2, 3) AS g"
            " CROSS JOIN LATERAL (VALUES (g.i, 1), (g.j, -1)) AS d(at, sign) GROUP BY 1, 2"
            ") AS c WINDOW each AS (PARTITION BY c.profile_id ORDER BY c.at)) AS s GROUP BY s.profile_id",
            holds=self._step_holds(),
            stretch=self._stretch("s.at", "s.next"),
            zeros=self.frame.zeros,
            before=before,
            size=Sql(str(self.frame.size)),
            rows=self._amounts(narrowed),
        )

    def _step_holds(self) -> Sql:
        if self.measured.measure is not Measure.AVG:
            return measure_holds(Measure.SUM, self.test, Sql("s.amount"), self.frame.clock)
        return sql("(s.number > 0 AND {test})", test=_average_holds(self.test))

    def _amounts(self, narrowed: tuple[Sql, ...]) -> Sql:
        match self.measured.measure:
            case Measure.SUM | Measure.AVG:
                number = number_of(self.stream.operand)
                only = sql("{number} IS NOT NULL", number=number)
                return self._rows(narrowed, sql("{number} AS amount", number=number), only=only)
            case Measure.DAYS:
                day = sql("(e.ts AT TIME ZONE {zone})::date", zone=self.frame.zone)
                return self._different(self._rows(narrowed, Sql("e.ts"), sql("{day} AS key", day=day)))
            case Measure.DISTINCT:
                only = sql("jsonb_typeof({of}) <> 'null'", of=self.stream.operand)
                key = sql("{of} AS key", of=self.stream.operand)
                return self._different(self._rows(narrowed, Sql("e.ts"), key, only=only))
            case _:
                return self._rows(narrowed, Sql("1 AS amount"))

    @staticmethod
    def _different(rows: Sql) -> Sql:
        return sql(
            "SELECT * FROM (SELECT e.profile_id, GREATEST(e.i, lag(e.j, 1, 0) OVER (PARTITION BY e.profile_id, e.key"
            " ORDER BY e.ts)) AS i, e.j, 1 AS amount FROM ({rows}) AS e) AS e WHERE e.i < e.j",
            rows=rows,
        )

    # --- Largest, smallest, first, last ---------------------------------------------------------------------------

    def _extreme(self, narrowed: tuple[Sql, ...]) -> Sql:
        number = number_of(self.stream.operand)
        only = sql("{number} IS NOT NULL", number=number)
        return sql(
            "SELECT e.profile_id, {bits} AS bits FROM ({rows}) AS e GROUP BY e.profile_id",
            bits=self._extreme_bits(self.test),
            rows=self._rows(narrowed, sql("{number} AS number", number=number), only=only),
        )

    def _extreme_bits(self, test: Test) -> Sql:
        """Above a bound is wherever one number is; everything else follows from that."""
        largest = self.measured.measure is Measure.MAX
        match test.op:
            case Op.GT | Op.GTE if largest:
                return self._any_number(COMPARISONS[test.op], test.value)
            case Op.LT | Op.LTE if not largest:
                return self._any_number(COMPARISONS[test.op], test.value)
            case Op.GT | Op.GTE | Op.LT | Op.LTE:
                opposite = {Op.GT: Op.LTE, Op.GTE: Op.LT, Op.LT: Op.GTE, Op.LTE: Op.GT}[test.op]
                return self._but_not(Test(opposite, test.value))
            case Op.NEQ:
                return self._but_not(Test(Op.EQ, test.value))
            case _:
                low, high = test.value if isinstance(test.value, tuple) else (test.value, test.value)
                both = (self._extreme_bits(Test(Op.GTE, low)), self._extreme_bits(Test(Op.LTE, high)))
                return sql("({both})", both=join(" & ", both))

    def _but_not(self, test: Test) -> Sql:
        anything = sql("bit_or({stretch})", stretch=self._stretch("e.i", "e.j"))
        return sql("({any} & ~{part})", any=anything, part=self._extreme_bits(test))

    def _any_number(self, sign: str, bound: object) -> Sql:
        return sql(
            f"coalesce(bit_or({{stretch}}) FILTER (WHERE e.number {sign} {{bound}}), {{zeros}})",
            stretch=self._stretch("e.i", "e.j"),
            bound=bound,
            zeros=self.frame.zeros,
        )

    def _first_or_last(self, narrowed: tuple[Sql, ...]) -> Sql:
        if self.test.op in RELATIVE:
            raise TooInvolvedError("a first or last value that is compared with the date of the day")
        only = sql("jsonb_typeof({of}) <> 'null'", of=self.stream.operand)
        rows = self._rows(narrowed, Sql("e.ts"), Sql("e.id"), sql("{of} AS value", of=self.stream.operand), only=only)
        earlier = "GREATEST(e.i, lag(e.j, 1, 0) OVER each)"
        later = f"LEAST(e.j, lead(e.i, 1, {self.frame.size}) OVER each)"
        is_last = self.measured.measure is Measure.LAST
        start, end = ("e.i", later) if is_last else (earlier, "e.j")
        negative = self.test.op in NEGATIVE
        positive = Test(NEGATIVE[self.test.op], self.test.value) if negative else self.test
        return sql(
            f"SELECT e.profile_id, bit_or(CASE WHEN ({{holds}}) IS {'NOT ' if negative else ''}TRUE THEN {{stretch}}"
            f" ELSE {{zeros}} END) AS bits FROM (SELECT e.profile_id, e.value, {start} AS i, {end} AS j"
            " FROM ({rows}) AS e WINDOW each AS (PARTITION BY e.profile_id ORDER BY e.ts, e.id)) AS e"
            " GROUP BY e.profile_id",
            holds=value_holds(positive, Sql("e.value"), self.frame.clock),
            stretch=self._stretch("e.i", "e.j"),
            zeros=self.frame.zeros,
            rows=rows,
        )

    # --- Stretches of time ----------------------------------------------------------------------------------------

    def _stretches(self, narrowed: tuple[Sql, ...]) -> Sql:
        """An event and the one that many places behind it, near enough: while both are in the window."""
        bound = self.test.value
        at_least = self.test.op in {Op.GT, Op.GTE} and self.measured.measure is Measure.COUNT
        if not at_least or not isinstance(bound, int | float):
            raise TooInvolvedError("a sum within a stretch of time")
        needed = floor(bound) + 1 if self.test.op is Op.GT else ceil(bound)
        if needed < 1:
            raise TooInvolvedError("a stretch of time in which nothing need happen")
        return sql(
            "SELECT e.profile_id, bit_or({stretch}) AS bits FROM (SELECT e.profile_id, e.j, e.ts,"
            " lead(e.i, {further}) OVER each AS i, lead(e.ts, {further}) OVER each AS until FROM ({rows}) AS e"
            " WINDOW each AS (PARTITION BY e.profile_id ORDER BY e.ts)) AS e"
            " WHERE e.until - e.ts <= {span} GROUP BY e.profile_id",
            stretch=self._stretch("e.i", "e.j"),
            further=Sql(str(needed - 1)),
            rows=self._rows(narrowed, Sql("e.ts")),
            span=self.measured.span,
        )


def _average_holds(test: Test) -> Sql:
    """By multiplication, which is exact."""
    if isinstance(test.value, tuple):
        low, high = test.value
        return sql("s.amount BETWEEN {low} * s.number AND {high} * s.number", low=low, high=high)
    sign = {Op.EQ: "=", Op.NEQ: "<>", **COMPARISONS}[test.op]
    return sql(f"s.amount {sign} {{wanted}} * s.number", wanted=test.value)
