"""Time as this room counts it: microseconds since 2000, and hours and days since then."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

HOUR = 3_600_000_000
DAY = 24 * HOUR
HOURS_A_DAY = 24
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
