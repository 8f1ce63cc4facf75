"""When something is out of the ordinary, and how good data is: pure functions of numbers. No Django here."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingestion.quality.summary import Numbers

MIN_HISTORY = 100
"""Fewer values tell too little of what is usual."""
_SCALED_MAD = 1.4826  # makes the median absolute deviation of a normal distribution its standard deviation


@dataclass(frozen=True, slots=True)
class Oddity:
    """Why a number stands out: its distance from the mean in standard deviations, and the fences it is outside of."""

    z: float
    low: float
    high: float

    @property
    def text(self) -> str:
        far = "equal until now" if math.isinf(self.z) else f"{abs(self.z):.1f} standard deviations from the average"
        return f"{far}; the usual range is {_short(self.low)} to {_short(self.high)}"


def find_oddity(value: float, history: Numbers, *, max_z: float, fence: float, needs: str = "both") -> Oddity | None:
    """Whether `value` is an outlier against what was seen before; None where it is not, or too little was seen.

    Two tests: z-score (further than `max_z` standard deviations from the mean), and Tukey's fences (further than
    `fence` times the interquartile range outside of the quartiles). `needs` says which must agree: both, z or iqr.
    Quartiles are off by up to `QUANTILE_ERROR`.
    """
    if history.count < MIN_HISTORY:
        return None
    first, third = history.quantile(0.25) or 0.0, history.quantile(0.75) or 0.0
    reach = fence * (third - first)
    low, high = first - reach, third + reach
    z = z_score(value, mean=history.mean, deviation=history.deviation)
    by_z, by_iqr = abs(z) > max_z, not low <= value <= high
    if not {"both": by_z and by_iqr, "z": by_z, "iqr": by_iqr}[needs]:
        return None
    return Oddity(z, low, high)


def z_score(value: float, *, mean: float, deviation: float) -> float:
    """Infinite where all were equal until now and this one is not."""
    if deviation > abs(mean) * 1e-9:
        return (value - mean) / deviation
    return 0.0 if math.isclose(value, mean, rel_tol=1e-6, abs_tol=1e-9) else math.copysign(math.inf, value - mean)


def robust_z(value: float, earlier: Sequence[float]) -> float:
    """How far a count is from the median of earlier ones, in robust standard deviations.

    The deviation is never taken as less than a tenth of the median or the root of it (what chance alone does to a
    count), so that very regular sources do not alarm at every tremor. Source: Iglewicz and Hoaglin 1993.
    """
    middle = statistics.median(earlier)
    spread = _SCALED_MAD * statistics.median(abs(one - middle) for one in earlier)
    return (value - middle) / max(spread, middle / 10, math.sqrt(middle), 1.0)


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """When events are expected: week days (Monday is 0) from one hour to another, in a time zone."""

    days: frozenset[int] = frozenset(range(7))
    start: int = 0
    end: int = 24
    zone: str = "UTC"

    @property
    def are_always(self) -> bool:
        return len(self.days) == 7 and (self.start, self.end) == (0, 24)


ALWAYS = OpeningHours()
_LOOK_BACK = timedelta(days=15)


def silent_for(*, last: datetime, now: datetime, hours: OpeningHours = ALWAYS) -> timedelta:
    """The time between two instants that lies inside of the opening hours; looks at two weeks at most."""
    if hours.are_always or now <= last:
        return max(now - last, timedelta())
    zone = ZoneInfo(hours.zone)
    since = max(last, now - _LOOK_BACK)
    day, total = since.astimezone(zone).date(), timedelta()
    while day <= now.astimezone(zone).date():
        if day.weekday() in hours.days:
            opens = datetime.combine(day, time(hours.start), zone)
            closes = datetime.combine(day + timedelta(days=hours.end // 24), time(hours.end % 24), zone)
            total += max(min(closes, now) - max(opens, since), timedelta())
        day += timedelta(days=1)
    return total


# --- The score ----------------------------------------------------------------------------------------------

WEIGHTS: Mapping[str, float] = {
    "completeness": 0.25,
    "validity": 0.30,
    "timeliness": 0.15,
    "uniqueness": 0.15,
    "consistency": 0.15,
}
_GRADES = ((95, "A", "Excellent"), (85, "B", "Good"), (70, "C", "Fair"), (50, "D", "Poor"), (0, "E", "Bad"))


@dataclass(frozen=True, slots=True)
class Score:
    """0 to 100, from parts of the same scale; a part that cannot be told yet is left out of the average."""

    parts: Mapping[str, float]

    @property
    def total(self) -> int:
        weight = sum(WEIGHTS[name] for name in self.parts)
        return round_down(sum(WEIGHTS[name] * share for name, share in self.parts.items()) / weight) if weight else 0


def round_down(score: float) -> int:
    """100 means that nothing at all is wrong."""
    return 100 if score >= 100 - 1e-9 else int(score + 1e-9)


def grade_of(score: int) -> tuple[str, str]:
    """A letter and a word."""
    return next((letter, word) for least, letter, word in _GRADES if score >= least)


def ratio(good: float, of: float) -> float:
    """A share as 0 to 100; of nothing, all is well."""
    return 100.0 if of <= 0 else max(0.0, min(100.0, 100.0 * good / of))


def _short(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
