"""The rows that columns are kept in."""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from cdp.kernel.copy import copy_rows, read_rows
from identity.columns.packing import PATCH, Buffer, Ids
from identity.columns.paths import expression
from identity.columns.wanted import PROFILES


@dataclass(slots=True)
class Stored:
    """What is kept of one column: its blocks by their starts, each with its width, and its values in order."""

    blocks: dict[int, tuple[int, Buffer]] = field(default_factory=dict)
    values: list[Buffer] = field(default_factory=list)

    @property
    def patch(self) -> tuple[int, Buffer] | None:
        return self.blocks.get(PATCH)


@dataclass(slots=True)
class Kept:
    columns: dict[int, Stored]
    notes: dict[int, Buffer]


def fetch(column_ids: Collection[int], *, blocks: bool = True, values: bool = True, notes: bool = True) -> Kept:
    """What is kept of these columns, by their ids; without `blocks` only the patches. All in one statement."""
    kept = Kept({id_: Stored() for id_ in column_ids}, {})
    chunks: dict[tuple[int, int], Buffer] = {}
    asked = {"ids": sorted(column_ids), "blocks": blocks, "values": values, "notes": notes, "patch": PATCH}
    for fields in read_rows(_FETCH, asked):
        kind, column, place, width = (_NUMBER.unpack(one)[0] for one in fields[:4] if one is not None)
        data = fields[4]
        if data is None:
            raise AssertionError(fields)  # no column that is read here can be NULL
        if kind == _BLOCK:
            kept.columns[column].blocks[place] = (width, data)
        elif kind == _VALUES:
            chunks[column, place] = data
        else:
            kept.notes[place] = data
    for column, first in sorted(chunks):
        kept.columns[column].values.append(chunks[column, first])
    return kept


def fetch_rows(paths: Sequence[str], *, ids: Ids) -> list[tuple[Any, ...]]:
    """Of those of these profiles that exist: the id, and the JSON text at each path."""
    return _select(paths, "p.id = ANY(%s::bigint[])", ["{" + ",".join(map(str, ids.tolist())) + "}"])


def fetch_range(paths: Sequence[str], *, start: int, end: int) -> list[tuple[Any, ...]]:
    """The same of all with an id from `start` to before `end`."""
    return _select(paths, "p.id >= %s AND p.id < %s", [start, end])


def _select(paths: Sequence[str], where: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    found = [("NULL", []) if path == PROFILES else expression(path) for path in paths]
    columns = ", ".join(["p.id", *(text for text, _ in found)])
    steps = [step for _, steps in found for step in steps]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM profile p WHERE {where}", [*steps, *parameters])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def write_blocks(column: int, blocks: Mapping[int, tuple[int, bytes]]) -> None:
    """In place of what was kept from the same starts on."""
    if not blocks:
        return
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM trait_block WHERE column_id = %s AND start = ANY(%s)", [column, sorted(blocks)])
    rows = b"".join(
        _BLOCK_ROW(4, 8, column, 8, start, 2, width, len(data)) + data
        for start, (width, data) in sorted(blocks.items())
    )
    copy_rows(table="trait_block", columns=("column_id", "start", "width", "data"), rows=rows)


def write_values(column: int, first: int, texts: Sequence[str]) -> None:
    """Of the codes from `first` on; nothing is kept of these yet."""
    if texts:
        data = "\n".join(texts).encode()
        row = _VALUES_ROW(3, 8, column, 4, first, len(data)) + data
        copy_rows(table="trait_values", columns=("column_id", "first", "data"), rows=row)


def remove(column_ids: Collection[int]) -> None:
    """All that is kept of them but that they are wanted."""
    remove_values(column_ids)
    _run("DELETE FROM trait_block WHERE column_id = ANY(%s)", column_ids)


def remove_values(column_ids: Collection[int]) -> None:
    _run("DELETE FROM trait_values WHERE column_id = ANY(%s)", column_ids)


def remove_patches(column_ids: Collection[int]) -> None:
    _run(f"DELETE FROM trait_block WHERE column_id = ANY(%s) AND start = {PATCH}", column_ids)


def remove_notes(ids: Collection[int]) -> None:
    _run("DELETE FROM trait_note WHERE id = ANY(%s)", ids)


def _run(statement: str, ids: Iterable[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, [sorted(ids)])


_NUMBER = struct.Struct(">q")
_BLOCK_ROW = struct.Struct(">hiqiqihi").pack
_VALUES_ROW = struct.Struct(">hiqiii").pack
_BLOCK, _VALUES, _NOTE = range(3)
_FETCH = f"""
    SELECT {_BLOCK}::bigint, column_id, start, width::bigint, data FROM trait_block
    WHERE column_id = ANY(%(ids)s::bigint[]) AND (start = %(patch)s OR %(blocks)s)
    UNION ALL
    SELECT {_VALUES}, column_id, first, 0, data FROM trait_values
    WHERE column_id = ANY(%(ids)s::bigint[]) AND %(values)s
    UNION ALL
    SELECT {_NOTE}, 0, id, 0, profiles FROM trait_note WHERE %(notes)s
"""
