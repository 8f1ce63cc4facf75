"""Some people by the values of one trait, beside everybody: which values are theirs more than others'?

1. What the trait holds for these people is looked at first: how many have it, how many have a number.
2. Mostly numbers, and many of them: the people are cut into parts of about the same size (quantiles).
3. Otherwise the most frequent values, and the rest together.

Everybody is counted by the same values or bins in the same pass, so that two shares stand side by side.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

from ingestion.dictionary.masking import CLEAR, Masker
from segments.ast import DefinitionError, Path, parse
from segments.ast import Trait as TraitNode
from segments.insight.holders import Look, Rows, Source
from segments.insight.tally import tally_of
from segments.sql import Sql

VALUES = 10
BINS = 5
MANY_NUMBERS = 12
LONGEST = 80


class Rest(Enum):
    """Lines that are no value."""

    OTHER = "All others"
    UNSET = "Not set"


OTHER, UNSET = Rest.OTHER, Rest.UNSET
Label = str | Rest


@dataclass(frozen=True)
class Line:
    """One value or bin. `of_everybody` counts all profiles that have it."""

    label: Label
    count: int
    of_everybody: int


@dataclass(frozen=True)
class Breakdown:
    """`kind`: values, bins, or hidden where the person who asks may not see the values. A list counts each element
    once per person, so that lines may come to more than the people.
    """

    trait: str
    kind: str
    people: int
    everybody: int
    lines: list[Line]
    other: Line | None = None
    unset: Line | None = None


def trait_path(name: str) -> Path:
    """Raises DefinitionError, with the path `/trait`."""
    node = parse({"type": "trait", "trait": name, "op": "exists"})
    if not isinstance(node, TraitNode):
        raise DefinitionError("This is no trait.", code="invalid_path", path="/trait")
    return node.trait


def break_down(*, people: Sql, trait: str, masker: Masker = CLEAR) -> Breakdown:
    """`people` yields `(profile_id)`; ask within `segments.insight.people.asked`."""
    path = trait_path(trait)
    source = tally_of(people, path) or Rows(people, path)
    look = source.look(parts=[number / BINS for number in range(BINS + 1)])
    if masker.value("trait", "", trait, "Probe 1") != "Probe 1":
        kind, lines = "hidden", _set_or_not(source, look)
    elif look.numbers * 2 > look.present and look.distinct > MANY_NUMBERS:
        kind, lines = "bins", _by_bins(source, look.edges)
    else:
        kind, lines = "values", _by_values(source)
    named = [line for line in lines if line.label not in {UNSET, OTHER}]
    found = {line.label: line for line in lines}
    return Breakdown(trait, kind, look.people, look.everybody, named, found.get(OTHER), found.get(UNSET))


def _set_or_not(source: Source, look: Look) -> list[Line]:
    own, everywhere = source.holders()
    return [Line("Set", own, everywhere), Line(UNSET, look.people - own, look.everybody - everywhere)]


def _by_values(source: Source) -> list[Line]:
    rows = source.by_values(limit=VALUES)
    return [Line(_value_label(shown, unset=unset), own, everywhere) for shown, own, everywhere, unset in rows]


def _value_label(shown: str | None, *, unset: bool) -> Label:
    if unset:
        return UNSET
    return OTHER if shown is None else _label(json.loads(shown))


def _by_bins(source: Source, edges: list[Decimal]) -> list[Line]:
    """`edges` are the smallest number that these people have, those between the bins, and the largest."""
    distinct = sorted(set(edges))
    bounds = distinct[1:-1] or distinct[-1:]
    rows = source.by_bins(bounds=bounds)
    return [Line(_bin_label(place, bounds, unset=unset), own, everywhere) for place, own, everywhere, unset in rows]


def _bin_label(place: int | None, bounds: list[Decimal], *, unset: bool) -> Label:
    if place is None:
        return UNSET if unset else OTHER
    if place == 0:
        return f"below {_number(bounds[0])}"
    if place == len(bounds):
        return f"{_number(bounds[-1])} and more"
    return f"{_number(bounds[place - 1])} to below {_number(bounds[place])}"


def _number(number: Decimal) -> str:
    rounded = round(number, 2)
    return f"{rounded.normalize():,f}"


def _label(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…") or "“”"
