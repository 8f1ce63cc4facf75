"""Reads of this room."""

from collections.abc import Collection
from dataclasses import asdict, replace

from django.db import connection

from identity.contracts import Identifier
from identity.kinds.models import IdentifierKind
from identity.kinds.rules import DEFAULTS, OTHERS, KindSettings


def stored_settings() -> list[KindSettings]:
    """What is configured, kind by kind; a built-in kind without a row has its defaults."""
    return [settings_of(row) for row in IdentifierKind.objects.order_by("priority", "name")]


def settings_of(row: IdentifierKind) -> KindSettings:
    return KindSettings(
        name=row.name,
        label=row.label,
        icon=row.icon,
        normaliser=row.normaliser,
        options=row.options,
        priority=row.priority,
        limit_ever=row.limit_ever,
        limit_yearly=row.limit_yearly,
        limit_monthly=row.limit_monthly,
        limit_weekly=row.limit_weekly,
        blocked=tuple(row.blocked),
        patterns=tuple(row.patterns),
        min_length=row.min_length,
        min_distinct=row.min_distinct,
        enabled=row.enabled,
        protected=row.protected,
    )


def all_settings() -> list[KindSettings]:
    """Every kind that has settings, the one that decides first."""
    found = dict(DEFAULTS) | {one.name: one for one in stored_settings()}
    return sorted(found.values(), key=lambda one: (one.priority, one.name))


def settings_named(name: str) -> KindSettings:
    """The settings that hold for a kind; of one that nobody has configured, those of other external ids."""
    known = {one.name: one for one in all_settings()}
    return known.get(name) or replace(known[OTHERS], name=name, label="")


def row_of(settings: KindSettings) -> IdentifierKind:
    """The row of a kind with settings, or a new one for it."""
    found = IdentifierKind.objects.filter(name=settings.name).first()
    values = asdict(settings)
    return found or IdentifierKind(**values | {"blocked": list(settings.blocked), "patterns": list(settings.patterns)})


def other_spellings(identifiers: Collection[Identifier]) -> dict[Identifier, list[str]]:
    """Under which other spellings these were sent: consent may know their people by any of them."""
    asked = sorted(set(identifiers))
    if not asked:
        return {}
    found: dict[Identifier, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.kind, s.value, s.said FROM unnest(%s::text[], %s::text[]) AS u(kind, value)"
            " JOIN identifier_spelling s ON s.kind = u.kind AND s.value = u.value ORDER BY 1, 2, 3",
            [list(column) for column in zip(*asked, strict=True)],
        )
        for kind, value, said in cursor.fetchall():
            found.setdefault((kind, value), []).append(said)
    return found


def count_stored(kind: str) -> int:
    """How many identifiers of a kind are stored. `*` stands for all that have no settings of their own."""
    with connection.cursor() as cursor:
        if kind == OTHERS:
            cursor.execute(
                "SELECT count(*) FROM identifier WHERE kind <> ALL(%s)", [[one.name for one in all_settings()]]
            )
        else:
            cursor.execute("SELECT count(*) FROM identifier WHERE kind = %s", [kind])
        return int(cursor.fetchone()[0])
