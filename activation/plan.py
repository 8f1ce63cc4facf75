"""From transitions to deliveries: one row per subscription that listens, allowed or held back by consent."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from activation.models import Delivery, Destination, Subscription
from activation.people import decide_all
from cdp.kernel.copy import NULL, copy_rows, timestamp_micros
from cdp.kernel.ids import message_uuid_bytes
from cdp.kernel.prepared import Prepared, array
from consent.contracts import Decision
from identity.contracts import ProfileView
from identity.queries import get_profiles
from segments.contracts import TransitionSpan
from segments.models import Transition

CHUNK = 2_000

_TYPES = {"entered": "segment.entered", "left": "segment.left"}

# Plain statements, each answered by one index: joined, a planner that does not yet know what this very transaction
# wrote may choose a way that takes a thousand times as long.
_TRANSITIONS = """
    SELECT id, profile_id, segment_id, kind, at, cause, version FROM transition
    WHERE segment_id = ANY(%s) AND id > %s ORDER BY id LIMIT %s
"""
_PLANNED = """
    SELECT subscription_id, transition_id FROM activation_delivery
    WHERE subscription_id = ANY(%s) AND transition_id BETWEEN %s AND %s
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
class _Transition:
    id: int
    profile_id: int
    segment_id: int
    kind: str
    at: datetime
    cause: str
    version: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """A transition, and a subscription that listens to it."""

    transition: _Transition
    subscription: Subscription


def plan(span: TransitionSpan, *, now: datetime) -> int:
    """Deliveries for the transitions that this transaction wrote; the number of rows, those held back included.

    A destination that is paused keeps what it is owed until it goes on; one that is disabled is owed nothing.
    """
    if not span.entered and not span.left:
        return 0
    listening = _listening(span.segment_ids)
    if not listening:
        return 0
    again = _was_planned(span, listening)
    return sum(_plan_chunk(chunk, listening, again=again, now=now) for chunk in _chunks(span, sorted(listening)))


_HEARD = Prepared(
    "subscriptions_listening",
    ["bigint[]"],
    "SELECT id FROM activation_subscription WHERE segment_id = ANY ($1) AND enabled",
)


def _listening(segment_ids: Sequence[int]) -> dict[int, list[Subscription]]:
    """The subscriptions to tell, by segment id."""
    heard = [row[0] for row in _HEARD.rows(array(segment_ids))]  # most have none, and it is asked each time
    if not heard:
        return {}
    wanted = Subscription.objects.filter(pk__in=heard).select_related("segment")
    found: dict[int, list[Subscription]] = {}
    for subscription in wanted.exclude(destination__state=Destination.State.DISABLED).order_by("id"):
        found.setdefault(subscription.segment_id, []).append(subscription)
    return found


def _was_planned(span: TransitionSpan, listening: Mapping[int, list[Subscription]]) -> bool:
    """Whether this span, or a part of it, has deliveries already. Asked once: a first plan then looks for none."""
    subscriptions = [subscription for each in listening.values() for subscription in each]
    return Delivery.objects.filter(subscription__in=subscriptions, transition_id__gt=span.after_id).exists()


def _chunks(span: TransitionSpan, segment_ids: list[int]) -> Iterator[list[_Transition]]:
    """The span piece by piece, so that memory holds one piece, however many transitions there are."""
    after = span.after_id
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_TRANSITIONS, [segment_ids, after, CHUNK])
            chunk = [_Transition(*row) for row in cursor.fetchall()]
        if not chunk:
            return
        yield chunk
        after = chunk[-1].id


def _plan_chunk(
    chunk: list[_Transition], listening: Mapping[int, list[Subscription]], *, again: bool, now: datetime
) -> int:
    """Pairs that have a delivery already are left out, so planning a span again adds nothing."""
    pairs = [
        _Pair(transition, subscription)
        for transition in chunk
        for subscription in listening[transition.segment_id]
        if (subscription.on_enter if transition.kind == Transition.Kind.ENTERED else subscription.on_exit)
    ]
    planned = _planned(pairs) if again else set()
    fresh = [pair for pair in pairs if (pair.subscription.pk, pair.transition.id) not in planned]
    _write(fresh, now=now)
    return len(fresh)


def _planned(pairs: Sequence[_Pair]) -> set[tuple[int, int]]:
    if not pairs:
        return set()
    subscriptions = sorted({pair.subscription.pk for pair in pairs})
    with connection.cursor() as cursor:
        cursor.execute(_PLANNED, [subscriptions, pairs[0].transition.id, pairs[-1].transition.id])
        return set(cursor.fetchall())


def _write(pairs: Sequence[_Pair], *, now: datetime) -> None:
    if not pairs:
        return
    profiles = get_profiles(ids={pair.transition.profile_id for pair in pairs})
    asked = {place: (pair.transition.profile_id, pair.subscription.purpose_id) for place, pair in enumerate(pairs)}
    decisions = decide_all(asked, now=now)
    rows = bytearray()
    for place, pair in enumerate(pairs):
        rows += _row(pair, profile=profiles.get(pair.transition.profile_id), decision=decisions[place], now=now)
    copy_rows(table="activation_delivery", columns=_COLUMNS, rows=rows)


def _payload(pair: _Pair, profile: ProfileView | None) -> dict[str, Any]:
    """The body of the message: docs/reference/webhooks.md shows it to receivers."""
    transition, segment = pair.transition, pair.subscription.segment
    at = transition.at.isoformat()
    return {
        "type": _TYPES[transition.kind],
        "timestamp": at,
        "data": {
            "segment": {"slug": segment.slug, "name": segment.name, "version": transition.version},
            "profile": {
                "id": transition.profile_id,
                "identifiers": profile.identifiers if profile else {},
                "traits": profile.traits if profile else {},
            },
            "transition": {"id": transition.id, "at": at, "cause": transition.cause},
        },
    }


def message_id(*, subscription_id: int, transition_id: int) -> uuid.UUID:
    """The same for the same news to the same subscriber, whoever computes it."""
    return uuid.UUID(bytes=message_uuid_bytes(source_id=subscription_id, message_id=f"transition:{transition_id}"))


def _row(pair: _Pair, *, profile: ProfileView | None, decision: Decision, now: datetime) -> bytes:
    """One row as binary COPY takes it, in the order of `_COLUMNS`."""
    transition, subscription = pair.transition, pair.subscription
    state = Delivery.State.PENDING if decision.allowed else Delivery.State.SUPPRESSED
    moment = timestamp_micros(now).to_bytes(8, "big", signed=True)
    payload = json.dumps(_payload(pair, profile), ensure_ascii=False, separators=(",", ":")).encode()
    fields = (
        message_id(subscription_id=subscription.pk, transition_id=transition.id).bytes,
        _bigint(subscription.destination_id),
        _bigint(subscription.pk),
        _bigint(transition.profile_id),
        _bigint(transition.id),
        transition.kind.encode(),
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
