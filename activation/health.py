"""How a destination is doing: consecutive failures, when to ask it again, and when to stop asking."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

import structlog

from activation.errors import DestinationError
from activation.models import Destination
from activation.queue import give_up_waiting
from activation.retry import Breaker

OVERLOADED = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)

log = structlog.get_logger(__name__)


class Sent(Protocol):
    """The part of an outcome that says how the destination is."""

    @property
    def at(self) -> datetime: ...
    @property
    def error(self) -> DestinationError | None: ...


def note_health(
    destination: Destination, sent: Sequence[Sent], *, breaker: Breaker, horizon: timedelta, now: datetime
) -> None:
    """Write down what these sends, in the order they came back, say about their destination; if anything changed."""
    gone = next((each.error for each in sent if each.error and each.error.status == HTTPStatus.GONE), None)
    if gone is not None:
        _disable(destination, reason=gone.message)
        return
    recent = _since_last_success(sent)
    if not recent:
        _mark_well(destination, now=now)
        return
    failures = len(recent) if len(recent) < len(sent) else destination.failures + len(recent)
    since = destination.failing_since if len(recent) == len(sent) else None
    failing_since = since or min(each.at for each in recent)
    _mark_failing(destination, failures, failing_since, _hold(recent, failures, now - failing_since, breaker), now=now)
    if now - failing_since > horizon:
        reason = "The destination did not answer well for a day."
        give_up_waiting(destination_id=destination.pk, before=now - horizon, reason=reason, now=now)


def _since_last_success(sent: Sequence[Sent]) -> list[Sent]:
    last = max((place for place, each in enumerate(sent) if each.error is None), default=-1)
    return list(sent[last + 1 :])


def _hold(recent: Sequence[Sent], failures: int, failing_for: timedelta, breaker: Breaker) -> timedelta | None:
    overloaded = [each.error for each in recent if each.error and each.error.status in OVERLOADED]
    asked = [error.retry_after for error in overloaded if error.retry_after is not None]
    return breaker.hold(
        failures=failures,
        failing_for=failing_for,
        slow_down=bool(overloaded),
        retry_after=max(asked, default=None),
    )


def _mark_well(destination: Destination, *, now: datetime) -> None:
    """A success that was under way while the receiver asked for a pause does not end the pause."""
    if destination.failures or destination.held_until:
        _update(destination, failures=0, failing_since=None, held_until=_standing_hold(destination, now))


def _mark_failing(
    destination: Destination, failures: int, since: datetime, hold: timedelta | None, *, now: datetime
) -> None:
    ends = [end for end in (_standing_hold(destination, now), now + hold if hold else None) if end]
    _update(destination, failures=failures, failing_since=since, held_until=max(ends, default=None))
    if hold:
        log.warning("destination_held", destination=destination.slug, failures=failures, seconds=hold.total_seconds())


def _standing_hold(destination: Destination, now: datetime) -> datetime | None:
    return destination.held_until if destination.held_until and destination.held_until > now else None


def _disable(destination: Destination, *, reason: str) -> None:
    _update(destination, state=Destination.State.DISABLED, state_reason=reason[:300])
    log.warning("destination_disabled", destination=destination.slug, reason=reason)


def _update(destination: Destination, **values: object) -> None:
    Destination.objects.filter(pk=destination.pk).update(**values)
    for name, value in values.items():
        setattr(destination, name, value)
