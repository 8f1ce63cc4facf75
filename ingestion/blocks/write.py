"""One block, built from the log: a stretch of a name's events, in place of the blocks that it covers."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray

from cdp.kernel.copy import copy_rows
from ingestion.blocks.contracts import Rows
from ingestion.blocks.log import Asked, read_log
from ingestion.blocks.pack import pack_floats, pack_rising, pack_whole
from ingestion.blocks.parts import PROFILES, TIMES, VALUES
from ingestion.blocks.stretches import TICK, TICKS_A_DAY
from ingestion.blocks.values import Values, load_values, save_values

Number = TypeVar("Number", np.int64, np.int32, np.float64)
MOST_VALUES = 50_000
MOST_WRITTEN = 8_000_000  # bytes of all values
_COLUMNS = ("name_id", "since", "part", "until", "events", "fold", "data")
_HEAD = struct.Struct(">hiiiiiqiiiiiii").pack


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a name's events, in ticks."""

    name_id: int
    since: int
    until: int


def write_block(span: Span, *, columns: Mapping[str, int]) -> int:
    """Build the block anew, with these columns (ids by path); returns how many events it holds.

    The caller is the only one who writes blocks, and in no transaction: what is read, the notes that this takes in
    and the blocks that it replaces are of one snapshot, and a killed builder leaves those as they were.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT coalesce(max(fold), 0) FROM event_block_seal")
        (fold,) = cursor.fetchone()
        columns = _kept(columns)
        known = load_values(columns.values())
        asked = Asked(span.name_id, times=True, values=True, properties={p: known[id_] for p, id_ in columns.items()})
        before = {id_: len(values.written) for id_, values in known.items()}
        found = _Events.of(list(read_log(asked, (span.since * TICK, span.until * TICK))), columns)
        varied = {id_ for id_, values in known.items() if _is_too_varied(values)}
        _drop_columns(varied)
        values = {"name": span.name_id, "since": span.since, "until": span.until, "day": TICKS_A_DAY}
        for statement in (_REPLACED, _TAKEN_IN):
            cursor.execute(statement, values)
        for id_ in known.keys() - varied:
            save_values(id_, known[id_], before=before[id_])
        parts = {part: data for part, data in found.pack().items() if part not in varied}
        copy_rows(table="event_block", columns=_COLUMNS, rows=_encode(span, parts, events=found.count, fold=fold))
        return found.count


@dataclass(frozen=True, slots=True)
class _Events:
    """All events of a block; `codes` by the id of their column."""

    profiles: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    codes: Mapping[int, NDArray[np.int32]]

    @classmethod
    def of(cls, rows: Sequence[Rows], columns: Mapping[str, int]) -> "_Events":
        """In the order of profiles, so that the distances between their ids are small."""
        profiles = _joined([one.profiles for one in rows], np.int64)
        times = _joined([one.times for one in rows if one.times is not None], np.int64)
        values = _joined([one.values for one in rows if one.values is not None], np.float64)
        codes = {id_: _joined([_codes(one, path) for one in rows], np.int32) for path, id_ in columns.items()}
        order = np.lexsort((times, profiles))
        return cls(profiles[order], times[order], values[order], {id_: column[order] for id_, column in codes.items()})

    @property
    def count(self) -> int:
        return int(self.profiles.size)

    def pack(self) -> dict[int, bytes]:
        return {
            PROFILES: pack_rising(self.profiles),
            TIMES: pack_whole(self.times),
            VALUES: pack_floats(self.values),
            **{id_: pack_whole(codes.astype(np.int64)) for id_, codes in self.codes.items()},
        }


def _codes(rows: Rows, path: str) -> NDArray[np.int32]:
    return rows.columns[path].codes.astype(np.int32, copy=False)


def _joined(arrays: Sequence[NDArray[Number]], dtype: type[Number]) -> NDArray[Number]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)


def _kept(columns: Mapping[str, int]) -> dict[str, int]:
    """Those that are still there: one that has just proved too varied is not begun again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT path, id FROM event_column WHERE id = ANY(%s) AND state = 'kept'", [[*columns.values()]]
        )
        return dict(cursor.fetchall())


def _is_too_varied(values: Values) -> bool:
    return len(values.written) > MOST_VALUES or sum(map(len, values.written)) > MOST_WRITTEN


def _drop_columns(column_ids: set[int]) -> None:
    """They would cost more than they save."""
    if not column_ids:
        return
    with connection.cursor() as cursor:
        for statement in (_TOO_VARIED, _NO_PARTS, _NO_VALUES):
            cursor.execute(statement, {"columns": sorted(column_ids)})


def _encode(span: Span, parts: Mapping[int, bytes], *, events: int, fold: int) -> bytes:
    rows = []
    for part, data in sorted(parts.items()):
        rows += [
            _HEAD(7, 4, span.name_id, 4, span.since, 8, part, 4, span.until, 4, events, 4, fold, len(data)),
            data,
        ]
    return b"".join(rows)


_REPLACED = "DELETE FROM event_block WHERE name_id = %(name)s AND since < %(until)s AND until > %(since)s"
# A day of which another block holds a part keeps its notes.
_TAKEN_IN = """
DELETE FROM event_block_note AS n WHERE n.name_id = %(name)s
AND n.day >= %(since)s / %(day)s AND n.day <= (%(until)s - 1) / %(day)s AND NOT EXISTS (
    SELECT FROM event_block AS b
    WHERE b.name_id = n.name_id AND b.since < (n.day + 1) * %(day)s AND b.until > n.day * %(day)s)
"""
_STILL_KEPT = "SELECT path, id FROM event_column WHERE id = ANY(%(columns)s) AND state = 'kept'"
_TOO_VARIED = "UPDATE event_column SET state = 'too_varied' WHERE id = ANY(%(columns)s)"
_NO_PARTS = "DELETE FROM event_block WHERE part = ANY(%(columns)s)"
_NO_VALUES = "DELETE FROM event_column_values WHERE column_id = ANY(%(columns)s)"
