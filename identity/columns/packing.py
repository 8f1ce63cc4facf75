"""How a column lies in bytes, and how its parts are put together again.

Ids fall into blocks of 2^17. Of a block, the column of profiles has a bit for each id that is somebody's, and a
trait's column a code for each id. Beside the blocks lies a patch, which tells the same of some ids anew: that is small
to write where the blocks are not. The patch of the profiles' column holds those ids, each with a bit for whether
somebody has it; a trait's patch has a code for each of them, or `KEEP` where the block's word stands.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

SIZE = 1 << 17
PATCH = -1
ABSENT = -1
KEEP = -2

Ids = NDArray[np.int64]
Codes = NDArray[np.int32]
Code = TypeVar("Code", bound=np.signedinteger[Any])
Flags = NDArray[np.bool_]
Buffer = bytes | memoryview


def start_of(id_: int) -> int:
    return id_ - id_ % SIZE


def starts_of(ids: Ids) -> Ids:
    """Each once, ascending. Most ids lie beside others of their block, so few starts are left to be sorted."""
    starts = ids & -SIZE
    differs = np.ones(len(starts), np.bool_)
    np.not_equal(starts[1:], starts[:-1], out=differs[1:])
    return np.unique(starts[differs])


def pack_codes(codes: Codes) -> tuple[int, bytes]:
    """In as few bytes each as the largest needs."""
    largest = int(codes.max(initial=0))
    width = 1 if largest < 1 << 7 else 2 if largest < 1 << 15 else 4
    return width, codes.astype(f"<i{width}").tobytes()


def unpack_codes(width: int, data: Buffer) -> NDArray[np.signedinteger[np.typing.NBitBase]]:
    return np.frombuffer(data, dtype=f"<i{width}")


def wide_enough(values: int) -> "type[np.signedinteger[Any]]":
    """For the codes of so many values, and for how many values there are."""
    return next(dtype for dtype in (np.int8, np.int16, np.int32, np.int64) if values <= np.iinfo(dtype).max)


def pack_flags(flags: Flags) -> bytes:
    return np.packbits(flags, bitorder="little").tobytes()


def unpack_flags(data: Buffer) -> Flags:
    return np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").view(np.bool_)


def pack_words(ids: Ids, existing: Flags) -> bytes:
    return (ids << 1 | existing).astype("<i8").tobytes()


def unpack_words(data: Buffer) -> tuple[Ids, Flags]:
    words = np.frombuffer(data, dtype="<i8")
    return words >> 1, (words & 1).astype(np.bool_)


def unpack_ids(parts: Iterable[Buffer]) -> Ids:
    """Of notes; each id once, ascending."""
    found = [np.frombuffer(part, dtype="<i8") for part in parts]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where ids lie in an array that has `SIZE` places for each of these blocks."""

    starts: Ids

    @property
    def places(self) -> int:
        return len(self.starts) * SIZE

    def place(self, ids: Ids) -> NDArray[np.intp]:
        """Ids of these blocks only."""
        return np.searchsorted(self.starts, ids & -SIZE) * SIZE + (ids & (SIZE - 1))

    def has(self, ids: Ids) -> Flags:
        return np.isin(ids & -SIZE, self.starts)

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Each block's start and its places."""
        for number, start in enumerate(self.starts.tolist()):
            yield start, slice(number * SIZE, (number + 1) * SIZE)

    def ids_at(self, where: Flags | slice) -> Ids:
        shifts = self.starts - np.arange(len(self.starts)) * SIZE
        if isinstance(where, slice) and len(shifts) and (shifts == shifts[0]).all():
            return np.arange(where.start + shifts[0], where.stop + shifts[0])
        places = np.arange(where.start, where.stop) if isinstance(where, slice) else np.flatnonzero(where)
        if len(places):
            places += shifts[places >> SIZE.bit_length() - 1]
        return places

    def lay_codes(self, blocks: Mapping[int, tuple[int, Buffer]], dtype: type[Code]) -> NDArray[Code]:
        codes = np.full(self.places, ABSENT, dtype)
        for start, part in self.parts():
            if start in blocks:
                block = unpack_codes(*blocks[start])
                codes[part][: len(block)] = block
        return codes

    def lay_flags(self, blocks: Mapping[int, tuple[int, Buffer]]) -> Flags:
        flags = np.zeros(self.places, np.bool_)
        for start, part in self.parts():
            if start in blocks:
                block = unpack_flags(blocks[start][1])
                flags[part][: len(block)] = block
        return flags


def where_true(flags: Flags) -> Flags | slice:
    """The same as a slice, where nothing lies between: that copies nothing of what it is taken of."""
    first, count = int(flags.argmax()) if len(flags) else 0, int(np.count_nonzero(flags))
    part = slice(first, first + count)
    return part if flags[part].all() else flags


def trim(codes: Codes) -> Codes:
    """Without the places at the end that hold nothing."""
    held = np.flatnonzero(codes != ABSENT)
    return codes[: held[-1] + 1] if len(held) else codes[:0]
