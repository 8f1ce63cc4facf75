"""Which traits and identifiers are compared as what: guessed from names and data, until a person confirms or edits."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection

from identity import matching
from identity.candidates.contracts import Field
from identity.candidates.models import MatchingSettings
from identity.candidates.records import IDENTIFIERS, known_type
from identity.matching.contracts import ColumnType
from identity.queries import trait_names

SAMPLE = 2_000
GUESS_SECONDS = 10.0
# What a guess from the data alone may make of a trait with an unknown name. The rest, such as a category, is as often
# a thing that changes, or that everybody has, as something that tells people apart.
TELLING = frozenset(
    {
        ColumnType.GIVEN_NAME,
        ColumnType.SURNAME,
        ColumnType.FULL_NAME,
        ColumnType.BIRTH_DATE,
        ColumnType.EMAIL,
        ColumnType.PHONE,
    }
)

_guess: dict[str, tuple[float, list[Field]]] = {}


def live_fields(settings: MatchingSettings) -> list[Field]:
    """As somebody confirmed them; else as the data suggested a moment ago: to guess costs as much as a turn."""
    if settings.fields:
        return msgspec.convert(settings.fields, list[Field])
    now = time.monotonic()
    made_at, guessed = _guess.get("fields", (0.0, []))
    if not guessed or now - made_at > GUESS_SECONDS:
        guessed = guess_fields()
        _guess["fields"] = (now, guessed)
    return list(guessed)


def forget_guess() -> None:
    _guess.clear()


def guess_fields() -> list[Field]:
    """One column per type that is known by name, filled by all its spellings; others as their values look."""
    found = trait_names()
    paths = [suggestion.value for suggestion in found]
    named = {path: known_type(path) for path in paths}
    by_type: dict[ColumnType, list[str]] = {}
    for path, type_ in named.items():
        if type_ is not None and type_ is not ColumnType.IGNORE:
            by_type.setdefault(type_, []).append(path)
    fields = [
        Field(type_.value, type_, tuple(by_type.get(type_, ())), IDENTIFIERS.get(type_, ()))
        for type_ in ColumnType
        if type_ in by_type or type_ in IDENTIFIERS
    ]
    unknown = [path for path, type_ in named.items() if type_ is None]
    taken = {field.type for field in fields}
    looks = _guess_by_values(unknown)
    others = [
        Field(path, type_ if type_ in TELLING and type_ not in taken else ColumnType.IGNORE, (path,))
        for path, type_ in looks.items()
    ]
    return fields + others


def dump_fields(fields: Sequence[Field]) -> list[dict[str, Any]]:
    dumped: list[dict[str, Any]] = msgspec.to_builtins(fields)
    return dumped


def types_of(fields: Sequence[Field]) -> dict[str, ColumnType]:
    return {field.column: field.type for field in fields if field.type is not ColumnType.IGNORE}


def _guess_by_values(paths: Sequence[str]) -> Mapping[str, ColumnType]:
    columns = _sample(paths)
    return matching.guess_types(columns) if columns else {}


def _sample(paths: Sequence[str]) -> dict[str, list[str | None]]:
    """Texts of recent profiles; numbers and truth values tell nobody who somebody is."""
    if not paths:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT u.place, array_agg(CASE WHEN jsonb_typeof(s.traits #> u.path) = 'string'"
            "   THEN left(s.traits #>> u.path, 200) END)"
            " FROM (SELECT traits FROM profile ORDER BY id DESC LIMIT %s) AS s,"
            " (SELECT place, string_to_array(path, '.') AS path"
            "   FROM unnest(%s::text[]) WITH ORDINALITY AS t(path, place)) AS u"
            " GROUP BY u.place ORDER BY u.place",
            [SAMPLE, list(paths)],
        )
        found = {paths[place - 1]: list(values) for place, values in cursor.fetchall()}
    return {path: values for path, values in found.items() if any(values)}
