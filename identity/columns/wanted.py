"""Which traits are worth a column, and which have one. This module is light: it does without NumPy."""

from collections.abc import Collection

from django.conf import settings
from django.db import connection

from identity.columns.models import LONGEST_PATH, TraitColumn
from identity.columns.paths import steps_of

PROFILES = ""
"""The path of the column that holds which profiles there are."""
MOST_COLUMNS = 64


def want_trait(path: str) -> None:
    """Say that a trait is asked of everybody, so that it gets a column. Call it after the transaction that read it.

    Beyond so many columns nothing more gets one, until one has not been asked for in a month.

    Raises:
        ValueError: where the path leads through a list.
    """
    steps_of(path)
    if len(path) > LONGEST_PATH or not settings.IDENTITY_TRAIT_COLUMNS:
        return
    with connection.cursor() as cursor:
        cursor.execute(_IS_FRESH, [path])
        if cursor.fetchone() is None:
            cursor.execute(_WANT, [path, TraitColumn.State.BUILDING, MOST_COLUMNS])


def packed_traits(paths: Collection[str]) -> frozenset[str]:
    """Those that are read in milliseconds; the others are read from every profile's row, which SQL does as well."""
    columns = built_columns(paths) if paths else {}
    return frozenset(columns.keys() - {PROFILES}) if PROFILES in columns else frozenset()


def built_columns(paths: Collection[str]) -> dict[str, int]:
    """The ids of the columns that are complete, that of the profiles among them."""
    if not settings.IDENTITY_TRAIT_COLUMNS:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_BUILT, [TraitColumn.State.BUILT, [PROFILES, *paths]])
        return dict(cursor.fetchall())


_BUILT = "SELECT path, id FROM trait_column WHERE state = %s AND path = ANY(%s)"
_IS_FRESH = "SELECT FROM trait_column WHERE path = %s AND asked_at > now() - interval '1 day'"
_WANT = """
    INSERT INTO trait_column (path, state, built_to, asked_at)
    SELECT %s, %s, 0, now() WHERE (SELECT count(*) FROM trait_column) <= %s
    ON CONFLICT (path) DO UPDATE SET asked_at = excluded.asked_at
"""
