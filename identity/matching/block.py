"""Blocking: only records that share a typed key are compared.

A key is a combination of parts (`surname sounds alike` + `year and month of birth`). Keys work in passes; a pass's
blocks are taken by size, small ones first, and only as far as a probe of their pairs finds matches that no earlier
pass finds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .contracts import ColumnType, MatchSettings, PassReport
from .table import Codes, Feature, Flags, Hashes, Ints, Table

Pairs = npt.NDArray[np.int64]

PASSES: tuple[tuple[str, ...], ...] = (
    ("id",),
    ("email",),
    ("phone",),
    ("birth", "names"),
    ("birth", "given_sound"),
    ("birth", "surname_sound"),
    ("names", "postcode"),
    ("local", "given_initial"),
    ("id_start", "given_sound"),
    ("id_end", "surname_sound"),
    ("id_end", "given_sound"),
    ("id_start", "year"),
    ("phone_end", "given_initial"),
    ("birth_sorted", "sounds"),
    ("sounds", "year"),
    ("names", "street"),
    ("sounds", "city"),
    ("street", "number", "given_initial"),
    ("given_root", "postcode"),
    ("surname_sound", "postcode"),
    ("surname_sound", "year_month"),
    ("surname_sound", "month_day"),
    ("surname_sound", "year_day"),
    ("given_root", "year_month"),
    ("given_root", "month_day"),
    ("given_root", "year_day"),
    ("birth", "given_initial"),
    ("birth", "number"),
    ("birth", "postcode"),
    ("birth", "city"),
    ("given_root", "street"),
    ("given_root", "number"),
    ("surname_sound", "street"),
    ("surname_sound", "number"),
    ("number", "postcode", "given_initial"),
    ("given_sound", "city", "surname_initial"),
    ("surname_sound", "city", "given_initial"),
    ("names",),
    ("surname_sound", "city"),
    ("given_root", "city"),
    ("surname_start", "year"),
    ("given_root", "year"),
    ("year_month", "city"),
    ("year_day", "city"),
    ("month_day", "city"),
    ("year", "city", "given_initial"),
    ("year", "city", "surname_initial"),
    ("local_start",),
    ("phone_start", "given_sound"),
    ("street_start", "postcode"),
    ("street_start", "city", "number"),
    ("id_start", "postcode"),
    ("id_start", "id_sorted"),
    ("starts", "year"),
    ("starts", "postcode"),
    ("ends", "year"),
    ("ends", "city"),
    ("local_start", "year"),
    ("local_start", "city"),
    ("birth",),
    ("sounds",),
    ("local",),
    ("street", "number"),
    ("given_root", "surname_start", "sex"),
)
"""The strongest first. A pass whose parts the table lacks is left out."""

SIZES = (4, 12, 40)
"""Upper bounds of the classes of block sizes below `largest_block`, which bounds the last one."""


@dataclass(frozen=True)
class Keys:
    """One pass's key of every row, 0 where it has none; several arrays where a person has several such columns."""

    name: str
    arrays: tuple[Hashes, ...]
    inside: Flags | None = None
    """Rows that count, where not all do."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of a pass that are within bounds: rows in order, and where each block starts and how long it is."""

    order: Codes
    start: Codes
    size: Codes

    def of_class(self, low: int, high: int) -> "Blocks":
        chosen = (self.size > low) & (self.size <= high)
        return Blocks(self.order, self.start[chosen], self.size[chosen])

    @property
    def pairs(self) -> int:
        return int(_pairs_in(self.size).sum())

    def members(self, rows: int) -> Flags:
        """Of all rows, those in a block."""
        inside = np.zeros(rows, dtype=bool)
        length = self.size.astype(np.int64)
        at = np.repeat(self.start - np.cumsum(length) + length, length) + np.arange(length.sum())
        inside[self.order[at]] = True
        return inside


def _pairs_in(size: npt.NDArray[Any]) -> Ints:
    wide = size.astype(np.int64)
    return wide * (wide - 1) // 2


def mix_arrays(one: Hashes, other: Hashes) -> Hashes:
    mixed = (one ^ (one >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + other
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


WORD = 2**64 - 1


def mix_whole(one: int, other: int) -> int:
    """As `mix_arrays`, of two whole numbers of 64 bits."""
    mixed = ((one ^ (one >> 29)) * 0xBF58476D1CE4E5B9 + other) & WORD
    mixed = ((mixed ^ (mixed >> 32)) * 0x94D049BB133111EB) & WORD
    return mixed ^ (mixed >> 31)


def mix(one: int, other: int) -> int:
    """The key of two crowded keys of a record, in the order of their passes."""
    return mix_whole(one & WORD, other & WORD) | 1


@cache
def start_of(length: int) -> Callable[[str], str | None]:
    return lambda value: value[:length] if len(value) >= length else None


@cache
def end_of(length: int) -> Callable[[str], str | None]:
    return lambda value: value[-length:] if len(value) >= length else None


def _local(value: str) -> str | None:
    return value.partition("@")[0]


def _local_start(value: str) -> str | None:
    local = value.partition("@")[0]
    return local[:5] if len(local) >= 5 else None


def _sorted_date(value: str) -> str | None:
    month, day = value[4:6], value[6:]
    return value[:4] + min(month, day) + max(month, day)


def _sorted_letters(value: str) -> str:
    return "".join(sorted(value))


def _both(one: Hashes, other: Hashes) -> Hashes:
    """A hash of two that does not mind their order: given name and surname may have been swapped."""
    mixed = mix_arrays(one, one) + mix_arrays(other, other)
    return np.where((one > 0) & (other > 0), mixed | np.uint64(1), np.uint64(0))


def _whole(value: str) -> str:
    return value


CUTS: dict[str, tuple[ColumnType, Callable[[str], str | None]]] = {
    "birth": (ColumnType.BIRTH_DATE, _whole),
    "birth_sorted": (ColumnType.BIRTH_DATE, _sorted_date),
    "year": (ColumnType.BIRTH_DATE, lambda value: value[:4]),
    "year_month": (ColumnType.BIRTH_DATE, lambda value: value[:6]),
    "month_day": (ColumnType.BIRTH_DATE, lambda value: value[4:]),
    "year_day": (ColumnType.BIRTH_DATE, lambda value: value[:4] + value[6:]),
    "email": (ColumnType.EMAIL, _whole),
    "local": (ColumnType.EMAIL, _local),
    "local_start": (ColumnType.EMAIL, _local_start),
    "phone": (ColumnType.PHONE, _whole),
    "phone_start": (ColumnType.PHONE, start_of(5)),
    "phone_end": (ColumnType.PHONE, end_of(6)),
    "id": (ColumnType.NATIONAL_ID, _whole),
    "id_start": (ColumnType.NATIONAL_ID, lambda value: value[: len(value) // 2]),
    "id_end": (ColumnType.NATIONAL_ID, end_of(4)),
    "id_sorted": (ColumnType.NATIONAL_ID, _sorted_letters),
}
"""Parts that are a column's value or a piece of it."""


class Parts:
    """The parts that keys are made of, each made once and only if asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._made: dict[str, tuple[Hashes, ...]] = {}
        self._layout = table.layout

    def get(self, name: str) -> tuple[Hashes, ...]:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> tuple[Hashes, ...]:
        for makers in (self._name_parts, self._cut_parts, self._place_parts):
            found = makers(name)
            if found is not None:
                return found
        raise KeyError(name)

    def _name_parts(self, name: str) -> tuple[Hashes, ...] | None:
        makers: dict[str, Callable[[], Sequence[Hashes]]] = {
            "given_sound": self._given_sounds,
            "given_root": lambda: [self._table.root(column).hashes for column in self._layout.given[:1]],
            "given_initial": lambda: self._given_cut(start_of(1)),
            "surname_sound": self._surname_sounds,
            "surname_initial": lambda: self._surname_cut(start_of(1)),
            "surname_start": lambda: self._surname_cut(start_of(3)),
            "names": lambda: self._pairwise(
                [self._table.given(column).hashes for column in self._layout.given[:1]],
                [self._table.surname(column).hashes for column in self._layout.surname],
            ),
            "sounds": lambda: self._pairwise(self._given_sounds(), self._surname_sounds()),
            "starts": lambda: self._pairwise(self._given_cut(start_of(3)), self._surname_cut(start_of(3))),
            "ends": lambda: self._pairwise(self._given_cut(end_of(3)), self._surname_cut(end_of(3))),
        }
        return tuple(makers[name]()) if name in makers else None

    def _given_sounds(self) -> list[Hashes]:
        return [self._table.sound(column, "given").hashes for column in self._layout.given[:1]]

    def _surname_sounds(self) -> list[Hashes]:
        return [self._table.sound(column, "surname").hashes for column in self._layout.surname]

    def _given_cut(self, cut: Callable[[str], str | None]) -> list[Hashes]:
        return [self._table.given(column).derive(cut).hashes for column in self._layout.given[:1]]

    def _surname_cut(self, cut: Callable[[str], str | None]) -> list[Hashes]:
        return [self._table.surname(column).derive(cut).hashes for column in self._layout.surname[:1]]

    @staticmethod
    def _pairwise(ones: Sequence[Hashes], others: Sequence[Hashes]) -> tuple[Hashes, ...]:
        return tuple(_both(one, other) for one in ones for other in others if one is not other)

    def _cut_parts(self, name: str) -> tuple[Hashes, ...] | None:
        if name not in CUTS:
            return None
        kind, cut = CUTS[name]
        return tuple(self._table.part(column, f"key.{name}", cut).hashes for column in self._layout.of(kind))

    def _place_parts(self, name: str) -> tuple[Hashes, ...] | None:
        table, layout = self._table, self._layout
        features: dict[str, Callable[[], list[Feature]]] = {
            "street": lambda: [table.street(column) for column in layout.street[:1]],
            "street_start": lambda: [table.street(column).derive(start_of(4)) for column in layout.street[:1]],
            "number": lambda: [table.number(column) for column in layout.number[:1]],
            "postcode": lambda: [table.clean(column) for column in layout.of(ColumnType.POSTCODE)[:1]],
            "city": lambda: [table.clean(column) for column in layout.of(ColumnType.CITY)[:1]],
            "sex": lambda: [table.clean(column) for column in layout.of(ColumnType.SEX)[:1]],
        }
        return tuple(feature.hashes for feature in features[name]()) if name in features else None


def make_keys(table: Table, passes: Sequence[tuple[str, ...]] = PASSES) -> list[Keys]:
    """All passes for which the table has the parts."""
    parts = Parts(table)
    made = []
    for names in passes:
        arrays = [parts.get(name) for name in names]
        if all(arrays):
            made.append(Keys(" + ".join(names), tuple(_combine(names, arrays))))
    return made


@cache
def seed_of(names: tuple[str, ...]) -> np.uint64:
    return np.uint64(int.from_bytes(" + ".join(names).encode()[:64], "little") * 0x9E3779B97F4A7C15 % 2**64)


def _combine(names: tuple[str, ...], arrays: Sequence[tuple[Hashes, ...]]) -> list[Hashes]:
    seed = seed_of(names)
    combined = []
    first, *rest = arrays
    for leading in first:
        key, known = mix_arrays(np.full_like(leading, seed), leading), leading > 0
        for following in rest:
            key, known = mix_arrays(key, following[0]), known & (following[0] > 0)
        combined.append(np.where(known, key | np.uint64(1), np.uint64(0)))
    return combined


def group(keys: Keys) -> Blocks:
    """Rows that share the key, in blocks of two and more."""
    known = [np.flatnonzero(array) for array in keys.arrays]
    values = [array[at] for array, at in zip(keys.arrays, known, strict=True)]
    return group_rows(np.concatenate(known), np.concatenate(values))


def group_rows(rows: Ints, values: Hashes) -> Blocks:
    """Rows with the same value, in blocks of two and more.

    What is sorted is the value with the row in the place of its last bits: much faster than to sort rows by their
    values. Of a million rows, two different values are taken for one about once in thirty passes.
    """
    bits = np.uint64(int(rows.max(initial=1)).bit_length())
    packed = np.sort((values >> bits << bits) | rows.astype(np.uint64))
    value = packed >> bits
    same = value[1:] == value[:-1]
    again = np.concatenate(([False], same))[: len(packed)]
    inside = again | np.concatenate((same, [False]))[: len(packed)]
    order = (packed[inside] & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int32)
    start = np.flatnonzero(~again[inside])
    return Blocks(order, start.astype(np.int32), np.diff(start, append=len(order)).astype(np.int32))


def pairs_of(blocks: Blocks) -> Pairs:
    """All pairs of rows inside the blocks, block sizes one after another."""
    made = []
    for size in np.flatnonzero(np.bincount(blocks.size)).tolist():
        start = blocks.start[blocks.size == size]
        one, other = np.triu_indices(size, 1)
        left, right = blocks.order[start[:, None] + one], blocks.order[start[:, None] + other]
        made.append(np.stack([left.ravel(), right.ravel()], axis=1).astype(np.int64))
    return np.concatenate(made) if made else np.zeros((0, 2), dtype=np.int64)


def probe_of(blocks: Blocks, count: int, random: np.random.Generator) -> Pairs:
    """`count` pairs of the blocks, drawn evenly."""
    upto = np.cumsum(_pairs_in(blocks.size))
    chosen = np.searchsorted(upto, random.integers(0, upto[-1], count), side="right")
    size = blocks.size[chosen].astype(np.int64)
    one = random.integers(0, size)
    other = (one + 1 + random.integers(0, size - 1)) % size
    start = blocks.start[chosen]
    return np.stack([blocks.order[start + one], blocks.order[start + other]], axis=1).astype(np.int64)


@dataclass(frozen=True)
class Chosen:
    """Which class of block sizes of which pass is used."""

    keys: Keys
    blocks: Blocks
    high: int


@dataclass
class Blocking:
    """The candidate pairs of a table, and how they were found."""

    pairs: Pairs
    passes: list[PassReport]
    kept: dict[str, int]
    """By pass: the largest block that is used."""
    covered: list[Keys] = field(default_factory=list)
    """The keys in use, of the rows only whose blocks are compared."""
    dropped_blocks: int = 0
    dropped_pairs: int = 0
    crowded: Hashes = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    """Keys of the largest blocks, which are too large."""


def unique_pairs(pairs: Pairs, rows: int) -> Pairs:
    """Each once, the smaller row first, in order."""
    return _decoded(_coded(pairs, rows), rows)


def _coded(pairs: Pairs, rows: int) -> Ints:
    """One number for each pair of different rows, whatever their order."""
    low, high = np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])
    coded: Ints = (low * np.int64(rows) + high)[low != high]
    return coded


def _decoded(coded: Ints, rows: int) -> Pairs:
    """The different pairs, in order."""
    coded = np.sort(coded)
    if len(coded):
        coded = coded[np.concatenate(([True], coded[1:] != coded[:-1]))]
    return np.stack(np.divmod(coded, max(rows, 1)), axis=1)


def shares_key(keys: Keys, pairs: Pairs) -> Flags:
    """Whether both rows of a pair are in one block of the pass."""
    shared = np.zeros(len(pairs), dtype=bool)
    for one in keys.arrays:
        for other in keys.arrays:
            left = one[pairs[:, 0]]
            shared |= (left > 0) & (left == other[pairs[:, 1]])
    return shared if keys.inside is None else shared & keys.inside[pairs[:, 0]]


def block(
    table: Table,
    *,
    likely: Callable[[Pairs], npt.NDArray[np.float64]],
    settings: MatchSettings,
    random: np.random.Generator,
) -> Blocking:
    """Candidate pairs of rows.

    1. Make the keys of every pass and their blocks, by class of sizes.
    2. Probe each class: how many of its pairs are likely matches that no kept class before it finds?
    3. Keep those that find some, within the budget; what is too large is taken only where a second key is shared.
    """
    grouped = [(keys, group(keys)) for keys in make_keys(table)]
    kept, covered, reports = _choose(grouped, likely, settings, table.rows, random)
    dropped = [(keys, blocks.of_class(settings.largest_block, table.rows)) for keys, blocks in grouped]
    found = [_coded(pairs_of(part.blocks), table.rows) for part in kept]
    found += [_coded(pairs, table.rows) for pairs in _doubly_shared(dropped, table.rows)]
    pairs = _decoded(np.concatenate([np.zeros(0, dtype=np.int64), *found]), table.rows)
    largest: dict[str, int] = {}
    for part in kept:
        largest[part.keys.name] = max(part.high, largest.get(part.keys.name, 0))
    return Blocking(
        pairs=pairs,
        passes=reports,
        kept=largest,
        covered=covered,
        crowded=_crowded(dropped),
        dropped_blocks=sum(len(blocks.size) for _, blocks in dropped),
        dropped_pairs=sum(blocks.pairs for _, blocks in dropped),
    )


def _choose(
    grouped: Sequence[tuple[Keys, Blocks]],
    likely: Callable[[Pairs], npt.NDArray[np.float64]],
    settings: MatchSettings,
    rows: int,
    random: np.random.Generator,
) -> tuple[list[Chosen], list[Keys], list[PassReport]]:
    budget = settings.pairs_per_record * max(rows, 1000)
    most = MOST_REPEATED * budget
    least = LEAST_FOUND * max(1.0, rows / LARGE) ** 0.7
    bounds = [1, *SIZES, settings.largest_block]
    classes = [
        Chosen(keys, part, high)
        for low, high in pairwise(bounds)
        for keys, blocks in grouped
        for part in [blocks.of_class(low, high)]
        if part.pairs
    ]
    probes = [probe_of(c.blocks, _probe_size(c.blocks.pairs, settings.probe), random) for c in classes]
    if not probes:
        return [], [], []
    probed = np.concatenate(probes)
    chances = likely(probed)
    ends = np.cumsum([len(probe) for probe in probes]).tolist()
    kept: list[Chosen] = []
    covered: list[Keys] = []
    found: list[float] = []
    costs: list[float] = []
    new = np.ones(len(probed), dtype=bool)
    for candidate, (start, end) in zip(classes, pairwise([0, *ends]), strict=True):
        found.append(float((chances[start:end] * new[start:end]).mean()))
        costs.append(float(new[start:end].mean()) * candidate.blocks.pairs)
        if found[-1] >= least and costs[-1] <= budget and candidate.blocks.pairs <= most:
            kept.append(candidate)
            covered.append(_within(candidate))
            budget -= costs[-1]
            most -= candidate.blocks.pairs
            left = end + np.flatnonzero(new[end:])
            new[left] = ~shares_key(covered[-1], probed[left])
    extra = _affordable(classes, found, costs, kept=kept, spare=settings.spare_pairs)
    kept += extra
    covered += [_within(candidate) for candidate in extra]
    used = {id(candidate) for candidate in kept}
    reports = [
        PassReport(c.keys.name, c.high, c.blocks.pairs, id(c) in used, share)
        for c, share in zip(classes, found, strict=True)
    ]
    return kept, covered, reports


def _affordable(
    classes: Sequence[Chosen], found: Sequence[float], costs: Sequence[float], *, kept: Sequence[Chosen], spare: float
) -> list[Chosen]:
    """Classes that found little, as far as their new pairs cost next to nothing: in a small table most do."""
    used = {id(candidate) for candidate in kept}
    left = [at for at, candidate in enumerate(classes) if id(candidate) not in used]
    chosen = []
    for at in sorted(left, key=lambda at: (-found[at], costs[at], at)):
        if costs[at] <= spare:
            spare -= costs[at]
            chosen.append(classes[at])
    return chosen


def _within(chosen: Chosen) -> Keys:
    """The keys, of those rows only whose blocks are chosen."""
    return Keys(chosen.keys.name, chosen.keys.arrays, chosen.blocks.members(len(chosen.keys.arrays[0])))


MOST_REPEATED = 4
"""Budgets that pairs may fill which are in several blocks: of people with many records most are."""
LEAST_FOUND = 0.002
"""New likely matches per pair from which a class of blocks is worth comparing."""
LARGE = 50_000
"""Records from which it must find more: what is worth a second is not worth a minute."""


def _probe_size(pairs: int, most: int) -> int:
    return min(most, max(50, pairs // 10))


def _doubly_shared(dropped: Sequence[tuple[Keys, Blocks]], rows: int) -> Iterator[Pairs]:
    """Pairs that share two keys whose blocks are both too large."""
    crowded = [(keys, blocks.members(rows)) for keys, blocks in dropped if len(blocks.size)]
    for at, (keys, members) in enumerate(crowded):
        for others, fellows in crowded[at + 1 :]:
            both = np.flatnonzero(members & fellows)
            left, right = keys.arrays[0][both], others.arrays[0][both]
            known = (left > 0) & (right > 0)
            if np.count_nonzero(known) > 1:
                yield pairs_of(group_rows(both[known], mix_arrays(left[known], right[known])).of_class(1, SIZES[-1]))


MOST_CROWDED = 20_000


def _crowded(dropped: Sequence[tuple[Keys, Blocks]]) -> Hashes:
    found = [
        (int(size), key)
        for keys, blocks in dropped
        for size, key in zip(blocks.size.tolist(), _key_of(keys, blocks).tolist(), strict=True)
    ]
    found.sort(reverse=True)
    return np.asarray([key for _, key in found[:MOST_CROWDED]], dtype=np.uint64)


def _key_of(keys: Keys, blocks: Blocks) -> Hashes:
    """The key that a block's rows share."""
    first = blocks.order[blocks.start]
    if len(keys.arrays) == 1:
        return keys.arrays[0][first]
    second = blocks.order[blocks.start + 1]
    shared = np.zeros(len(first), dtype=np.uint64)
    for one in keys.arrays:
        for other in keys.arrays:
            shared = np.where((one[first] > 0) & (one[first] == other[second]), one[first], shared)
    return shared
