"""How two values differ, down to the letter. No Django here."""

from dataclasses import dataclass
from difflib import SequenceMatcher

LONGEST = 300
ALIKE = 0.45
"""Below this share of common letters, marking single ones would only be confetti."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a value: `same` where the other value has it, too."""

    text: str
    same: bool


Pieces = tuple[Piece, ...]


def mark(one: str, other: str) -> tuple[Pieces, Pieces]:
    """Both values in pieces; put together again, the pieces of each are the value."""
    if one == other:
        return _whole(one, same=True), _whole(other, same=True)
    if max(len(one), len(other)) > LONGEST:
        return _whole(one, same=False), _whole(other, same=False)
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    if matcher.ratio() < ALIKE:
        return _whole(one, same=False), _whole(other, same=False)
    left: list[Piece] = []
    right: list[Piece] = []
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        same = tag == "equal"
        if end > start:
            left.append(Piece(one[start:end], same))
        if other_end > other_start:
            right.append(Piece(other[other_start:other_end], same))
    return tuple(left), tuple(right)


def likeness(one: str, other: str) -> float:
    """From 0 for nothing in common to 1 for the same, upper and lower case aside; long values by their beginning."""
    return SequenceMatcher(None, one[:LONGEST].casefold(), other[:LONGEST].casefold(), autojunk=False).ratio()


def _whole(text: str, *, same: bool) -> Pieces:
    return (Piece(text, same),) if text else ()
