"""What activation does: plan and deliver, and the care of destinations, subscriptions and deliveries. R: F1"""

import json
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction

from activation.contracts import TestResult
from activation.deliver import UNSUBSCRIBED, deliver_due
from activation.destinations import get_kind
from activation.destinations.base import Message, Target
from activation.errors import DestinationError, DuplicateError, InvalidDestinationError, NotReplayableError
from activation.models import Delivery, Destination, Subscription
from activation.plan import plan
from activation.signing import KEEP_OLD_FOR, SigningSecret, new_secret, rotate, seal, unseal
from consent.models import Purpose
from segments.models import Segment

__all__ = [
    "create_destination",
    "delete_destination",
    "deliver_due",
    "disable_destination",
    "enable_destination",
    "pause_destination",
    "plan",
    "replay_dead",
    "replay_delivery",
    "reveal_secrets",
    "rotate_secret",
    "send_test",
    "set_destination_state",
    "subscribe",
    "unsubscribe",
    "update_destination",
    "update_subscription",
]

log = structlog.get_logger(__name__)


def create_destination(
    *, slug: str, name: str, config: Mapping[str, Any], kind: str = "webhook"
) -> tuple[Destination, str]:
    """The destination, and the secret that its receiver verifies with. Raises InvalidDestinationError."""
    settings = get_kind(kind).clean(config)
    secret = new_secret()
    try:
        with transaction.atomic():
            destination = Destination.objects.create(
                slug=slug, name=name, kind=kind, config=settings, secrets=seal([secret])
            )
    except IntegrityError:
        raise DuplicateError(f"There is a destination {slug!r} already.", path="/slug") from None
    return destination, secret.text


def update_destination(
    *, destination: Destination, name: str | None = None, config: Mapping[str, Any] | None = None
) -> Destination:
    """Change name or settings; what waits is sent to the new settings at once."""
    if name is not None:
        destination.name = name
    if config is not None:
        destination.config = get_kind(destination.kind).clean(config)
        _forget_failures(destination)
    destination.save(update_fields=["name", "config", "failures", "failing_since", "held_until"])
    return destination


def delete_destination(*, destination: Destination) -> None:
    """Also its subscriptions and the record of its deliveries."""
    destination.delete()


def enable_destination(*, destination: Destination) -> Destination:
    """Go on sending; what has waited is sent."""
    return set_destination_state(destination=destination, state=Destination.State.ACTIVE)


def pause_destination(*, destination: Destination, reason: str = "") -> Destination:
    """Send nothing for now; what is owed waits."""
    return set_destination_state(destination=destination, state=Destination.State.PAUSED, reason=reason)


def disable_destination(*, destination: Destination, reason: str = "") -> Destination:
    """Send nothing, and plan nothing new either."""
    return set_destination_state(destination=destination, state=Destination.State.DISABLED, reason=reason)


def set_destination_state(*, destination: Destination, state: Destination.State, reason: str = "") -> Destination:
    """Whatever it is set to, its failures are forgotten: it is asked again at once when it is active."""
    destination.state, destination.state_reason = state, reason[:300]
    _forget_failures(destination)
    destination.save(update_fields=["state", "state_reason", "failures", "failing_since", "held_until"])
    return destination


def rotate_secret(*, destination: Destination, now: datetime, keep_old_for: timedelta = KEEP_OLD_FOR) -> str:
    """A new secret, which signs beside the old ones until those lapse."""
    with transaction.atomic():
        locked = Destination.objects.select_for_update().get(pk=destination.pk)
        secrets = rotate(unseal(locked.secrets), now=now, keep_old_for=keep_old_for)
        locked.secrets = destination.secrets = seal(secrets)
        locked.save(update_fields=["secrets"])
    return secrets[0].text


def reveal_secrets(*, destination: Destination, now: datetime, actor: str) -> list[SigningSecret]:
    """The secrets that sign now, newest first. Who looked is written to the log."""
    log.info("signing_secrets_revealed", destination=destination.slug, actor=actor)
    return [secret for secret in unseal(destination.secrets) if secret.signs(now)]


def subscribe(
    *,
    destination: Destination,
    segment: Segment,
    on_enter: bool = True,
    on_exit: bool = False,
    purpose: Purpose | None = None,
) -> Subscription:
    """From now on; who is in the segment already is not sent."""
    _check_subscription(on_enter=on_enter, on_exit=on_exit, purpose=purpose)
    try:
        with transaction.atomic():
            return Subscription.objects.create(
                destination=destination, segment=segment, on_enter=on_enter, on_exit=on_exit, purpose=purpose
            )
    except IntegrityError:
        raise DuplicateError("This destination listens to that segment already.", path="/segment") from None


def update_subscription(
    *,
    subscription: Subscription,
    on_enter: bool,
    on_exit: bool,
    purpose: Purpose | None,
    enabled: bool,
) -> Subscription:
    _check_subscription(on_enter=on_enter, on_exit=on_exit, purpose=purpose)
    subscription.on_enter, subscription.on_exit = on_enter, on_exit
    subscription.purpose, subscription.enabled = purpose, enabled
    subscription.save(update_fields=["on_enter", "on_exit", "purpose", "enabled"])
    return subscription


def unsubscribe(*, subscription: Subscription, now: datetime) -> None:
    """Stop listening; what still waits is not sent."""
    with transaction.atomic():
        waiting = subscription.deliveries.filter(state=Delivery.State.PENDING).order_by("id").select_for_update()
        Delivery.objects.filter(pk__in=[delivery.pk for delivery in waiting.only("pk")]).update(
            state=Delivery.State.SUPPRESSED,
            last_error=UNSUBSCRIBED,
            finished_at=now,
            next_attempt_at=None,
            leased_until=None,
        )
        subscription.delete()


def replay_delivery(*, delivery_id: int, now: datetime) -> Delivery:
    """Send it again from the start of its schedule, as the same message; consent is asked again.

    Raises NotReplayableError where it is being sent right now or nobody listens any more.
    """
    with transaction.atomic():
        delivery = Delivery.objects.select_for_update().get(pk=delivery_id)
        if delivery.subscription_id is None:
            raise NotReplayableError("Its subscription was removed.")
        if delivery.leased_until is not None and delivery.leased_until > now:
            raise NotReplayableError("It is being sent right now.")
        for name, value in _fresh(now).items():
            setattr(delivery, name, value)
        delivery.save(update_fields=list(_fresh(now)))
    return delivery


def replay_dead(*, destination: Destination, now: datetime) -> int:
    """Send again everything that was given up; the number of deliveries."""
    dead = Delivery.objects.filter(destination=destination, state=Delivery.State.DEAD, subscription__isnull=False)
    with transaction.atomic():
        ids = list(dead.order_by("id").select_for_update(of=("self",)).values_list("id", flat=True))
        return Delivery.objects.filter(pk__in=ids).update(**_fresh(now))


def send_test(*, destination: Destination, now: datetime) -> TestResult:
    """Send one signed message of type `test` and wait for the answer, up to the kind's timeout."""
    kind = get_kind(destination.kind)
    secrets = tuple(secret.text for secret in unseal(destination.secrets) if secret.signs(now))
    target = Target(id=destination.pk, config=destination.config, secrets=secrets)
    body = {"type": "test", "timestamp": now.isoformat(), "data": {"destination": destination.slug}}
    message = Message(id=str(uuid.uuid4()), body=json.dumps(body).encode())
    started = time.monotonic()
    try:
        answer = kind.send(message, to=target, now=now)
    except DestinationError as error:
        return _test_result(error.status, error.message, error.response, started=started)
    return _test_result(answer.status, "", answer.text, started=started)


def _test_result(status: int | None, error: str, response: str, *, started: float) -> TestResult:
    took = round((time.monotonic() - started) * 1_000)
    return TestResult(ok=not error, status=status, error=error, response=response[:1_000], duration_ms=took)


def _forget_failures(destination: Destination) -> None:
    destination.failures, destination.failing_since, destination.held_until = 0, None, None


def _check_subscription(*, on_enter: bool, on_exit: bool, purpose: Purpose | None) -> None:
    if not on_enter and not on_exit:
        raise InvalidDestinationError("Choose entries, exits, or both.", path="/on_enter")
    if purpose is not None and purpose.kind != Purpose.Kind.ACTIVATION:
        raise InvalidDestinationError("Choose a purpose of the kind that is asked before sending.", path="/purpose")


def _fresh(now: datetime) -> dict[str, Any]:
    return {
        "state": Delivery.State.PENDING,
        "attempts": 0,
        "next_attempt_at": now,
        "leased_until": None,
        "last_status": None,
        "last_error": "",
        "finished_at": None,
    }
