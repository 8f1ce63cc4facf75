"""Events in bulk, for questions about everybody: from blocks where these hold them, else from the log."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from django.conf import settings
from django.db import connection
from numpy.typing import NDArray

from cdp.kernel.copy import timestamp_micros
from ingestion.blocks.contracts import Column, Rows
from ingestion.blocks.held import Moves, Tile, fetch_parts, places_of, read_moves, tiles_of
from ingestion.blocks.log import Asked, first_event, read_log, read_profiles
from ingestion.blocks.pack import unpack_floats, unpack_narrow, unpack_whole
from ingestion.blocks.parts import PROFILES, TIMES, VALUES
from ingestion.blocks.paths import keys_of
from ingestion.blocks.stretches import Stretch, gaps
from ingestion.blocks.values import Values, load_values

Number = TypeVar("Number", bound=np.number[Any])
AT_ONCE = 2_000_000  # events of blocks that are fetched with one query

_BEGINNING = timestamp_micros(datetime.min.replace(tzinfo=UTC))
_END = timestamp_micros(datetime.max.replace(tzinfo=UTC))
_COLUMNS = """
SELECT n.id, c.path, c.id FROM event_name AS n
LEFT JOIN event_column AS c ON c.name_id = n.id AND c.state = 'kept' AND c.path = ANY(%s) WHERE n.name = %s
"""


@dataclass(frozen=True, slots=True)
class Held:
    """Where the events that were asked for are, as the caller's REPEATABLE READ transaction sees them.

    `tiles` are the blocks that have all of it, `columns` the columns of the properties, by path.
    """

    name_id: int
    stretch: Stretch
    properties: Collection[str]
    columns: Mapping[str, int]
    tiles: list[Tile]

    def is_packed(self) -> bool:
        """Whether blocks hold all of it but the recent past, so that reading it is quick.

        False too where nothing was ever packed. A property that is not packed is, soon after `want` has named it.
        """
        if not self.tiles:
            return False
        _, last = self.tiles[-1].stretch
        return all(
            begins >= last or first_event(self.name_id, (begins, ends)) is None for begins, ends in self._gaps()
        )

    def rows(self, *, times: bool = False, values: bool = False) -> Iterator[Rows]:
        """Exactly what the log holds; to be read to the end inside of the transaction.

        What no block holds is read from the log, which for properties takes long.
        """
        loaded = load_values(self.columns.values()) if self.properties else {}
        known = {path: loaded[self.columns[path]] if path in self.columns else Values() for path in self.properties}
        asked = Asked(self.name_id, times, values, known)
        yield from _read_blocks(asked, self)
        for gap in self._gaps():
            yield from read_log(asked, gap)

    def _gaps(self) -> Iterator[Stretch]:
        return gaps((tile.stretch for tile in self.tiles), self.stretch)


def find(
    *, name: str, since: datetime | None, until: datetime | None, properties: Collection[str] = ()
) -> Held | None:
    """The events of this name with `since <= ts < until`; None where no event has borne the name.

    `properties` are paths as in a segment's definition, but none through a list: ask for the list, and look into the
    values.

    Raises:
        ValueError: where a path leads through a list.
    """
    for path in properties:
        keys_of(path)
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, [list(properties), name])
        found = cursor.fetchall()
    if not found:
        return None
    name_id = found[0][0]
    stretch = (
        _BEGINNING if since is None else timestamp_micros(since),
        _END if until is None else timestamp_micros(until),
    )
    columns = {path: column_id for _, path, column_id in found if path is not None}
    if not settings.EVENT_BLOCKS or len(columns) < len(set(properties)):
        return Held(name_id, stretch, properties, columns, [])
    tiles = [
        tile for tile in tiles_of(name_id, stretch) if tile.is_mendable and tile.parts.issuperset(columns.values())
    ]
    return Held(name_id, stretch, properties, columns, tiles)


def _read_blocks(asked: Asked, held: Held) -> Iterator[Rows]:
    """Of each block what lies in the stretch, without those who are noted; at last, from the log, what these did."""
    if not held.tiles:
        return
    moves = read_moves()
    parts = {PROFILES, *held.columns.values()}
    parts |= {part for part, is_asked in ((TIMES, asked.times), (VALUES, asked.values)) if is_asked}
    noted: list[tuple[int, Stretch]] = []
    for tiles in _batches(held.tiles):
        cut = {tile.since: (TIMES,) for tile in tiles if _within(tile, held.stretch) != tile.stretch}
        packed = fetch_parts(asked.name_id, tiles, parts=parts, more=cut)
        for tile in tiles:
            yield _unpack(asked, held, tile, packed[tile.since], moves)
            if tile.noted:
                within = _within(tile, held.stretch)
                noted += [(profile_id, within) for profile_id in moves.follow(tile.noted).tolist()]
    mended = read_profiles(asked, noted)
    if mended is not None:
        yield mended


def _batches(tiles: Iterable[Tile]) -> Iterator[list[Tile]]:
    batch: list[Tile] = []
    for tile in tiles:
        batch.append(tile)
        if sum(one.events for one in batch) >= AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _within(tile: Tile, stretch: Stretch) -> Stretch:
    begins, ends = tile.stretch
    return max(begins, stretch[0]), min(ends, stretch[1])


def _unpack(asked: Asked, held: Held, tile: Tile, packed: Mapping[int, memoryview], moves: Moves) -> Rows:
    ids = unpack_whole(packed[PROFILES], np.int64)
    times = unpack_whole(packed[TIMES], np.int64) if TIMES in packed else None
    kept = _kept(tile, held.stretch, ids, times, moves)
    at = None if kept is None else np.flatnonzero(kept)
    profiles = moves.apply(ids)
    return Rows(
        profiles=_only(profiles, at),
        times=_only(times, at) if asked.times and times is not None else None,
        values=_only(unpack_floats(packed[VALUES]), at) if asked.values else None,
        columns={
            path: Column(_only(unpack_narrow(packed[held.columns[path]]), at), known.values)
            for path, known in asked.properties.items()
        },
    )


def _kept(
    tile: Tile, stretch: Stretch, ids: NDArray[np.int64], times: NDArray[np.int64] | None, moves: Moves
) -> NDArray[np.bool_] | None:
    """Which events of a block count; None for all of them."""
    kept: NDArray[np.bool_] | None = None
    begins, ends = tile.stretch
    if times is not None and begins < stretch[0]:
        kept = times >= stretch[0]
    if times is not None and ends > stretch[1]:
        kept = times < stretch[1] if kept is None else kept & (times < stretch[1])
    if tile.noted:
        kept = np.ones(ids.size, dtype=np.bool_) if kept is None else kept
        kept[places_of(ids, moves.whence(moves.follow(tile.noted)))] = False
    return kept


def _only(column: NDArray[Number], at: NDArray[np.int64] | None) -> NDArray[Number]:
    return column if at is None else column.take(at)
