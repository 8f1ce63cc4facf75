"""Profiles as the segment screens show them: samples, members, who moved."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from identity import queries as identity
from identity.contracts import ProfileView
from identity.viewing import mask_profile
from ingestion.dictionary.masking import Masker

MOST_FOUND = 500
_TELLING = ("email", "user_id", "anonymous_id")


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    detail: str = ""
    identifiers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    person: Person
    kind: str
    at: datetime
    cause: str


def describe(ids: Iterable[int], *, masker: Masker) -> list[Person]:
    """These profiles in this order; one that has just been merged away keeps its place, with its number as name."""
    wanted = list(ids)
    found = identity.get_profiles(ids=wanted)
    return [
        person_of(mask_profile(found[id_], masker)) if id_ in found else Person(id_, f"Profile {id_}")
        for id_ in wanted
    ]


def person_of(view: ProfileView) -> Person:
    values = [view.identifiers[kind][0] for kind in _TELLING if view.identifiers.get(kind)]
    detail = next((value for value in values if value != view.display_name), "")
    return Person(view.id, view.display_name, detail, view.identifiers)
