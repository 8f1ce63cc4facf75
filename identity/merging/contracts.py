"""What crosses the border of this room."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from identity.contracts import ProfileView


@dataclass(frozen=True, slots=True)
class MergeView:
    """A merge as it is told. `survivor_id` and `absorbed_id` led at the time; the origins never change."""

    id: int
    at: datetime
    survivor_id: int
    absorbed_id: int
    one_origin: int
    other_origin: int
    cause: str
    evidence: Mapping[str, Any]
    moved: Mapping[str, int]
    actor: str
    undone_at: datetime | None
    undone_by: str

    @property
    def is_in_force(self) -> bool:
        return self.undone_at is None


@dataclass(frozen=True, slots=True)
class ConstraintView:
    """What a person said of a pair of origins, and where these lead now."""

    one_origin: int
    other_origin: int
    one_profile: int
    other_profile: int
    kind: str
    reason: str
    made_at: datetime
    made_by: str


@dataclass(frozen=True, slots=True)
class TraitDifference:
    """A trait of two profiles side by side, and what a merge would leave."""

    name: str
    one: Any
    other: Any
    merged: Any

    @property
    def differs(self) -> bool:
        return self.one is not None and self.other is not None and self.one != self.other


@dataclass(frozen=True, slots=True)
class BrokenLimit:
    """Of a kind of identifiers, more than a profile may have."""

    kind: str
    count: int
    limit: int


@dataclass(frozen=True, slots=True)
class Side:
    """One of two profiles that may merge, or of the two that a profile would part into."""

    profile: ProfileView
    origins: frozenset[int]
    events: int
    accounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergePreview:
    """What a merge would do, as far as identity knows. `refusals` are the reasons why it would not happen, by code."""

    survivor: Side
    absorbed: Side
    traits: tuple[TraitDifference, ...]
    broken_limits: tuple[BrokenLimit, ...]
    refusals: Mapping[str, str] = field(default_factory=dict)

    @property
    def identifiers(self) -> dict[str, list[str]]:
        """The identifiers that the merged profile would have."""
        kinds = [*self.survivor.profile.identifiers, *self.absorbed.profile.identifiers]
        return {
            kind: [
                *self.survivor.profile.identifiers.get(kind, []),
                *self.absorbed.profile.identifiers.get(kind, []),
            ]
            for kind in dict.fromkeys(kinds)
        }


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """What taking back a merge would do: what the profile keeps, and what the restored one gets."""

    merge: MergeView
    kept: Side
    restored: Side
    refusals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parting:
    """A profile in two: its id, the origins that leave it, and the id that they get."""

    profile_id: int
    restored_id: int
    origins: frozenset[int]
