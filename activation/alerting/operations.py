"""Channels for alerts: make, change, try, remove."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from activation.alerting.deliver import Problem, send_message
from activation.destinations import get_kind
from activation.errors import ActivationError
from activation.signing import new_secret, seal
from ingestion.quality.models import AlertChannel

MAX_RECIPIENTS = 20


class InvalidChannelError(ActivationError):
    """A channel cannot be set in this way."""

    code = "channel_invalid"


def create_channel(
    *, name: str, kind: str, recipients: Sequence[str] = (), url: str = "", user: Any = None, now: datetime
) -> tuple[AlertChannel, str]:
    """The channel, and for a webhook the secret that its receiver verifies with; it is not shown again."""
    kept = _clean(kind=kind, recipients=recipients, url=url)
    secret = new_secret() if kind == AlertChannel.Kind.WEBHOOK else None
    channel = AlertChannel.objects.create(
        name=name, kind=kind, secrets=seal([secret]) if secret else "", created_at=now, created_by=user, **kept
    )
    return channel, secret.text if secret else ""


def set_channel_state(*, channel: AlertChannel, enabled: bool) -> None:
    AlertChannel.objects.filter(pk=channel.pk).update(enabled=enabled)


def delete_channel(*, channel: AlertChannel) -> None:
    channel.delete()


def send_test(*, channel: AlertChannel, now: datetime) -> Problem | None:
    """Send one message right now; what went wrong, or None."""
    subject = "Test of your alert channel"
    body = {"type": "alert.test", "timestamp": now.isoformat(), "data": {"channel": channel.name}}
    text = f"This is a test: alerts of this deployment reach the channel “{channel.name}”."
    return send_message(channel=channel, message_id=str(uuid.uuid4()), subject=subject, text=text, body=body, now=now)


def _clean(*, kind: str, recipients: Sequence[str], url: str) -> dict[str, Any]:
    if kind == AlertChannel.Kind.WEBHOOK:
        return {"url": get_kind("webhook").clean({"url": url})["url"]}
    if kind != AlertChannel.Kind.EMAIL:
        raise InvalidChannelError("Choose e-mail or webhook.", path="/kind")
    if not recipients:
        raise InvalidChannelError("Name at least one recipient.", path="/recipients")
    if len(recipients) > MAX_RECIPIENTS:
        raise InvalidChannelError(f"A channel has up to {MAX_RECIPIENTS} recipients.", path="/recipients")
    for index, address in enumerate(recipients):
        try:
            validate_email(address)
        except ValidationError:
            raise InvalidChannelError(f"{address!r} is not an e-mail address.", path=f"/recipients/{index}") from None
    return {"recipients": list(recipients)}
