"""What about a table somebody should know before trusting its matches."""

from collections.abc import Iterator

import numpy as np

from .contracts import ColumnType, MatchWarning
from .table import Feature, Table

CONSTANT = 0.95
"""Share of records with one and the same value from which a column tells nobody apart."""
UNREADABLE = 0.05
"""Share of values that make no sense from which it is worth a look."""
FEWEST = 20
"""Below so many records nothing is unusual."""
SHARED = {
    ColumnType.EMAIL: "e-mail address",
    ColumnType.PHONE: "phone number",
    ColumnType.NATIONAL_ID: "number of a person",
}


def find_warnings(table: Table) -> tuple[MatchWarning, ...]:
    return tuple(
        warning
        for column, feature in table.columns.items()
        for warning in _of_column(column, table.layout.types[column], feature, table)
    )


def _of_column(column: str, kind: ColumnType, feature: Feature, table: Table) -> Iterator[MatchWarning]:
    known = int(feature.known.sum())
    odd = table.oddities.get(column)
    if not known:
        if table.records:
            yield MatchWarning(
                "empty_column", column, f"“{column}” is empty: it helps to tell nobody apart.", table.records
            )
    else:
        yield from _of_values(column, kind, feature, known)
    if odd and odd.overlong:
        yield MatchWarning(
            "overlong_values",
            column,
            f"{odd.overlong} values of “{column}” are too long to be real; their start counts.",
            odd.overlong,
        )
    words = kind.replace("_", " ")
    if odd and odd.unreadable > max(FEWEST, UNREADABLE * odd.given):
        yield MatchWarning(
            "unreadable_values",
            column,
            f"{odd.unreadable} values of “{column}” are no {words} and do not count. Is the type right?",
            odd.unreadable,
        )


def _of_values(column: str, kind: ColumnType, feature: Feature, known: int) -> Iterator[MatchWarning]:
    top = int(np.argmax(feature.counts))
    count, value = int(feature.counts[top]), str(feature.vocabulary[top])
    if known < FEWEST:
        return
    if count > CONSTANT * known:
        yield MatchWarning(
            "constant_column",
            column,
            f"Nearly all have the same “{column}”: it tells nobody apart.",
            count,
            value,
        )
    elif kind in SHARED and count > max(FEWEST, 0.001 * known):
        yield MatchWarning(
            "shared_identifier",
            column,
            f"{count} records share one {SHARED[kind]}. It hardly counts; block it if it is a placeholder.",
            count,
            value,
        )
    elif kind is ColumnType.BIRTH_DATE and count > max(FEWEST, 0.005 * known):
        yield MatchWarning(
            "placeholder_date",
            column,
            f"{count} records share one birth date. It hardly counts as evidence.",
            count,
            value,
        )
    if kind in {ColumnType.GIVEN_NAME, ColumnType.SURNAME}:
        letters = int(feature.counts[np.asarray([len(text) == 1 for text in feature.vocabulary], dtype=bool)].sum())
        if letters > max(FEWEST, 0.2 * known):
            yield MatchWarning(
                "initials_only",
                column,
                f"{letters} values of “{column}” are single letters, which say little.",
                letters,
            )
