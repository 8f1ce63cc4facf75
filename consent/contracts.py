"""What crosses the border of the consent room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from consent.policy import Choice, Decision, Reason, State

__all__ = ["Choice", "ConsentInput", "Decision", "Reason", "Recorded", "State"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentInput:
    """A choice to be recorded. `subjects` are (kind, value) pairs: hashed here, never stored as they are."""

    subjects: Sequence[tuple[str, str]]
    purpose: str
    state: State
    method: str
    happened_at: datetime
    external_id: str | None = None
    expires_at: datetime | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    actor: str = ""
    legal_basis: str = "consent"
    jurisdiction: str = ""
    notice: str = ""
    notice_version: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record that holds a choice; `created` is false where its external id was there already."""

    record_id: int
    created: bool
