"""Sending what is owed about alerts. A dead mail server loses nothing: a message is a row until it is sent.

A delivery is claimed by a lease, sent outside of any transaction, and written back while the lease is ours.
"""

import random
import smtplib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection

from activation.destinations.base import Message, Target
from activation.destinations.webhook.destination import WebhookDestination
from activation.errors import DestinationError, SecretsUnreadableError
from activation.retry import RetrySchedule
from activation.signing import unseal
from ingestion.quality.models import AlertChannel, AlertDelivery
from ingestion.quality.watch import KINDS, alert_body

SCHEDULE = RetrySchedule()
LEASE = timedelta(minutes=2)
BATCH = 5
"""So few that their timeouts together are shorter than the lease."""

log = structlog.get_logger(__name__)
_webhook = WebhookDestination()

_CLAIM = """
    UPDATE alert_delivery SET leased_until = %(lease)s WHERE id IN (
        SELECT id FROM alert_delivery
        WHERE state = 'pending' AND next_attempt_at <= %(now)s AND (leased_until IS NULL OR leased_until <= %(now)s)
        ORDER BY next_attempt_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a message did not go out; `permanent` says that another try cannot help."""

    message: str
    permanent: bool = False
    retry_after: timedelta | None = None


def deliver_alerts(*, now: datetime, limit: int = BATCH) -> int:
    """Send what is due; returns how many messages were tried."""
    lease = now + LEASE
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "lease": lease, "limit": limit})
        ids = [id_ for (id_,) in cursor.fetchall()]
    owed = AlertDelivery.objects.filter(pk__in=ids).select_related("alert__source", "channel").order_by("id")
    for delivery in owed:
        _write(delivery, _send(delivery, now=now), lease=lease, now=now)
    return len(ids)


def _send(delivery: AlertDelivery, *, now: datetime) -> Problem | None:
    alert = delivery.alert
    url = f"{settings.PUBLIC_URL}/alerts/{alert.pk}/"
    over = delivery.event == AlertDelivery.Event.RESOLVED
    label = KINDS[alert.kind].label if alert.kind in KINDS else alert.kind
    subject = f"{'Resolved' if over else label}: {alert.source.name}"
    opening = f"This is over since {alert.resolved_at:%d %b %H:%M} UTC:\n\n" if over and alert.resolved_at else ""
    text = (
        f"{opening}{alert.message}\n\nSource: {alert.source.name}\nSince: {alert.opened_at:%d %b %H:%M} UTC\n{url}\n"
    )
    body = alert_body(alert, event=delivery.event, url=url) | {"timestamp": delivery.created_at.isoformat()}
    return send_message(
        channel=delivery.channel,
        message_id=str(delivery.message_id),
        subject=subject,
        text=text,
        body=body,
        now=now,
    )


def send_message(
    *, channel: AlertChannel, message_id: str, subject: str, text: str, body: dict[str, Any], now: datetime
) -> Problem | None:
    """Send once, by the channel's kind; touches no database. What went wrong, or None."""
    if channel.kind == AlertChannel.Kind.EMAIL:
        return _send_mail(channel, message_id=message_id, subject=subject, text=text)
    return _send_webhook(channel, Message(id=message_id, body=msgspec.json.encode(body)), now=now)


def _send_mail(channel: AlertChannel, *, message_id: str, subject: str, text: str) -> Problem | None:
    if not settings.EMAIL_HOST:
        return Problem("No mail server is set: whoever runs this deployment names one in CDP_EMAIL_URL.")
    host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip("> ") or "localhost"
    mail = EmailMessage(
        subject=f"[{settings.ORGANISATION}] {subject}".replace("\n", " "),
        body=text,
        to=list(channel.recipients),
        headers={"Message-ID": f"<{message_id}@{host}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        mail.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return Problem(f"{type(error).__name__}: {error}")
    return None


def _send_webhook(channel: AlertChannel, message: Message, *, now: datetime) -> Problem | None:
    try:
        secrets = tuple(secret.text for secret in unseal(channel.secrets) if secret.signs(now))
        _webhook.send(message, to=Target(id=channel.pk, config={"url": channel.url}, secrets=secrets), now=now)
    except SecretsUnreadableError as error:
        return Problem(error.message)
    except DestinationError as error:
        return Problem(error.message, permanent=error.permanent, retry_after=error.retry_after)
    return None


def _write(delivery: AlertDelivery, problem: Problem | None, *, lease: datetime, now: datetime) -> None:
    tries = delivery.attempts + 1
    wait = None
    if problem is not None and not problem.permanent:
        chance = random.random()  # noqa: S311 - spreads retries, keeps no secret
        wait = SCHEDULE.next_delay(tries=tries, chance=chance, retry_after=problem.retry_after)
    state = AlertDelivery.State.DELIVERED if problem is None else AlertDelivery.State.DEAD
    if wait is not None:
        state = AlertDelivery.State.PENDING
    if problem is not None:
        log.warning("alert_not_sent", channel=delivery.channel_id, tries=tries, problem=problem.message)
    AlertDelivery.objects.filter(pk=delivery.pk, leased_until=lease).update(
        state=state,
        attempts=tries,
        next_attempt_at=now + (wait or timedelta()),
        leased_until=None,
        last_error=(problem.message if problem else "").replace("\0", "\ufffd")[:500],
        finished_at=None if wait is not None else now,
    )
