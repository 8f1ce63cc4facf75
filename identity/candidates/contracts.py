"""What crosses the border of this room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cdp.kernel.prepared import Call
from identity.matching.contracts import ColumnType, Record


class Field(msgspec.Struct, frozen=True):
    """A column of the records: which traits (dotted paths) and identifiers fill it, and what it says of a person."""

    column: str
    type: ColumnType
    traits: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()


Fields = Sequence[Field]


@dataclass(frozen=True, slots=True)
class Person:
    """What a deployment knows of one profile, as far as matching reads it."""

    traits: dict[str, Any]
    identifiers: dict[str, list[str]]
    origins: Mapping[int, "Person"] = field(default_factory=dict)
    """Of a merged profile: what each of its origins said."""


@dataclass(slots=True)
class Refreshed:
    """Profiles by their leading ids: `records` of those that exist, one of each origin that said anything, its own
    first; `gone` those that do not exist any more.

    `origins` are those of the records, in the same order, of the profiles that have several.

    `changed` are those whose records are not what they were, `new` those that had none. `writes` are to be sent by the
    caller, with what it asks next. `unkept` are records that are not stored yet, by profile and origin, where the
    caller would rather write those in bulk.
    """

    records: dict[int, list[Record]] = field(default_factory=dict)
    origins: dict[int, list[int]] = field(default_factory=dict)
    people: dict[int, Person] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    new: set[int] = field(default_factory=set)
    writes: list[Call] = field(default_factory=list)
    unkept: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two profiles that were compared; `one` is the smaller id."""

    one: int
    other: int
    score: float
    probability: float


@dataclass(frozen=True, slots=True)
class Matched:
    """What one turn of the queue did."""

    claimed: int = 0
    compared: int = 0
    waiting: int = 0
    due: int = 0
    more: bool = False
    """Whether others may wait in the queue."""
    merge_first: bool = False
    """Nobody was matched, since two wait to be merged."""
