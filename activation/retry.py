"""When to try again, and when to stop. Pure values: the clock and the dice are the caller's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

_STEPS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
    timedelta(hours=8),
    timedelta(hours=8),
)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits between the tries of one delivery: about a day in all, then it is given up."""

    delays: tuple[timedelta, ...] = _STEPS
    jitter: float = 0.2
    longest_wait: timedelta = timedelta(days=1)

    @property
    def horizon(self) -> timedelta:
        return sum(self.delays, timedelta())

    def next_delay(self, *, tries: int, chance: float, retry_after: timedelta | None = None) -> timedelta | None:
        """How long to wait after so many tries; None to give up. `chance` is drawn from [0, 1) by the caller.

        A receiver that says when to come back is taken at its word, up to `longest_wait`.
        """
        if tries > len(self.delays):
            return None
        spread = 1 + self.jitter * (2 * chance - 1)
        return max(self.delays[tries - 1] * spread, min(retry_after or timedelta(), self.longest_wait))


@dataclass(frozen=True, slots=True)
class Breaker:
    """Holds back a destination that keeps failing, so that its queue waits here and costs nobody anything.

    It is asked again after half as long as it has been failing: soon after a hiccup, every ten minutes when it
    has been gone for long. The queue's tries are not used up meanwhile.
    """

    threshold: int = 5
    shortest: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(minutes=10)
    longest_asked: timedelta = timedelta(days=1)

    def hold(
        self, *, failures: int, failing_for: timedelta, slow_down: bool, retry_after: timedelta | None
    ) -> timedelta | None:
        """How long to send nothing; None to go on. `slow_down`: the receiver said that it is overloaded."""
        if slow_down and retry_after is not None:
            return min(retry_after, self.longest_asked)
        if slow_down or failures >= self.threshold:
            return min(max(failing_for / 2, self.shortest), self.longest)
        return None

    def places(self, *, failures: int, concurrency: int) -> int:
        """How many sends may be under way: one to see whether a failing destination is back, else all."""
        return 1 if failures >= self.threshold else concurrency


def parse_retry_after(header: str, *, now: datetime) -> timedelta | None:
    """`Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3); None when absent, past or nonsense."""
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    wait = moment - now if moment.tzinfo else None
    return wait if wait and wait > timedelta() else None
