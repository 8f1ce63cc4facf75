"""The rows that a delivery run claims and writes back: short statements, never open while something is sent.

A claim is a lease: whoever holds it writes the outcome only while it is still theirs, and a worker that dies
loses it by the clock. Rows that several statements may touch are locked in the order of their ids.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from activation.models import Delivery, Destination

LEASE = timedelta(seconds=60)

_CLAIM = """
    WITH room AS (
        SELECT * FROM unnest(%(destinations)s::bigint[], %(places)s::int[]) AS room(destination_id, places)
    ), picked AS (
        SELECT due.id FROM room CROSS JOIN LATERAL (
            SELECT id FROM activation_delivery
            WHERE destination_id = room.destination_id AND state = 'pending' AND next_attempt_at <= %(now)s
                AND (leased_until IS NULL OR leased_until <= %(now)s)
            ORDER BY next_attempt_at LIMIT room.places FOR UPDATE SKIP LOCKED
        ) AS due
    ), claimed AS (
        UPDATE activation_delivery AS delivery SET leased_until = %(lease)s FROM picked WHERE delivery.id = picked.id
        RETURNING delivery.id, delivery.message_id, delivery.destination_id, delivery.subscription_id,
            delivery.profile_id, delivery.event, delivery.payload::text AS payload, delivery.attempts
    )
    SELECT claimed.*, subscription.purpose_id
    FROM claimed LEFT JOIN activation_subscription AS subscription ON subscription.id = claimed.subscription_id
    ORDER BY claimed.id
"""
_RELEASE = """
    UPDATE activation_delivery SET leased_until = NULL WHERE leased_until = %s AND id IN (
        SELECT id FROM activation_delivery WHERE id = ANY(%s) ORDER BY id FOR UPDATE
    )
"""
_HOLD_BACK = """
    WITH refused AS (
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS refused(id, reason, record_id)
    ), locked AS (
        SELECT id FROM activation_delivery WHERE id IN (SELECT id FROM refused) ORDER BY id FOR UPDATE
    )
    UPDATE activation_delivery AS delivery
    SET state = 'suppressed', last_error = refused.reason, consent_record_id = refused.record_id,
        finished_at = %s, next_attempt_at = NULL, leased_until = NULL
    FROM refused JOIN locked ON locked.id = refused.id
    WHERE delivery.id = refused.id AND delivery.leased_until = %s
"""
_WRITE = """
    WITH tried AS (
        SELECT * FROM unnest(
            %(ids)s::bigint[], %(leases)s::timestamptz[], %(states)s::text[], %(next)s::timestamptz[],
            %(statuses)s::smallint[], %(errors)s::text[], %(responses)s::text[], %(at)s::timestamptz[],
            %(durations)s::int[], %(finished)s::timestamptz[], %(records)s::bigint[]
        ) AS tried(id, lease, state, next_attempt_at, status, error, response, at, duration_ms, finished_at, record_id)
    ), locked AS (
        SELECT id FROM activation_delivery WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE
    ), noted AS (
        INSERT INTO activation_attempt (delivery_id, at, duration_ms, status, error, response)
        SELECT tried.id, tried.at, tried.duration_ms, tried.status, tried.error, tried.response
        FROM tried JOIN locked ON locked.id = tried.id ORDER BY tried.id
    )
    UPDATE activation_delivery AS delivery
    SET state = tried.state, attempts = delivery.attempts + 1, next_attempt_at = tried.next_attempt_at,
        leased_until = NULL, last_status = tried.status, last_error = tried.error,
        finished_at = tried.finished_at, consent_record_id = coalesce(tried.record_id, delivery.consent_record_id)
    FROM tried JOIN locked ON locked.id = tried.id
    WHERE delivery.id = tried.id AND delivery.leased_until = tried.lease
"""
_GIVE_UP = """
    UPDATE activation_delivery
    SET state = 'dead', last_error = %(reason)s, finished_at = %(now)s, next_attempt_at = NULL, leased_until = NULL
    WHERE id IN (
        SELECT id FROM activation_delivery
        WHERE destination_id = %(destination)s AND state = 'pending' AND created_at < %(before)s
            AND (leased_until IS NULL OR leased_until <= %(now)s)
        ORDER BY id FOR UPDATE SKIP LOCKED
    )
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours to send until `lease`."""

    id: int
    message_id: UUID
    destination_id: int
    subscription_id: int | None
    profile_id: int
    event: str
    body: bytes
    tries: int
    purpose_id: int | None
    lease: datetime


@dataclass(frozen=True, slots=True)
class Try:
    """What one try came to, as it is written down."""

    claim: Claim
    at: datetime
    duration_ms: int
    state: Delivery.State
    status: int | None
    error: str
    response: str
    next_attempt_at: datetime | None
    finished_at: datetime | None
    record_id: int | None


def ready_destinations(*, now: datetime) -> list[Destination]:
    """Those that may be sent to now."""
    active = Destination.objects.filter(state=Destination.State.ACTIVE)
    return list(active.exclude(held_until__gt=now).order_by("id"))


def claim_due(*, places: Mapping[int, int], now: datetime) -> list[Claim]:
    """Lease what is due, up to so many places per destination id, the longest waiting first."""
    room = {destination_id: free for destination_id, free in sorted(places.items()) if free > 0}
    if not room:
        return []
    lease = now + LEASE
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"destinations": list(room), "places": list(room.values()), "now": now, "lease": lease})
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [_claim(row, lease) for row in rows]


def release(claims: Collection[Claim]) -> None:
    """Hand back what was claimed and not sent."""
    for lease, ids in _by_lease(claims).items():
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, [lease, ids])


def hold_back(refused: Sequence[tuple[Claim, str, int | None]], *, now: datetime) -> None:
    """Close claimed deliveries that consent refuses, each with the reason and the record that says so."""
    by_lease: dict[datetime, list[tuple[Claim, str, int | None]]] = {}
    for entry in refused:
        by_lease.setdefault(entry[0].lease, []).append(entry)
    for lease, entries in by_lease.items():
        ids, reasons, records = zip(*((claim.id, reason, record) for claim, reason, record in entries), strict=True)
        with connection.cursor() as cursor:
            cursor.execute(_HOLD_BACK, [list(ids), list(reasons), list(records), now, lease])


def write_tries(tries: Sequence[Try]) -> None:
    """Record every try, and move each delivery on where its lease is still ours."""
    if not tries:
        return
    values: dict[str, Any] = {
        "ids": [each.claim.id for each in tries],
        "leases": [each.claim.lease for each in tries],
        "states": [each.state.value for each in tries],
        "next": [each.next_attempt_at for each in tries],
        "statuses": [each.status for each in tries],
        "errors": [each.error[:500] for each in tries],
        "responses": [each.response[:1_000] for each in tries],
        "at": [each.at for each in tries],
        "durations": [each.duration_ms for each in tries],
        "finished": [each.finished_at for each in tries],
        "records": [each.record_id for each in tries],
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WRITE, values)


def give_up_waiting(*, destination_id: int, before: datetime, reason: str, now: datetime) -> int:
    """Close what has waited since `before` for a destination that does not come back."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_UP, {"destination": destination_id, "before": before, "reason": reason, "now": now})
        return int(cursor.rowcount)


def _claim(row: Mapping[str, Any], lease: datetime) -> Claim:
    return Claim(
        id=row["id"],
        message_id=row["message_id"],
        destination_id=row["destination_id"],
        subscription_id=row["subscription_id"],
        profile_id=row["profile_id"],
        event=row["event"],
        body=row["payload"].encode(),
        tries=row["attempts"],
        purpose_id=row["purpose_id"],
        lease=lease,
    )


def _by_lease(claims: Collection[Claim]) -> dict[datetime, list[int]]:
    found: dict[datetime, list[int]] = {}
    for claim in claims:
        found.setdefault(claim.lease, []).append(claim.id)
    return found
