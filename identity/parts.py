"""What each origin of a merged profile said of its traits, so that a merge can be taken back.

Only merged profiles have parts. Their traits are the fold of the parts, so nothing is lost by folding: a profile that
is parted again has the traits that its origins would have had without the merge.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from identity.traits import Policy, TraitState, dump_json


@dataclass(slots=True)
class Part:
    """What one origin said, and when it was first seen."""

    state: TraitState
    created_at: str


Parts = dict[int, Part]
"""By origin."""


def parts_of(*, profile_id: int, state: TraitState, created_at: datetime, stored: str | None) -> Parts:
    """The parts of a profile; one that was never merged is its only part."""
    if stored is not None:
        return load(stored)
    copied = TraitState(dict(state.traits), dict(state.provenance))
    return {profile_id: Part(copied, created_at.isoformat())}


def load(stored: str) -> Parts:
    return read_parts(json.loads(stored))


def read_parts(stored: Mapping[str, Any]) -> Parts:
    return {
        int(origin): Part(TraitState(part["traits"], part["provenance"]), part["created_at"])
        for origin, part in stored.items()
    }


def dump(parts: Mapping[int, Part]) -> str:
    said = {
        str(origin): {
            "traits": part.state.traits,
            "provenance": part.state.provenance,
            "created_at": part.created_at,
        }
        for origin, part in sorted(parts.items())
    }
    return dump_json(said)


def fold_parts(parts: Iterable[Part], *, policies: Mapping[str, Policy]) -> TraitState:
    """The traits of a profile that consists of these parts."""
    state = TraitState(policies=policies)
    for part in parts:
        state.absorb(part.state)
    return state
