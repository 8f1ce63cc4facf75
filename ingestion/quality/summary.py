"""What can be said of many values in little room: frozen statistics that can be added. No Django here.

Each part is a commutative monoid, so hours add up to days, and any order of adding gives the same answer: counts and
the buckets of quantiles exactly, the distinct values exactly too (the state is a function of the set of values),
mean and variance up to the rounding of floats. Only the top values depend on the order, within a stated bound.

Sources: quantiles after DDSketch (Masson, Rim, Lee 2019); distinct values after HyperLogLog (Flajolet et al. 2007)
with linear counting; mean and variance after Chan, Golub, LeVeque 1983; top values after Misra and Gries 1982, added
as in "Mergeable Summaries" (Agarwal et al. 2012).
"""

import hashlib
import heapq
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard

QUANTILE_ERROR = 0.02
"""A quantile is off by at most this share of its value."""
EXACT_DISTINCT = 128
"""So many distinct values are counted exactly; beyond, the standard error is `DISTINCT_ERROR`."""
DISTINCT_ERROR = 0.033
TOP_KEPT = 32
MAX_PATHS = 200
MAX_DEPTH = 4
MAX_PATH = 200
MAX_ITEMS = 20
MAX_TOP_TEXT = 60

_GAMMA = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
_LOG_GAMMA = math.log(_GAMMA)
_SMALLEST, _LARGEST = 1e-9, 1e15
_OFFSET = 10_000  # bucket numbers of positive values are above zero, mirrored for negative ones
_REGISTER_BITS = 10
_REGISTERS = 1 << _REGISTER_BITS
_TAIL_BITS = 64 - _REGISTER_BITS
_PERSONAL = re.compile(r"@|\d(?:[ ()./-]?\d){6}")

NUMBER, TEXT, BOOLEAN, LIST, OBJECT = "number", "text", "boolean", "list", "object"


class Numbers(msgspec.Struct, frozen=True, array_like=True):
    """Count, mean, spread and quantiles of numbers."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # of the differences to the mean
    low: float = math.inf
    high: float = -math.inf
    buckets: dict[int, int] = {}

    def __add__(self, other: "Numbers") -> "Numbers":
        count = self.count + other.count
        if not self.count or not other.count:
            return other if other.count else self
        delta = other.mean - self.mean
        return Numbers(
            count=count,
            mean=self.mean + delta * other.count / count,
            squares=self.squares + other.squares + delta * delta * self.count * other.count / count,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            buckets=_sum_of(self.buckets, other.buckets),
        )

    @property
    def deviation(self) -> float:
        """The standard deviation of the values seen (not an estimate for a larger population)."""
        return math.sqrt(max(self.squares, 0.0) / self.count) if self.count else 0.0

    def quantile(self, share: float) -> float | None:
        """The value below which `share` of the values lie, off by at most `QUANTILE_ERROR` of itself."""
        if not self.count:
            return None
        rank = share * (self.count - 1)
        passed = 0
        for number in sorted(self.buckets):
            passed += self.buckets[number]
            if passed > rank:
                return min(max(_middle_of(number), self.low), self.high)
        return self.high


class Texts(msgspec.Struct, frozen=True, array_like=True):
    """The lengths of texts, in characters."""

    count: int = 0
    total: int = 0
    shortest: int | None = None
    longest: int = 0

    def __add__(self, other: "Texts") -> "Texts":
        known = [length for length in (self.shortest, other.shortest) if length is not None]
        return Texts(
            count=self.count + other.count,
            total=self.total + other.total,
            shortest=min(known, default=None),
            longest=max(self.longest, other.longest),
        )

    @property
    def average(self) -> float:
        return self.total / self.count if self.count else 0.0


class Distinct(msgspec.Struct, frozen=True, array_like=True):
    """How many different values: their hashes while they are few, then the registers of a HyperLogLog."""

    hashes: frozenset[int] = frozenset()
    registers: bytes = b""

    def __add__(self, other: "Distinct") -> "Distinct":
        hashes = self.hashes | other.hashes
        if not self.registers and not other.registers:
            return Distinct(hashes) if len(hashes) <= EXACT_DISTINCT else Distinct(registers=_registers_of(hashes))
        parts = [part for part in (self.registers, other.registers, _registers_of(hashes)) if part]
        return Distinct(registers=bytes(map(max, *parts)))

    @property
    def is_exact(self) -> bool:
        return not self.registers

    def estimate(self) -> int:
        if not self.registers:
            return len(self.hashes)
        empty = self.registers.count(0)
        powers = math.fsum(2.0**-rank for rank in self.registers)
        raw = 0.7213 / (1 + 1.079 / _REGISTERS) * _REGISTERS * _REGISTERS / powers
        if raw <= 2.5 * _REGISTERS and empty:
            raw = _REGISTERS * math.log(_REGISTERS / empty)
        return round(raw)


class Top(msgspec.Struct, frozen=True, array_like=True):
    """The most frequent values as JSON text. A true count is between `counts[value]` and that plus `lost`."""

    counts: dict[str, int] = {}
    lost: int = 0

    def __add__(self, other: "Top") -> "Top":
        return _cut(_sum_of(self.counts, other.counts), self.lost + other.lost)


class PropertySummary(msgspec.Struct, frozen=True, array_like=True):
    """One property: `present` and `nulls` count events, the rest counts values (a list brings several)."""

    present: int = 0
    nulls: int = 0
    types: dict[str, int] = {}
    numbers: Numbers = Numbers()
    texts: Texts = Texts()
    distinct: Distinct = Distinct()
    top: Top = Top()

    def __add__(self, other: "PropertySummary") -> "PropertySummary":
        return PropertySummary(
            present=self.present + other.present,
            nulls=self.nulls + other.nulls,
            types=_sum_of(self.types, other.types),
            numbers=self.numbers + other.numbers,
            texts=self.texts + other.texts,
            distinct=self.distinct + other.distinct,
            top=self.top + other.top,
        )

    @property
    def main_type(self) -> str:
        """The type that most values have; of equals the first by name; empty where there was no value."""
        return min(self.types, key=lambda kind: (-self.types[kind], kind), default="")


class EventSummary(msgspec.Struct, frozen=True, array_like=True):
    """The events of one name: how many were looked at, how many came late, and their properties by path.

    A property beyond the first `MAX_PATHS` by name is left out.
    """

    seen: int = 0
    late: int = 0
    properties: dict[str, PropertySummary] = {}

    def __add__(self, other: "EventSummary") -> "EventSummary":
        merged = dict(self.properties)
        for path, summary in other.properties.items():
            merged[path] = merged[path] + summary if path in merged else summary
        if len(merged) > MAX_PATHS:
            merged = {path: merged[path] for path in sorted(merged)[:MAX_PATHS]}
        return EventSummary(self.seen + other.seen, self.late + other.late, merged)


NOTHING = EventSummary()


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as the profile looks at it."""

    properties: Mapping[str, Any]
    late: bool = False


def summarise_events(events: Iterable[Seen]) -> EventSummary:
    """The whole at once; the same as adding the summaries of its parts."""
    seen = late = 0
    present: Counter[str] = Counter()
    nulls: Counter[str] = Counter()
    values: dict[str, list[Any]] = {}
    for event in events:
        seen += 1
        late += event.late
        for path, found in flatten(event.properties).items():
            real = [value for value in found if value is not None]
            (present if real else nulls)[path] += 1
            values.setdefault(path, []).extend(real)
    paths = sorted(values)[:MAX_PATHS]
    properties = {path: _summary(values[path], present=present[path], nulls=nulls[path]) for path in paths}
    return EventSummary(seen, late, properties)


def summarise(values: Sequence[Any]) -> PropertySummary:
    """Values of one property, each from an event of its own."""
    real = [value for value in values if value is not None]
    return _summary(real, present=len(real), nulls=len(values) - len(real))


def flatten(properties: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every property by path, as segments spell them: `address.city`, `products[].price`."""
    found: dict[str, list[Any]] = {}
    for key, value in properties.items():
        _walk(value, key, found, MAX_DEPTH)
    return found


def encode(summary: EventSummary) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(_encode(summary))


def decode(data: bytes) -> EventSummary:
    return _decode(zstandard.ZstdDecompressor().decompress(data))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(EventSummary).decode


def _walk(value: Any, path: str, found: dict[str, list[Any]], depth: int) -> None:
    if len(path) > MAX_PATH:
        return
    found.setdefault(path, []).append(value)
    if depth <= 1:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            _walk(inner, f"{path}.{key}", found, depth - 1)
    elif isinstance(value, list):
        for item in value[:MAX_ITEMS]:
            if isinstance(item, dict):
                for key, inner in item.items():
                    _walk(inner, f"{path}[].{key}", found, depth - 1)


def _summary(values: Sequence[Any], *, present: int, nulls: int) -> PropertySummary:
    numbers = [_float(value) for value in values if _is_number(value)]
    lengths = [len(value) for value in values if isinstance(value, str)]
    plain = Counter(_spelled(value) for value in values if not isinstance(value, dict | list))
    return PropertySummary(
        present=present,
        nulls=nulls,
        types=dict(Counter(type_of(value) for value in values)),
        numbers=_numbers(numbers),
        texts=Texts(len(lengths), sum(lengths), min(lengths, default=None), max(lengths, default=0)),
        distinct=_distinct(plain),
        top=_cut({text: count for text, count in plain.items() if _may_be_shown(text)}, 0),
    )


def type_of(value: Any) -> str:
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int | float):
        return NUMBER
    if isinstance(value, str):
        return TEXT
    return LIST if isinstance(value, list) else OBJECT


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: float) -> float:
    """JSON knows integers that are too large for a float: they count as the largest one that squares."""
    try:
        return max(min(float(value), 1e150), -1e150)
    except OverflowError:
        return 1e150 if value > 0 else -1e150


def _spelled(value: Any) -> str:
    """A value as JSON text, which tells `5` from `"5"`."""
    return json.dumps(value, ensure_ascii=False)


def _may_be_shown(text: str) -> bool:
    """Long texts, and what looks like an address or a number of somebody, are counted and not kept."""
    return len(text) <= MAX_TOP_TEXT and not (text.startswith('"') and _PERSONAL.search(text))


def _numbers(values: Sequence[float]) -> Numbers:
    if not values:
        return Numbers()
    mean = math.fsum(values) / len(values)
    return Numbers(
        count=len(values),
        mean=mean,
        squares=math.fsum((value - mean) ** 2 for value in values),
        low=min(values),
        high=max(values),
        buckets=dict(Counter(map(_bucket_of, values))),
    )


def _bucket_of(value: float) -> int:
    size = abs(value)
    if size < _SMALLEST:
        return 0
    number = math.ceil(math.log(min(size, _LARGEST)) / _LOG_GAMMA) + _OFFSET
    return number if value > 0 else -number


def _middle_of(number: int) -> float:
    if number == 0:
        return 0.0
    size = 2 * _GAMMA ** (abs(number) - _OFFSET) / (_GAMMA + 1)
    return size if number > 0 else -size


def _distinct(texts: Iterable[str]) -> Distinct:
    hashes = frozenset(map(_hash, texts))
    return Distinct(hashes) if len(hashes) <= EXACT_DISTINCT else Distinct(registers=_registers_of(hashes))


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _registers_of(hashes: Iterable[int]) -> bytes:
    registers = bytearray(_REGISTERS)
    for value in hashes:
        place, tail = value >> _TAIL_BITS, value & ((1 << _TAIL_BITS) - 1)
        rank = _TAIL_BITS - tail.bit_length() + 1
        registers[place] = max(registers[place], rank)
    return bytes(registers)


def _cut(counts: Mapping[str, int], lost: int) -> Top:
    """Keep the largest counts, each lowered by the largest one that goes."""
    if len(counts) <= TOP_KEPT:
        return Top(dict(counts), lost)
    least = heapq.nlargest(TOP_KEPT + 1, counts.values())[-1]
    return Top({text: count - least for text, count in counts.items() if count > least}, lost + least)


def _sum_of(mine: Mapping[Any, int], theirs: Mapping[Any, int]) -> dict[Any, int]:
    total = dict(mine)
    for key, count in theirs.items():
        total[key] = total.get(key, 0) + count
    return total
