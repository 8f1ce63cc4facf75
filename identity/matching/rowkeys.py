"""The blocking keys of few records, in plain integers: the same as `block.make_keys` gives, without arrays."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .block import CUTS, WORD, end_of, mix_whole, seed_of, start_of
from .contracts import ColumnType
from .normalise import root
from .rows import Change, Reader, Row
from .table import hash_texts, sound_of

Hash = Callable[[Sequence[int]], int]
"""From the hashes of a row's texts to a part's, 0 where it has none."""


class KeyMaker:
    """Compiles passes to a plan over a reader's rows."""

    def __init__(self, reader: Reader, passes: Iterable[tuple[str, ...]]) -> None:
        self._reader, self._layout = reader, reader.layout
        self._texts: dict[tuple[int, Change | None], int] = {}
        self._plan: list[tuple[int, tuple[int, ...]]] = []
        parts: dict[str, tuple[int, ...]] = {}
        self._hashes: list[Hash] = []
        for names in passes:
            for name in names:
                if name not in parts:
                    parts[name] = tuple(self._add(one) for one in self._make(name))
            if all(parts[name] for name in names):
                first, *rest = (parts[name] for name in names)
                self._plan += [(int(seed_of(names)), (at, *(more[0] for more in rest))) for at in first]

    def keys(self, rows: Sequence[Row]) -> list[int]:
        """Signed keys of all rows, those of the first pass first, each once."""
        hashed = self._hash(rows)
        hashes = [[of(texts) for of in self._hashes] for texts in hashed]
        found: dict[int, None] = {}
        for seed, plan in self._plan:
            for known in hashes:
                key = seed
                for at in plan:
                    part = known[at]
                    if not part:
                        break
                    # `mix_whole`, whose call would cost as much as it does
                    key = ((key ^ (key >> 29)) * 0xBF58476D1CE4E5B9 + part) & WORD
                    key = ((key ^ (key >> 32)) * 0x94D049BB133111EB) & WORD
                    key ^= key >> 31
                else:
                    key |= 1
                    found[key - 2**64 if key >= 2**63 else key] = None
        return list(found)

    def _hash(self, rows: Sequence[Row]) -> list[list[int]]:
        texts = [self._derive(row, at, change) for row in rows for at, change in self._texts]
        known = [text for text in texts if text is not None]
        array = np.empty(len(known), dtype=object)
        array[:] = known
        hashes = iter(hash_texts(array).tolist())
        flat = [0 if text is None else next(hashes) for text in texts]
        width = len(self._texts)
        return [flat[start : start + width] for start in range(0, len(flat), width)] if width else [[] for _ in rows]

    @staticmethod
    def _derive(row: Row, at: int, change: Change | None) -> str | None:
        value = row[at]
        return value if value is None or change is None else change(value)

    def _add(self, of: Hash) -> int:
        self._hashes.append(of)
        return len(self._hashes) - 1

    def _text(self, slot: int, change: Change | None = None) -> Hash:
        at = self._texts.setdefault((slot, change), len(self._texts))
        return lambda texts: texts[at]

    def _make(self, name: str) -> list[Hash]:
        if name in CUTS:
            kind, cut = CUTS[name]
            return [self._text(self._reader.clean(column), cut) for column in self._layout.of(kind)]
        if name in _PAIRWISE:
            change, surnames = _PAIRWISE[name]
            return [
                _both(self._text(self._reader.given(one), change), self._text(self._reader.surname(other), change))
                for one in self._layout.given[:1]
                for other in self._layout.surname[:surnames]
            ]
        if name in _GIVEN:
            return [self._text(self._reader.given(column), _GIVEN[name]) for column in self._layout.given[:1]]
        if name in _SURNAME:
            change, surnames = _SURNAME[name]
            return [self._text(self._reader.surname(column), change) for column in self._layout.surname[:surnames]]
        return self._place(name)

    def _place(self, name: str) -> list[Hash]:
        reader, layout = self._reader, self._layout
        if name in _KINDS:
            return [self._text(reader.clean(column)) for column in layout.of(_KINDS[name])[:1]]
        if name == "number":
            return [self._text(reader.number(column)) for column in layout.number[:1]]
        change = {"street": None, "street_start": start_of(4)}[name]
        return [self._text(reader.street(column), change) for column in layout.street[:1]]


def _both(one: Hash, other: Hash) -> Hash:
    def both(texts: Sequence[int]) -> int:
        left, right = one(texts), other(texts)
        return ((mix_whole(left, left) + mix_whole(right, right)) & WORD) | 1 if left and right else 0

    return both


_GIVEN: dict[str, Change] = {"given_sound": sound_of, "given_root": root, "given_initial": start_of(1)}
_SURNAME: dict[str, tuple[Change, int | None]] = {
    "surname_sound": (sound_of, None),
    "surname_initial": (start_of(1), 1),
    "surname_start": (start_of(3), 1),
}
_PAIRWISE: dict[str, tuple[Change | None, int | None]] = {
    "names": (None, None),
    "sounds": (sound_of, None),
    "starts": (start_of(3), 1),
    "ends": (end_of(3), 1),
}
"""What is taken of given name and surname, and of how many surnames."""
_KINDS = {"postcode": ColumnType.POSTCODE, "city": ColumnType.CITY, "sex": ColumnType.SEX}
