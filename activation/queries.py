"""What is known of destinations and deliveries."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, QuerySet

from activation.contracts import AttemptRow, DeliveryDetail, DeliveryRow, DestinationOverview, HourlyDeliveries
from activation.deliver import UNSUBSCRIBED
from activation.destinations import get_kind
from activation.models import Delivery, Destination

WINDOW = timedelta(hours=24)

# Why a delivery was held back, in words.
HELD_BACK: Mapping[str, str] = {
    "denied": "This person said no to the purpose.",
    "withdrawn": "This person withdrew consent to the purpose.",
    "expired": "This person's consent to the purpose has lapsed.",
    "no_choice": "This person has not agreed to the purpose.",
    "unknown_person": "Nothing identifies this person, so nobody can say what they agreed to.",
    "unknown_purpose": "The purpose does not exist any more.",
    UNSUBSCRIBED: "The subscription was removed.",
}

_COUNTS = """
    SELECT destination_id,
        count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE state = 'dead'),
        count(*) FILTER (WHERE state = 'suppressed')
    FROM activation_delivery WHERE created_at > %s GROUP BY destination_id
"""
_WAITING = "SELECT destination_id, count(*) FROM activation_delivery WHERE state = 'pending' GROUP BY destination_id"
_TRIES = """
    SELECT delivery.destination_id, count(*), count(*) FILTER (WHERE attempt.error = ''),
        max(attempt.at) FILTER (WHERE attempt.error = '')
    FROM activation_attempt AS attempt JOIN activation_delivery AS delivery ON delivery.id = attempt.delivery_id
    WHERE attempt.at > %s GROUP BY delivery.destination_id
"""
_LAST = """
    SELECT destination.id, last.finished_at
    FROM activation_destination AS destination CROSS JOIN LATERAL (
        SELECT finished_at FROM activation_delivery
        WHERE destination_id = destination.id AND state = 'delivered' ORDER BY id DESC LIMIT 1
    ) AS last
"""
_HOURLY = """
    SELECT date_trunc('hour', attempt.at, 'UTC') AS hour, count(*) FILTER (WHERE attempt.error = ''),
        count(*) FILTER (WHERE attempt.error <> '')
    FROM activation_attempt AS attempt JOIN activation_delivery AS delivery ON delivery.id = attempt.delivery_id
    WHERE attempt.at > %(since)s
        AND (%(destination)s::bigint IS NULL OR delivery.destination_id = %(destination)s)
    GROUP BY 1 ORDER BY 1
"""


def destinations_overview(*, now: datetime) -> list[DestinationOverview]:
    """Every destination with what became of its deliveries of the last 24 hours (waiting ones: of any age)."""
    since = now - WINDOW
    counts = _by_destination(_COUNTS, [since])
    waiting = _by_destination(_WAITING, [])
    tries = _by_destination(_TRIES, [since])
    last = _by_destination(_LAST, [])
    return [
        _overview(
            destination,
            counts=counts.get(destination.pk, (0, 0, 0)),
            waiting=waiting.get(destination.pk, (0,))[0],
            tries=tries.get(destination.pk, (0, 0, None)),
            last=last.get(destination.pk, (None,))[0],
        )
        for destination in Destination.objects.annotate(listening=Count("subscriptions"))
    ]


def destination_overview(*, slug: str, now: datetime) -> DestinationOverview | None:
    return next((each for each in destinations_overview(now=now) if each.slug == slug), None)


def deliveries(
    *,
    state: str | None = None,
    destination: str | None = None,
    segment: str | None = None,
    profile_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[DeliveryRow]:
    """Deliveries, newest first; `destination` and `segment` are slugs, `before` the id that the last page ended on."""
    wanted = {
        "state": state,
        "destination__slug": destination,
        "subscription__segment__slug": segment,
        "profile_id": profile_id,
        "id__lt": before,
    }
    found = _with_names().filter(**{name: value for name, value in wanted.items() if value is not None})
    return [delivery_row(delivery) for delivery in found.order_by("-id")[:limit]]


def delivery(*, delivery_id: int) -> DeliveryDetail | None:
    found = _with_names().filter(pk=delivery_id).prefetch_related("tries").first()
    if found is None:
        return None
    attempts = tuple(
        AttemptRow(each.at, each.duration_ms, each.status, each.error, each.response) for each in found.tries.all()
    )
    return DeliveryDetail(delivery_row(found), found.payload, found.consent_record_id, attempts)


def hourly_deliveries(*, since: datetime, destination_id: int | None = None) -> list[HourlyDeliveries]:
    """Tries per hour; hours without any are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_HOURLY, {"since": since, "destination": destination_id})
        return [HourlyDeliveries(*row) for row in cursor.fetchall()]


def count_by_state(*, since: datetime) -> dict[str, int]:
    """Deliveries planned since then, by state."""
    found = Delivery.objects.filter(created_at__gt=since).values_list("state").annotate(rows=Count("id"))
    return dict(found)


def delivery_row(delivery: Delivery) -> DeliveryRow:
    segment = delivery.payload.get("data", {}).get("segment", {})
    return DeliveryRow(
        id=delivery.pk,
        message_id=str(delivery.message_id),
        destination_id=delivery.destination_id,
        destination_slug=delivery.destination.slug,
        destination_name=delivery.destination.name,
        segment_slug=segment.get("slug", ""),
        segment_name=segment.get("name", ""),
        profile_id=delivery.profile_id,
        event=delivery.event,
        state=delivery.state,
        state_label=delivery.get_state_display(),
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at,
        last_status=delivery.last_status,
        reason=_reason(delivery),
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
    )


def _reason(delivery: Delivery) -> str:
    if delivery.state == Delivery.State.SUPPRESSED:
        return HELD_BACK.get(delivery.last_error, delivery.last_error)
    return delivery.last_error


def _with_names() -> QuerySet[Delivery]:
    return Delivery.objects.select_related("destination")


def _by_destination(statement: str, values: list[Any]) -> dict[int, tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return {row[0]: tuple(row[1:]) for row in cursor.fetchall()}


def _overview(
    destination: Any, *, counts: tuple[Any, ...], waiting: int, tries: tuple[Any, ...], last: datetime | None
) -> DestinationOverview:
    kind = get_kind(destination.kind)
    delivered, dead, suppressed = counts
    made, succeeded, _ = tries
    return DestinationOverview(
        id=destination.pk,
        slug=destination.slug,
        name=destination.name,
        kind=destination.kind,
        kind_label=kind.label,
        icon=kind.icon,
        address=kind.describe(destination.config),
        state=destination.state,
        state_label=destination.get_state_display(),
        state_reason=destination.state_reason,
        failures=destination.failures,
        failing_since=destination.failing_since,
        held_until=destination.held_until,
        created_at=destination.created_at,
        subscriptions=destination.listening,
        waiting=waiting,
        delivered=delivered,
        dead=dead,
        suppressed=suppressed,
        success_rate=succeeded / made if made else None,
        last_delivery_at=last,
    )
