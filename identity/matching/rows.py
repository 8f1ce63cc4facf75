"""Records as plain rows of cleaned values: for few records that is faster than arrays, which cost before they begin.

A row holds the texts that keys and comparisons are made of, by slot. Rows say of a record what a `Table` says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from . import normalise
from .contracts import ColumnType, Record, Types
from .table import NORMALISE, Layout, given_of_full, number_of, street_of, surname_of_full, values_of

Row = tuple[str | None, ...]
Change = Callable[[str], str | None]


@dataclass(frozen=True)
class Slot:
    """A text of a row: a column's cleaned value, or what `change` makes of it; else that of `otherwise`."""

    column: str
    change: Change | None = None
    otherwise: "Slot | None" = None

    def of(self, clean: Mapping[str, str | None]) -> str | None:
        value = clean[self.column]
        if value is not None and self.change is not None:
            value = self.change(value)
        return self.otherwise.of(clean) if value is None and self.otherwise is not None else value


class Reader:
    """Reads records into rows. Slots are asked for before the first record is read."""

    def __init__(self, types: Types, formats: Mapping[str, tuple[bool, bool]]) -> None:
        self.layout = Layout({name: kind for name, kind in types.items() if kind is not ColumnType.IGNORE})
        self._clean = {
            name: _normaliser(kind, formats.get(name, (False, True))) for name, kind in self.layout.types.items()
        }
        self._slots: dict[Slot, int] = {}
        self._plan: list[str | Slot] = []

    def read(self, record: Record) -> list[Row]:
        """One row per value of the column that has most; columns with fewer repeat their leading one."""
        clean: dict[str, str | None] = {}
        for name, change in self._clean.items():
            cell = record.get(name)
            if cell is None:
                clean[name] = None
            elif type(cell) is list and len(cell) == 1 and type(cell[0]) is str:
                clean[name] = change(cell[0])
            else:
                return self._read_many(record)
        return [self._row(clean)]

    def _read_many(self, record: Record) -> list[Row]:
        cells = [
            (name, change, values_of(cell))
            for name, change in self._clean.items()
            if (cell := record.get(name)) is not None
        ]
        height = max((len(values) for _, _, values in cells), default=1)
        rows = []
        for rank in range(max(1, height)):
            clean: dict[str, str | None] = dict.fromkeys(self._clean)
            for name, change, values in cells:
                if values:
                    clean[name] = change(values[rank] if rank < len(values) else values[0])
            rows.append(self._row(clean))
        return rows

    def _row(self, clean: Mapping[str, str | None]) -> Row:
        return tuple([clean[slot] if isinstance(slot, str) else slot.of(clean) for slot in self._plan])

    def clean(self, column: str) -> int:
        return self._at(Slot(column))

    def given(self, column: str) -> int:
        return self._name(column, self.layout.given, given_of_full)

    def surname(self, column: str) -> int:
        return self._name(column, self.layout.surname, surname_of_full)

    def street(self, column: str) -> int:
        return self._at(Slot(column, street_of if self._is(column, ColumnType.ADDRESS) else None))

    def number(self, column: str) -> int:
        return self._at(Slot(column, number_of if self._is(column, ColumnType.ADDRESS) else None))

    def may_swap(self, column: str) -> bool:
        layout = self.layout
        return bool(layout.given and layout.surname) and column in {layout.given[0], layout.surname[0]}

    def _name(self, column: str, columns: Sequence[str], of_full: Change) -> int:
        """A full name beside given name and surname fills what they leave open."""
        if self._is(column, ColumnType.FULL_NAME):
            return self._at(Slot(column, of_full))
        full = self.layout.of(ColumnType.FULL_NAME)
        return self._at(Slot(column, None, Slot(full[0], of_full) if full and column == columns[0] else None))

    def _is(self, column: str, kind: ColumnType) -> bool:
        return self.layout.types[column] is kind

    def _at(self, slot: Slot) -> int:
        if slot not in self._slots:
            self._slots[slot] = len(self._slots)
            self._plan.append(slot if slot.change or slot.otherwise else slot.column)
        return self._slots[slot]


def _normaliser(kind: ColumnType, date_format: tuple[bool, bool]) -> Change:
    if kind is ColumnType.BIRTH_DATE:
        return partial(normalise.birth_date, day_first=date_format[0], year_first=date_format[1])
    return NORMALISE[kind]
