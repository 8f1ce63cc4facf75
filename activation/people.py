"""What consent says to a delivery."""

from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from consent import queries as consent
from consent.contracts import Decision, Reason
from identity.consents.subjects import subjects_of

Key = TypeVar("Key", bound=Hashable)

ALLOWED_WITHOUT_PURPOSE = Decision(allowed=True, reason=Reason.NOT_OBJECTED)


def decide_all(asked: Mapping[Key, tuple[int, int | None]], *, now: datetime) -> dict[Key, Decision]:
    """What consent says to each (profile id, purpose id): one question per purpose. No purpose needs no consent."""
    decisions = {key: ALLOWED_WITHOUT_PURPOSE for key, (_, purpose_id) in asked.items() if purpose_id is None}
    people = subjects_of({profile_id for profile_id, purpose_id in asked.values() if purpose_id is not None})
    for purpose in _purposes(asked.values()):
        members = {key: people[profile_id] for key, (profile_id, asks) in asked.items() if asks == purpose}
        decisions |= consent.decide_many(people=members, purpose_id=purpose, now=now)
    return decisions


def _purposes(asked: Iterable[tuple[int, int | None]]) -> list[int]:
    return sorted({purpose_id for _, purpose_id in asked if purpose_id is not None})
