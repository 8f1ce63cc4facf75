"""Which blocks are to be built next.

A name's blocks cover whole days, from its first event up to what is sealed: one day each, or up to a month of days
with few events. Of the day that is not over there are blocks of some of its ticks; when it is, one block takes their
place. Where several small blocks have come to stand in a row they become one.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from ingestion.blocks.log import first_event
from ingestion.blocks.stretches import DAY, TICK, TICKS_A_DAY, gaps, moment
from ingestion.blocks.write import Span

FAR = -90_000_000  # ticks: before everything
ENOUGH = 1_000  # events for a block of its own; fewer are read from the log as quickly
LONGEST = 31  # days
LARGE = 100_000  # events; blocks do not grow beyond it by being joined
IN_A_ROW = 6
MANY_NOTED = 100  # profiles; beyond these, and one in fifty of the events, a block is built anew soon
SOON = timedelta(minutes=5)
LATER = timedelta(hours=1)

_TILES = """
SELECT name_id, since, until, max(events), min(fold), array_agg(part) FROM event_block GROUP BY 1, 2, 3 ORDER BY 1, 2
"""
_COLUMNS = "SELECT name_id, path, id FROM event_column WHERE state = 'kept' ORDER BY id"
_NOTED = """
SELECT name_id, day, sum(cardinality(profile_ids)), now() - min(noted_at), now() - max(noted_at)
FROM event_block_note GROUP BY 1, 2
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
        return self.span.since % TICKS_A_DAY == 0 and self.span.until % TICKS_A_DAY == 0


@dataclass(frozen=True, slots=True)
class Noted:
    """What was noted of a name on a day, and how long ago the first time and the last."""

    profiles: int
    first: timedelta
    last: timedelta

    def is_due(self, *, events: int) -> bool:
        many = self.profiles >= max(MANY_NOTED, events // 50)
        return self.first >= LATER or (many and self.last >= SOON)


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
            yield from self._missing(name_id, sealed // TICK)

    def outdated(self) -> Iterator[Span]:
        """Blocks that are to be one, or of which much was noted, or that lack a column or what merges moved."""
        for tiles in self.tiles.values():
            yield from list(_in_a_row(tiles)) or self._to_renew(tiles)

    def _to_renew(self, tiles: Sequence[Built]) -> Iterator[Span]:
        for together in reversed(_regions(tiles)):
            span = Span(together[0].span.name_id, together[0].span.since, together[-1].span.until)
            wanted = self.columns[span.name_id].values()
            lacking = any(tile.fold < self.fold or not tile.parts.issuperset(wanted) for tile in together)
            if lacking or self._is_noted(span, sum(tile.events for tile in together)):
                yield span

    def _missing(self, name_id: int, sealed: int) -> Iterator[Span]:
        tiles = self.tiles[name_id]
        first = tiles[0].span.since if tiles else sealed
        strays = any(not _covers(tiles, day) for day in self.noted[name_id])
        if self.finished.get(name_id) == (first, sealed) and not strays:
            return
        today = sealed - sealed % TICKS_A_DAY
        begins = max([today, *(tile.span.until for tile in tiles)])
        if _count(name_id, begins, sealed) >= ENOUGH:
            yield Span(name_id, begins, sealed)
        whole = [(tile.span.since, tile.span.until) for tile in tiles if tile.is_of_whole_days]
        for since, until in reversed(list(gaps(whole, (FAR, today)))):
            yield from _in_days(name_id, since, until)
        self.finished[name_id] = first, sealed

    def _is_noted(self, span: Span, events: int) -> bool:
        days = range(span.since // TICKS_A_DAY, -(-span.until // TICKS_A_DAY))
        found = [noted for day, noted in self.noted[span.name_id].items() if day in days]
        if not found:
            return False
        together = Noted(
            sum(one.profiles for one in found), max(one.first for one in found), min(one.last for one in found)
        )
        return together.is_due(events=events)


def _regions(tiles: Sequence[Built]) -> list[list[Built]]:
    """Those that are built anew together: each by itself, but the blocks of a part of a day with one another."""
    found: list[list[Built]] = []
    for tile in tiles:
        if found and not tile.is_of_whole_days and not found[-1][-1].is_of_whole_days:
            found[-1].append(tile)
        else:
            found.append([tile])
    return found


def _in_a_row(tiles: Sequence[Built]) -> Iterator[Span]:
    """What several neighbours of like size hold, which are small enough to be one."""
    row: list[Built] = []
    for tile in tiles:
        if row and not _fits(row, tile):
            yield from _joined(row)
            row = []
        row.append(tile)
    yield from _joined(row)


def _fits(row: Sequence[Built], tile: Built) -> bool:
    sizes = [one.events for one in (*row, tile)]
    return (
        row[-1].span.until == tile.span.since
        and row[-1].is_of_whole_days == tile.is_of_whole_days
        and max(sizes) <= 4 * min(sizes) + ENOUGH
        and sum(sizes) <= LARGE
    )


def _joined(row: Sequence[Built]) -> Iterator[Span]:
    if len(row) >= IN_A_ROW:
        yield Span(row[0].span.name_id, row[0].span.since, row[-1].span.until)


def _covers(tiles: Sequence[Built], day: int) -> bool:
    since, until = day * TICKS_A_DAY, (day + 1) * TICKS_A_DAY
    return any(tile.span.since < until and tile.span.until > since for tile in tiles)


def _in_days(name_id: int, since: int, until: int) -> Iterator[Span]:
    """Spans that cover a gap of whole days, the last first; nothing before the first event."""
    first = first_event(name_id, (since * TICK, until * TICK))
    if first is None:
        return
    since = first // DAY * TICKS_A_DAY
    while since < until:
        begins = _begin(name_id, since, until)
        yield Span(name_id, begins, until)
        until = begins


def _begin(name_id: int, since: int, until: int) -> int:
    """Where the block that ends there begins: a day before, or as far back as there are few events."""
    events, at = 0, until
    while at > since and until - at < LONGEST * TICKS_A_DAY:
        found = _count(name_id, at - TICKS_A_DAY, at)
        if found >= ENOUGH and events:
            break
        at, events = at - TICKS_A_DAY, events + found
        if events >= ENOUGH:
            break
    return at


def _count(name_id: int, since: int, until: int) -> int:
    """How many events there are in these ticks, as far as that matters."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [name_id, moment(since * TICK), moment(until * TICK), ENOUGH])
        count: int = cursor.fetchone()[0]
        return count
