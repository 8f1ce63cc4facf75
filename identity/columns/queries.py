"""Read profiles and traits of everybody, as they are in the snapshot of the caller's transaction."""

from collections.abc import Collection, Mapping

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from identity.columns.contracts import TraitColumn
from identity.columns.paths import expression, load_values


def read_profiles() -> NDArray[np.int64]:
    """The ids of all profiles, ascending. Call it in a REPEATABLE READ transaction, like the others here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM profile ORDER BY id")
        return np.fromiter((id_ for (id_,) in cursor), dtype=np.int64)


def read_trait(path: str) -> TraitColumn:
    """One trait of everybody; see `read_traits`."""
    return read_traits([path])[path]


def read_traits(paths: Collection[str]) -> Mapping[str, TraitColumn]:
    """Traits of everybody by their dotted paths, read together.

    Raises:
        ValueError: where a path leads through a list (`products[].name`).
    """
    return {path: _read_rows(path) for path in paths}


def packed_traits(paths: Collection[str]) -> frozenset[str]:
    """Those that are read in milliseconds; the others are read from every profile's row, which SQL does as well."""
    del paths
    return frozenset()


def _read_rows(path: str) -> TraitColumn:
    """From every profile's row."""
    value, parameters = expression(path)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT p.id, {value} FROM profile p ORDER BY p.id", parameters)
        rows = cursor.fetchall()
    places: dict[str, int] = {}
    codes = [-1 if text is None else places.setdefault(text, len(places)) for _, text in rows]
    return TraitColumn(
        np.fromiter((id_ for id_, _ in rows), dtype=np.int64, count=len(rows)),
        np.array(codes, dtype=np.int32),
        load_values(places),
    )
