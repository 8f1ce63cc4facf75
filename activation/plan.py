"""From transitions to deliveries: one row per subscription that listens, allowed or held back by consent."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from activation.models import Delivery, Destination, Subscription
from activation.people import decide_all
from cdp.kernel.copy import NULL, copy_rows, timestamp_micros
from cdp.kernel.ids import message_uuid_bytes
from consent.contracts import Decision
from identity.contracts import ProfileView
from identity.queries import get_profiles
from segments.contracts import TransitionSpan

CHUNK = 2_000

_TYPES = {"entered": "segment.entered", "left": "segment.left"}

# Pairs that have a delivery already are left out, so planning a span again adds nothing.
_PAIRS = """
    SELECT t.id, t.profile_id, t.kind, t.at, t.cause, t.version, s.slug, s.name, wanted.id, wanted.destination_id,
           wanted.purpose_id
    FROM (
        SELECT id, profile_id, segment_id, kind, at, cause, version FROM transition
        WHERE segment_id = ANY(%(segments)s) AND id > %(after)s ORDER BY id LIMIT %(chunk)s
    ) AS t
    JOIN segments_segment AS s ON s.id = t.segment_id
    JOIN activation_subscription AS wanted ON wanted.id = ANY(%(subscriptions)s) AND wanted.segment_id = t.segment_id
        AND CASE t.kind WHEN 'entered' THEN wanted.on_enter ELSE wanted.on_exit END
    LEFT JOIN activation_delivery AS planned
        ON planned.subscription_id = wanted.id AND planned.transition_id = t.id
    WHERE planned.id IS NULL
    ORDER BY t.id, wanted.id
"""
_LAST_OF_CHUNK = """
    SELECT max(id) FROM (
        SELECT id FROM transition
        WHERE segment_id = ANY(%(segments)s) AND id > %(after)s ORDER BY id LIMIT %(chunk)s
    ) AS t
"""
_COLUMNS = (
    "message_id",
    "destination_id",
    "subscription_id",
    "profile_id",
    "transition_id",
    "event",
    "payload",
    "state",
    "attempts",
    "next_attempt_at",
    "last_error",
    "created_at",
    "finished_at",
    "consent_record_id",
)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A transition, and a subscription that listens to it."""

    transition_id: int
    profile_id: int
    kind: str
    at: datetime
    cause: str
    version: int
    segment_slug: str
    segment_name: str
    subscription_id: int
    destination_id: int
    purpose_id: int | None


def plan(span: TransitionSpan, *, now: datetime) -> int:
    """Deliveries for the transitions that this transaction wrote; the number of rows, those held back included.

    A destination that is paused keeps what it is owed until it goes on; one that is disabled is owed nothing.
    """
    if not span.entered and not span.left:
        return 0
    listening = _listening(span.segment_ids)
    if not listening:
        return 0
    return sum(_plan_pairs(pairs, now=now) for pairs in _chunks(span, listening))


def _listening(segment_ids: Sequence[int]) -> list[int]:
    wanted = Subscription.objects.filter(segment_id__in=segment_ids, enabled=True)
    return list(wanted.exclude(destination__state=Destination.State.DISABLED).values_list("id", flat=True))


def _chunks(span: TransitionSpan, subscriptions: list[int]) -> Iterator[list[_Pair]]:
    """The span in chunks of transitions, so that memory holds one of them, however many there are."""
    after: int | None = span.after_id
    while after is not None:
        values: dict[str, Any] = {
            "segments": list(span.segment_ids),
            "subscriptions": subscriptions,
            "after": after,
            "chunk": CHUNK,
        }
        with connection.cursor() as cursor:
            cursor.execute(_PAIRS, values)
            yield [_Pair(*row) for row in cursor.fetchall()]
            cursor.execute(_LAST_OF_CHUNK, values)
            (after,) = cursor.fetchone()


def _plan_pairs(pairs: list[_Pair], *, now: datetime) -> int:
    if not pairs:
        return 0
    profiles = get_profiles(ids={pair.profile_id for pair in pairs})
    decisions = decide_all({place: (pair.profile_id, pair.purpose_id) for place, pair in enumerate(pairs)}, now=now)
    rows = bytearray()
    for place, pair in enumerate(pairs):
        rows += _row(pair, profile=profiles.get(pair.profile_id), decision=decisions[place], now=now)
    copy_rows(table="activation_delivery", columns=_COLUMNS, rows=rows)
    return len(pairs)


def payload_of(pair: _Pair, profile: ProfileView | None) -> dict[str, Any]:
    """The body of the message: docs/reference/webhooks.md shows it to receivers."""
    return {
        "type": _TYPES[pair.kind],
        "timestamp": pair.at.isoformat(),
        "data": {
            "segment": {"slug": pair.segment_slug, "name": pair.segment_name, "version": pair.version},
            "profile": {
                "id": pair.profile_id,
                "identifiers": profile.identifiers if profile else {},
                "traits": profile.traits if profile else {},
            },
            "transition": {"id": pair.transition_id, "at": pair.at.isoformat(), "cause": pair.cause},
        },
    }


def message_id(*, subscription_id: int, transition_id: int) -> uuid.UUID:
    """The same for the same news to the same subscriber, whoever computes it."""
    return uuid.UUID(bytes=message_uuid_bytes(source_id=subscription_id, message_id=f"transition:{transition_id}"))


def _row(pair: _Pair, *, profile: ProfileView | None, decision: Decision, now: datetime) -> bytes:
    """One row as binary COPY takes it, in the order of `_COLUMNS`."""
    state = Delivery.State.PENDING if decision.allowed else Delivery.State.SUPPRESSED
    moment = timestamp_micros(now).to_bytes(8, "big", signed=True)
    payload = json.dumps(payload_of(pair, profile), ensure_ascii=False, separators=(",", ":")).encode()
    fields = (
        message_id(subscription_id=pair.subscription_id, transition_id=pair.transition_id).bytes,
        _bigint(pair.destination_id),
        _bigint(pair.subscription_id),
        _bigint(pair.profile_id),
        _bigint(pair.transition_id),
        pair.kind.encode(),
        b"\x01" + payload,  # jsonb: version 1, then text
        state.encode(),
        b"\0\0",
        moment if decision.allowed else None,
        b"" if decision.allowed else decision.reason.encode(),
        moment,
        None if decision.allowed else moment,
        None if decision.record_id is None else _bigint(decision.record_id),
    )
    return len(fields).to_bytes(2, "big") + b"".join(map(_field, fields))


def _field(content: bytes | None) -> bytes:
    return NULL if content is None else len(content).to_bytes(4, "big") + content


def _bigint(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)
