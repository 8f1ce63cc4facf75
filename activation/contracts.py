"""What crosses the border of the activation room: what screens and endpoints show."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class DestinationOverview:
    """A destination and how it did in the last 24 hours. `success_rate` is of tries, None where there were none."""

    id: int
    slug: str
    name: str
    kind: str
    kind_label: str
    icon: str
    address: str
    state: str
    state_label: str
    state_reason: str
    failures: int
    failing_since: datetime | None
    held_until: datetime | None
    created_at: datetime
    subscriptions: int
    waiting: int
    delivered: int
    dead: int
    suppressed: int
    success_rate: float | None
    last_delivery_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery in a list. `reason` is in words: why it failed, or why it was held back."""

    id: int
    message_id: str
    destination_id: int
    destination_slug: str
    destination_name: str
    segment_slug: str
    segment_name: str
    profile_id: int
    event: str
    state: str
    state_label: str
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    reason: str
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    at: datetime
    duration_ms: int
    status: int | None
    error: str
    response: str


@dataclass(frozen=True, slots=True)
class DeliveryDetail:
    row: DeliveryRow
    payload: Mapping[str, Any]
    consent_record_id: int | None
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True)
class HourlyDeliveries:
    """Tries per hour to one destination, or to all."""

    hour: datetime
    succeeded: int
    failed: int


@dataclass(frozen=True, slots=True)
class TestResult:
    """What a test message came to."""

    __test__ = False

    ok: bool
    status: int | None
    error: str
    response: str
    duration_ms: int
