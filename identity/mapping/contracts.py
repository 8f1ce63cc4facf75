"""What crosses the border of this room."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ABSORBED = "profile_id"
"""In an export, the kind of a line that leads from the id of an absorbed profile to the one that leads now."""


@dataclass(frozen=True, slots=True)
class IdentifierLine:
    """An identifier and the profile that it leads to. `last_seen_at` is known to the day.

    `origin_id` is the profile it was first recorded for; where nothing was merged, the same.
    """

    kind: str
    value: str
    profile_id: int
    source_id: int
    first_seen_at: datetime
    last_seen_at: datetime | None
    origin_id: int


@dataclass(frozen=True, slots=True)
class MappingFilter:
    """What an export or a page is narrowed to; an empty one is everything."""

    kinds: Sequence[str] = ()
    source_id: int | None = None
    changed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A thing in the picture of a profile: an origin, or an identifier of one."""

    key: str
    kind: str
    label: str
    note: str
    at: datetime | None = None
    profile_id: int | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """Why two things belong together: `reason` is message, alias, match or person."""

    one: str
    other: str
    reason: str
    label: str
    note: str
    at: datetime | None = None
    probability: float | None = None
    merge_id: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """How a profile was put together. `left_out` counts identifiers beyond what is drawn."""

    profile_id: int
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    left_out: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the browser and the API."""
        return {
            "profile": self.profile_id,
            "nodes": [
                {
                    "id": node.key,
                    "kind": node.kind,
                    "label": node.label,
                    "note": node.note,
                    "at": None if node.at is None else node.at.isoformat(),
                    "profile": node.profile_id,
                }
                for node in self.nodes
            ],
            "edges": [
                {
                    "source": edge.one,
                    "target": edge.other,
                    "reason": edge.reason,
                    "label": edge.label,
                    "note": edge.note,
                    "at": None if edge.at is None else edge.at.isoformat(),
                    "probability": edge.probability,
                    "merge": edge.merge_id,
                }
                for edge in self.edges
            ],
            "left_out": self.left_out,
        }
