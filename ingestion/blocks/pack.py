"""Arrays as bytes: as narrow as their numbers allow, since every byte is fetched through PostgreSQL.

A packed array is a header (`_HEADER`) and its numbers, little-endian, of `width` bytes each:

    PLAIN    as distances from `base`; of more than four bytes the lower four of all come first, then the rest
    RISING   as distances, each from the number before it and the first from `base`
    SCALED   as PLAIN, but times `scale`: exact, for what has few decimals, as prices have
    FLOAT    as they are
    ABSENT   not at all: every number is NaN
"""

import struct
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

PLAIN, RISING, SCALED, FLOAT, ABSENT = range(5)
SCALES = (1, 100, 10_000)

_HEADER = struct.Struct("<BBHIq")  # kind, width, scale, count, base
_LOW = 4  # bytes in the first plane of wide numbers
_HIGHS = {5: "<u1", 6: "<u2", 8: "<u4"}
_LARGEST_EXACT = 2.0**53  # beyond it, a float is no exact count of hundredths

Packed = bytes | memoryview
Whole = TypeVar("Whole", np.int64, np.int32)


def pack_rising(numbers: NDArray[np.int64]) -> bytes:
    """For numbers in order, such as the ids of a block."""
    if not numbers.size:
        return _HEADER.pack(RISING, 1, 0, 0, 0)
    steps = np.diff(numbers, prepend=numbers[:1])
    return _pack(RISING, steps, base=int(numbers[0]), scale=0)


def pack_whole(numbers: NDArray[np.int64]) -> bytes:
    if not numbers.size:
        return _HEADER.pack(PLAIN, 1, 0, 0, 0)
    base = int(numbers.min())
    return _pack(PLAIN, numbers - base, base=base, scale=0)


def pack_floats(numbers: NDArray[np.float64]) -> bytes:
    """Exactly these, and NaN for NaN."""
    if np.isnan(numbers).all():
        return _HEADER.pack(ABSENT, 0, 0, numbers.size, 0)
    for scale in SCALES:
        with np.errstate(over="ignore"):
            scaled = np.rint(numbers * scale)
        if (np.abs(scaled) < _LARGEST_EXACT).all():
            counts = scaled.astype(np.int64)
            if _same(counts / scale, numbers):
                base = int(counts.min())
                return _pack(SCALED, counts - base, base=base, scale=scale)
    return _HEADER.pack(FLOAT, 8, 0, numbers.size, 0) + numbers.astype("<f8").tobytes()


def unpack_whole(packed: Packed, dtype: type[Whole]) -> NDArray[Whole]:
    """Widened first, and added up in place: adding up and widening at once takes ten times as long."""
    kind, width, _, count, base = _HEADER.unpack_from(packed)
    found: NDArray[Whole] = _unpack(packed, width, count).astype(dtype)
    if kind == RISING and count:
        found[0] += base
        np.add.accumulate(found, out=found)
    elif base:
        found += dtype(base)
    return found


def unpack_narrow(packed: Packed) -> NDArray[np.integer[Any]]:
    """Whole numbers in as few bytes as they may need, to be read only: mostly as they lie there."""
    _, width, _, count, base = _HEADER.unpack_from(packed)
    found: NDArray[np.integer[Any]] = _unpack(packed, width, count)
    if not base:
        return found
    found = found.astype(_narrowest(base, base + (1 << 8 * width) - 1))
    found += base
    return found


def _narrowest(least: int, largest: int) -> "type[np.signedinteger[Any]]":
    fit = (one for one in (np.int16, np.int32) if np.iinfo(one).min <= least and largest <= np.iinfo(one).max)
    return next(fit, np.int64)


def unpack_floats(packed: Packed) -> NDArray[np.float64]:
    kind, width, scale, count, base = _HEADER.unpack_from(packed)
    if kind == ABSENT:
        return np.full(count, np.nan)
    if kind == FLOAT:
        return np.frombuffer(packed, "<f8", count, _HEADER.size).astype(np.float64)
    found: NDArray[np.float64] = np.add(_unpack(packed, width, count), base, dtype=np.float64, casting="unsafe")
    if scale != 1:
        found /= scale
    return found


def _same(some: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """To the last bit: a negative zero is no zero."""
    return bool((some.view(np.int64) == others.view(np.int64)).all())


def _pack(kind: int, distances: NDArray[np.int64], *, base: int, scale: int) -> bytes:
    largest = int(distances.max())
    width = next(size for size in (1, 2, 4, 5, 6, 8) if largest < 1 << 8 * size)
    planes = [distances]
    if width > _LOW:
        planes = [distances & (2 ** (8 * _LOW) - 1), distances >> 8 * _LOW]
    types = [f"<u{width}"] if width <= _LOW else ["<u4", _HIGHS[width]]
    packed = [plane.astype(dtype).tobytes() for plane, dtype in zip(planes, types, strict=True)]
    return b"".join([_HEADER.pack(kind, width, scale, distances.size, base), *packed])


def _unpack(packed: Packed, width: int, count: int) -> NDArray[Any]:
    if width <= _LOW:
        return np.frombuffer(packed, f"<u{width}", count, _HEADER.size)
    low = np.frombuffer(packed, "<u4", count, _HEADER.size)
    high = np.frombuffer(packed, _HIGHS[width], count, _HEADER.size + _LOW * count).astype(np.int64)
    high <<= 8 * _LOW
    high += low
    return high
