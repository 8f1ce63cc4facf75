"""What can stand beside a member, on the page and in an export: traits, identifiers, and when they entered.

A column is named `entered_at`, `identifiers.KIND` or `traits.PATH`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from identity import queries as identity
from identity.contracts import ProfileView
from segments.ast import DefinitionError, Path
from segments.insight.breakdown import trait_path
from segments.insight.errors import UnknownColumnError
from segments.insight.models import MemberColumns

ENTERED = "entered_at"
IDENTIFIERS = "identifiers."
TRAITS = "traits."
OFFERED_TRAITS = 60
MOST = 30
SEPARATOR = "; "


@dataclass(frozen=True)
class Column:
    key: str
    label: str
    kind: str = ""
    path: Path | None = None

    def value(self, view: ProfileView, entered_at: datetime) -> Any:
        """What the profile has there; several identifiers or elements in one text; None where there is nothing."""
        if self.path is not None:
            return one_of(values_at(self.path, view.traits))
        if self.kind:
            return one_of(view.identifiers.get(self.kind, []))
        return entered_at


def column(key: str) -> Column:
    """Raises UnknownColumnError."""
    if key == ENTERED:
        return Column(key, "Entered")
    if key.startswith(IDENTIFIERS) and len(key) > len(IDENTIFIERS):
        kind = key.removeprefix(IDENTIFIERS)
        return Column(key, kind, kind=kind)
    if key.startswith(TRAITS):
        name = key.removeprefix(TRAITS)
        try:
            return Column(key, name, path=trait_path(name))
        except DefinitionError as error:
            raise UnknownColumnError(error.message, path="/columns") from error
    message = f"There is no column “{key[:80]}”. Use entered_at, identifiers.KIND or traits.NAME."
    raise UnknownColumnError(message, path="/columns")


def columns(keys: Iterable[str]) -> list[Column]:
    """Each once, in this order."""
    found = [column(key) for key in dict.fromkeys(keys)]
    if len(found) > MOST:
        raise UnknownColumnError(f"Choose {MOST} columns at most.", path="/columns")
    return found


def offered() -> list[Column]:
    kinds = [f"{IDENTIFIERS}{kind}" for kind in identity.known_kinds()]
    traits = [f"{TRAITS}{found.value}" for found in identity.trait_names(limit=OFFERED_TRAITS)]
    return _readable([*kinds, *traits])


def default_keys() -> list[str]:
    return [f"{IDENTIFIERS}{kind}" for kind in identity.known_kinds()[:2]]


def chosen_by(user: Any) -> list[Column]:
    stored = MemberColumns.objects.filter(user_id=user.pk).values_list("keys", flat=True).first()
    return _readable(default_keys() if stored is None else stored)


def remember(*, user: Any, keys: Sequence[str]) -> None:
    """Raises UnknownColumnError."""
    kept = [one.key for one in columns(keys)]
    MemberColumns.objects.update_or_create(user_id=user.pk, defaults={"keys": kept})


def _readable(keys: Iterable[str]) -> list[Column]:
    """Trait names come as they are: one that is no path is left out."""
    found = []
    for key in keys:
        try:
            found.append(column(key))
        except UnknownColumnError:
            continue
    return found


def values_at(path: Path, traits: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = [traits]
    for step in path.steps:
        found = [value[step.key] for value in found if isinstance(value, dict) and step.key in value]
        if step.each:
            found = [item for value in found if isinstance(value, list) for item in value]
    return [value for value in found if value is not None]


def one_of(values: Sequence[Any]) -> Any:
    if len(values) < 2:
        return values[0] if values else None
    return SEPARATOR.join(as_text(value) for value in values)


def as_text(value: Any) -> str:
    """Of a cell: texts as they are, instants as ISO 8601 in UTC, everything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
