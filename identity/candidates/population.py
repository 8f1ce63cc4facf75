"""Everybody in memory, as `matching.match` takes them: a row for each origin of a profile."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from identity.candidates.contracts import Field, Fields
from identity.candidates.lookup import SHARED_BY, plain_of
from identity.candidates.records import IDENTIFYING
from identity.matching.contracts import Record

MOST_KNOWN = 50_000
"""Values of a column that are held once, however many have them."""


@dataclass(slots=True)
class Population:
    """Everybody: `ids`, and the values of their origins by column, as `matching.match` takes them."""

    ids: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    owners: list[int] = field(default_factory=list)
    """By row: the place of its profile. The rows of one follow each other, its own first, until it is parted."""
    origins: dict[int, int] = field(default_factory=dict)
    """By row: its origin, where a profile has several."""
    _first: "array[int]" = field(default_factory=lambda: array("q"))
    """By place: the first row of its profile."""
    _row_of: dict[int, int] = field(default_factory=dict)
    _leading: dict[int, Record] = field(default_factory=dict)
    _known: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(
        self,
        records: Mapping[int, Sequence[Record]],
        origins: Mapping[int, Sequence[int]],
        people: Mapping[int, Record] | None = None,
    ) -> None:
        """Of profiles that have several records, `origins` are those of each, and `people` what they say together."""
        ids = sorted(records)
        for place, id_ in enumerate(ids, len(self.ids)):
            row = len(self.owners)
            self._first.append(row)
            for origin_row, origin in enumerate(origins.get(id_, ()), row):
                self.origins[origin_row] = origin
                self._row_of[origin] = origin_row
            self.owners += [place] * len(records[id_])
            if people and id_ in people:
                self._leading[place] = people[id_]
        self.ids += ids
        for column, cells in self.columns.items():
            found = [_cell(record.get(column, ())) for id_ in ids for record in records[id_]]
            known = self._known[column]
            keep = known.setdefault if len(known) < MOST_KNOWN else known.get
            cells += [keep(cell, cell) if cell.__class__ is str else cell for cell in found]

    def places(self) -> dict[int, int]:
        """The row of each profile, its own, and of each origin that says something."""
        return self._row_of | dict(zip(self.ids, self._first, strict=True))

    def rows_of_several(self) -> dict[int, list[int]]:
        """By its place, the rows of each profile that has several."""
        found: dict[int, list[int]] = defaultdict(list)
        for row in sorted(self.origins):
            found[self.owners[row]].append(row)
        return found

    def same(self) -> list[tuple[int, int]]:
        """Rows that are one profile."""
        return [pair for rows in self.rows_of_several().values() for pair in pairwise(rows)]

    def part(self, profile: int, leaving: Collection[int], id_: int) -> None:
        """These origins have left a profile, and are one of this id."""
        rows = sorted(self._row_of[origin] for origin in leaving if origin in self._row_of)
        if rows and all(self.ids[self.owners[row]] == profile for row in rows):
            self._leading.pop(self.owners[rows[0]], None)
            for row in rows:
                self.owners[row] = len(self.ids)
            self.ids.append(id_)
            self._first.append(rows[0])

    def leading(self) -> dict[str, list[Any]]:
        """By column, a cell for each profile: what it says itself, or its origins together, where that is known."""
        if not self._leading and len(self.owners) == len(self.ids):
            return self.columns
        found = {column: [cells[row] for row in self._first] for column, cells in self.columns.items()}
        for place, record in self._leading.items():
            for column, cells in found.items():
                cells[place] = _cell(record.get(column, ()))
        return found

    def record(self, place: int) -> Record:
        """What a profile says itself, as it was matched."""
        cells = {column: values[self._first[place]] for column, values in self.columns.items()}
        return {name: _values(cell) for name, cell in cells.items() if cell is not None}


def drop_shared(population: Population, fields: Fields) -> dict[tuple[str, str], int]:
    """Take out identifying values that too many have, which would make one person of many.

    Returns them by column, in one of their spellings, with the number of profiles.
    """
    told: dict[tuple[str, str], int] = {}
    for field_ in fields:
        if field_.type in IDENTIFYING:
            told |= _drop_shared(population.columns[field_.column], population.owners, field_)
    return told


def _drop_shared(cells: list[Any], owners: Sequence[int], field_: Field) -> dict[tuple[str, str], int]:
    counts: Counter[str] = Counter()
    last, met = -1, dict[str, None]()
    for owner, cell in zip(owners, cells, strict=True):
        if cell is not None:
            found = _plain(cell, field_)
            if owner == last:
                counts.update(found.keys() - met.keys())
                met |= found
            else:
                counts.update(found.keys())
                last, met = owner, found
    shared = {plain: count for plain, count in counts.items() if plain and count > SHARED_BY}
    told: dict[str, str] = {}
    for place, cell in enumerate(cells if shared else ()):
        if cell is not None and (crowded := _plain(cell, field_).keys() & shared.keys()):
            kept = []
            for value in _values(cell):
                plain = plain_of(value, field_.type)
                if plain in crowded:
                    told.setdefault(plain, value)
                else:
                    kept.append(value)
            cells[place] = _cell(kept)
    return {(field_.column, value): shared[plain] for plain, value in told.items()}


def _plain(cell: Any, field_: Field) -> dict[str, None]:
    """What the cell's values are in one spelling, each once."""
    return dict.fromkeys(plain_of(value, field_.type) for value in _values(cell))


def _values(cell: Any) -> list[str]:
    return [cell] if isinstance(cell, str) else list(cell)


def _cell(values: Sequence[str]) -> Any:
    return None if not values else values[0] if len(values) == 1 else list(values)
