"""Which blocks are to be built next.

A name's blocks cover whole days, from its first event up to what is sealed: one day each, or up to a month of days
with few events. Of the day that is not over there are blocks of some hours. When it is, one block takes their place.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from ingestion.blocks.log import first_event
from ingestion.blocks.stretches import DAY, HOUR, HOURS_A_DAY, gaps, moment
from ingestion.blocks.write import Span

FAR = -16_000_000  # hours: before everything
ENOUGH = 1_000  # events for a block of its own; fewer are read from the log as quickly
LONGEST = 31  # days
MANY_NOTED = 100  # profiles; beyond these, and one in fifty of the events, a block is built anew soon
SOON = timedelta(minutes=5)
LATER = timedelta(hours=1)

_TILES = """
SELECT name_id, since, until, max(events), min(fold), array_agg(part) FROM event_block GROUP BY 1, 2, 3 ORDER BY 1, 2
"""
_COLUMNS = "SELECT name_id, path, id FROM event_column WHERE state = 'kept' ORDER BY id"
_NOTED = """
SELECT name_id, day, sum(cardinality(profile_ids)), min(noted_at), max(noted_at) FROM event_block_note GROUP BY 1, 2
"""
_COUNT = """
SELECT count(*) FROM (SELECT FROM event WHERE name_id = %s AND ts >= %s AND ts < %s LIMIT %s) AS a_few
"""


@dataclass(frozen=True, slots=True)
class Built:
    """A block as it is."""

    span: Span
    events: int
    fold: int
    parts: frozenset[int]

    @property
    def is_of_whole_days(self) -> bool:
        return self.span.since % HOURS_A_DAY == 0 and self.span.until % HOURS_A_DAY == 0


@dataclass(frozen=True, slots=True)
class Noted:
    """What was noted of a name on a day."""

    profiles: int
    first: datetime
    last: datetime

    def is_due(self, *, events: int, now: datetime) -> bool:
        many = self.profiles >= max(MANY_NOTED, events // 50)
        return self.first <= now - LATER or (many and self.last <= now - SOON)


class Books:
    """What is built, wanted and noted now; and, from one look to the next, which names had nothing left to build."""

    def __init__(self) -> None:
        self.finished: dict[int, tuple[int, int]] = {}
        """By name, where its first block began and up to where it was sealed when it had nothing left."""

    def read(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM event_name ORDER BY id")
            self.tiles: dict[int, list[Built]] = {name_id: [] for (name_id,) in cursor.fetchall()}
            cursor.execute(_TILES)
            for name_id, since, until, events, fold, parts in cursor.fetchall():
                tile = Built(Span(name_id, since, until), events, fold, frozenset(parts))
                self.tiles.setdefault(name_id, []).append(tile)
            cursor.execute(_COLUMNS)
            self.columns: defaultdict[int, dict[str, int]] = defaultdict(dict)
            for name_id, path, column_id in cursor.fetchall():
                self.columns[name_id][path] = column_id
            cursor.execute(_NOTED)
            self.noted: defaultdict[int, dict[int, Noted]] = defaultdict(dict)
            for name_id, day, profiles, first, last in cursor.fetchall():
                self.noted[name_id][day] = Noted(int(profiles), first, last)
            cursor.execute("SELECT coalesce(max(fold), 0) FROM event_block_seal")
            (self.fold,) = cursor.fetchone()

    def missing(self, *, sealed: int) -> Iterator[Span]:
        """Stretches that no block holds, of each name the newest first; days that are over anew, as one."""
        for name_id in self.tiles:
            yield from self._missing(name_id, sealed // HOUR)

    def outdated(self, *, now: datetime) -> Iterator[Span]:
        """Blocks of which much was noted, that lack a column, or that are to take in what merges moved."""
        for name_id, tiles in self.tiles.items():
            wanted = set(self.columns[name_id].values())
            for together in reversed(_regions(tiles)):
                span = Span(name_id, together[0].span.since, together[-1].span.until)
                if any(tile.fold < self.fold or not tile.parts >= wanted for tile in together) or self._is_noted(
                    span, sum(tile.events for tile in together), now
                ):
                    yield span

    def _missing(self, name_id: int, sealed: int) -> Iterator[Span]:
        tiles = self.tiles[name_id]
        first = tiles[0].span.since if tiles else sealed
        strays = any(not _covers(tiles, day) for day in self.noted[name_id])
        if self.finished.get(name_id) == (first, sealed) and not strays:
            return
        today = sealed - sealed % HOURS_A_DAY
        begins = max([today, *(tile.span.until for tile in tiles)])
        if _count(name_id, begins, sealed) >= ENOUGH:
            yield Span(name_id, begins, sealed)
        whole = [(tile.span.since, tile.span.until) for tile in tiles if tile.is_of_whole_days]
        for since, until in reversed(list(gaps(whole, (FAR, today)))):
            yield from _in_days(name_id, since, until)
        self.finished[name_id] = first, sealed

    def _is_noted(self, span: Span, events: int, now: datetime) -> bool:
        days = range(span.since // HOURS_A_DAY, -(-span.until // HOURS_A_DAY))
        found = [noted for day, noted in self.noted[span.name_id].items() if day in days]
        if not found:
            return False
        together = Noted(
            sum(one.profiles for one in found), min(one.first for one in found), max(one.last for one in found)
        )
        return together.is_due(events=events, now=now)


def _regions(tiles: Sequence[Built]) -> list[list[Built]]:
    """Those that are built anew together: each by itself, but all blocks of the hours of one day."""
    found: list[list[Built]] = []
    for tile in tiles:
        if found and not tile.is_of_whole_days and not found[-1][-1].is_of_whole_days:
            found[-1].append(tile)
        else:
            found.append([tile])
    return found


def _covers(tiles: Sequence[Built], day: int) -> bool:
    since, until = day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY
    return any(tile.span.since < until and tile.span.until > since for tile in tiles)


def _in_days(name_id: int, since: int, until: int) -> Iterator[Span]:
    """Spans that cover a gap of whole days, the last first; nothing before the first event."""
    first = first_event(name_id, (since * HOUR, until * HOUR))
    if first is None:
        return
    since = first // DAY * HOURS_A_DAY
    while since < until:
        begins = _begin(name_id, since, until)
        yield Span(name_id, begins, until)
        until = begins


def _begin(name_id: int, since: int, until: int) -> int:
    """Where the block that ends there begins: a day before, or as far back as there are few events."""
    events, at = 0, until
    while at > since and until - at < LONGEST * HOURS_A_DAY:
        found = _count(name_id, at - HOURS_A_DAY, at)
        if found >= ENOUGH and events:
            break
        at, events = at - HOURS_A_DAY, events + found
        if events >= ENOUGH:
            break
    return at


def _count(name_id: int, since: int, until: int) -> int:
    """How many events there are in these hours, as far as that matters."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [name_id, moment(since * HOUR), moment(until * HOUR), ENOUGH])
        count: int = cursor.fetchone()[0]
        return count
