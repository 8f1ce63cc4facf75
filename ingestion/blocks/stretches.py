"""Time as this room counts it: in microseconds since 2000, in ticks of ten minutes, and in days."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

HOUR = 3_600_000_000
DAY = 24 * HOUR
TICK = HOUR // 6
TICKS_A_DAY = DAY // TICK
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Stretch = tuple[int, int]
"""From, and before: in microseconds."""


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def gaps(taken: Iterable[Stretch], within: Stretch) -> Iterator[Stretch]:
    """What is left of a stretch without these, which are in order and do not overlap."""
    at, until = within
    for begins, ends in taken:
        if at < begins:
            yield at, begins
        at = max(at, ends)
    if at < until:
        yield at, until
