"""How deep JSON may nest: the same on every machine, whatever stack a decoder has left."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

MAX_DEPTH = 100
_FRAME = 4  # levels that a batch adds around an object of a message, and one to spare

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_OPENING = (b"{", b"[")
T = TypeVar("T")


def is_too_deep(data: bytes) -> bool:
    """Whether some value lies inside more than `MAX_DEPTH` objects and arrays."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return False
    return any(depth > MAX_DEPTH for _, depth in _brackets(data))


def decode_shallow(decode: Callable[[bytes], T], data: bytes) -> T:
    """Decode what a recursive decoder may have no stack for: what is too deep for us anyhow is cut off first."""
    try:
        return decode(data)
    except RecursionError:
        return decode(cut(data))


def cut(data: bytes) -> bytes:
    """The same JSON, as long as before, with everything far beyond `MAX_DEPTH` overwritten by a zero.

    What is left still is too deep, so that its message is recognised and turned away, and no other.
    """
    pieces: list[bytes] = []
    done, start = 0, -1
    for place, depth in _brackets(data):
        if start < 0 and depth > MAX_DEPTH + _FRAME:
            start = place
        elif start >= 0 and depth <= MAX_DEPTH + _FRAME:
            pieces += [data[done:start], b"0".ljust(place + 1 - start)]
            done, start = place + 1, -1
    return b"".join([*pieces, data[done:]])


def _brackets(data: bytes) -> Iterator[tuple[int, int]]:
    """Every bracket outside of text: its place, and how deep one is after it."""
    depth = 0
    for token in _TOKEN.finditer(data):
        text = token[0]
        if text in _OPENING:
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        else:
            continue
        yield token.start(), depth
