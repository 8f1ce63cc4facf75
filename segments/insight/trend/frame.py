"""The instants of a trend, and sets of them as bit strings: bit 0 is the earliest instant.

Every question "at which of these instants does it hold?" is answered by a bit string. All, any and not are then `&`,
`|` and `~`, and a stretch of instants is two shifts of a string of ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from segments.ast import Window
from segments.ast.times import MICROSECOND, local_day, start_of
from segments.plan import Clock, Extent, extent_of
from segments.sql import Sql, join, sql


def daily_instants(*, now: datetime, days: int, zone: str) -> tuple[datetime, ...]:
    """The last instant of each of the `days` days before today, and now."""
    today = local_day(now, zone)
    ends = (start_of(today - timedelta(days=back), zone) - MICROSECOND for back in reversed(range(days)))
    return (*ends, now)


@dataclass(frozen=True)
class Frame:
    instants: tuple[datetime, ...]
    zone: str

    @property
    def size(self) -> int:
        return len(self.instants)

    @property
    def last(self) -> datetime:
        return self.instants[-1]

    @cached_property
    def clock(self) -> Clock:
        return Clock(self.last, self.zone)

    @property
    def ones(self) -> Sql:
        return Sql(f"B'{'1' * self.size}'")

    @property
    def zeros(self) -> Sql:
        return Sql(f"B'{'0' * self.size}'")

    def bits(self, numbers: set[int]) -> str:
        return "".join("1" if number in numbers else "0" for number in range(self.size))

    def always(self, condition: Sql) -> Sql:
        """All instants or none."""
        return sql("CASE WHEN {holds} THEN {ones} ELSE {zeros} END", holds=condition, ones=self.ones, zeros=self.zeros)

    def stretch(self, start: Sql, end: Sql) -> Sql:
        """The instants from number `start` until before number `end`; none where they cross."""
        return sql(
            "(({ones} >> {start}) & ~({ones} >> {end}))", ones=self.ones, start=at_least_0(start), end=at_least_0(end)
        )

    def first_at(self, moment: Sql) -> Sql:
        """The number of the first instant at or after a moment; `size` where there is none."""
        return sql(
            "width_bucket({moment} - {tick}, {instants}::timestamptz[])",
            moment=moment,
            tick=MICROSECOND,
            instants=list(self.instants),
        )


def at_least_0(number: Sql) -> Sql:
    return number if number.text.isidentifier() else sql("({number})", number=number)


class Windowed:
    """At which instants a window holds an event: from number `enters` until before number `leaves`.

    Both ends of a window only ever move on, so these are stretches; each bound is looked up in the list of what the
    bound is at each instant. Both grow with the time of the event.
    """

    def __init__(self, window: Window | None, frame: Frame) -> None:
        extents = [extent_of(window, Clock(instant, frame.zone)) for instant in frame.instants]
        self.frame = frame
        self.since = [extent.since for extent in extents if extent.since]
        ends = [extent.until for extent in extents if extent.until]
        later = all(end > instant for end, instant in zip(ends, frame.instants, strict=False))
        self.until = [] if later else ends  # what ends later than now holds whatever came by now

    @property
    def lasting(self) -> Extent:
        """What is in the window at some instant, up to the last of them."""
        return Extent(since=self.since[0] if self.since else None, until=self.until[-1] if self.until else None)

    def enters(self, ts: Sql) -> Sql:
        came = self.frame.first_at(ts)
        if not self.until:
            return came
        return sql("GREATEST({came}, {turned})", came=came, turned=_passed(ts, self.until))

    def leaves(self, ts: Sql) -> Sql:
        return _passed(ts, self.since) if self.since else Sql(str(self.frame.size))

    def within(self, ts: Sql) -> list[Sql]:
        """What to look for in the index: events that are in the window at some instant."""
        bounds = [sql("{ts} <= {last}", ts=ts, last=self.frame.last)]
        if self.since:
            bounds.append(sql("{ts} >= {since}", ts=ts, since=self.since[0]))
        if self.until:
            bounds.append(sql("{ts} < {until}", ts=ts, until=self.until[-1]))
        return bounds


def _passed(ts: Sql, bounds: Sequence[datetime]) -> Sql:
    """How many of the bounds are at or before `ts`."""
    return sql("width_bucket({ts}, {bounds}::timestamptz[])", ts=ts, bounds=list(bounds))


def either(parts: Sequence[Sql]) -> Sql:
    return sql("({any})", any=join(" | ", parts))
