"""When an event happened."""

import functools
from datetime import UTC, datetime, timedelta

from cdp.kernel.copy import timestamp_micros
from ingestion.errors import BadMessageError
from ingestion.messages.wire import Frame, Message

OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCKS_AGREE = timedelta(minutes=1)
MINUTE = 60_000_000
FUTURE = 5 * 366 * 24 * 60 * MINUTE  # how far ahead an event may lie where its source allows that


def event_time(message: Message, frame: Frame) -> int:
    """When it happened, corrected by the sender's clock where that is off by more than a minute."""
    # Nearly every message: a clock that agrees with ours, and a time of this century up to now.
    if frame.clocks_agree and message.timestamp and not message.sentAt:
        try:
            since = datetime.fromisoformat(message.timestamp) - OLDEST
        except (ValueError, TypeError):  # no time at all, or one that names no zone
            return _careful_time(message, frame)
        moment = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        if 0 <= moment <= frame.received + MINUTE:
            return moment
    return _careful_time(message, frame)


def clocks_agree(sent_at: str | None, received_at: datetime) -> bool:
    """Whether a batch says nothing else of its sender's clock; of one that cannot be read, each message is told."""
    try:
        return sent_at is None or _skew(sent_at, received_at) is None
    except BadMessageError:
        return False


def _careful_time(message: Message, frame: Frame) -> int:
    stated_text = message.timestamp or message.originalTimestamp
    if not stated_text:
        return frame.received
    path = "/timestamp" if message.timestamp else "/originalTimestamp"
    stated = _parse_time(stated_text, path)
    sent_text = message.sentAt or frame.sent_at
    skew = None if sent_text is None else _skew(sent_text, frame.row.received_at)
    if skew is not None:
        original = message.originalTimestamp
        began = _parse_time(original, "/originalTimestamp") if original else stated
        stated = _shift(began, skew)
    if stated < OLDEST:
        raise BadMessageError("The event's time is before the year 2000.", code="timestamp_out_of_range", path=path)
    if not frame.allow_future:
        return min(timestamp_micros(stated), frame.received + MINUTE)
    moment = timestamp_micros(stated)
    if moment > frame.received + FUTURE:
        raise BadMessageError(
            "The event's time is more than five years ahead.", code="timestamp_out_of_range", path=path
        )
    return moment


def _shift(moment: datetime, delta: timedelta) -> datetime:
    try:
        return moment + delta
    except OverflowError:
        raise BadMessageError(
            "sentAt and the event's time are too far apart.", code="timestamp_out_of_range", path="/sentAt"
        ) from None


@functools.lru_cache(maxsize=256)
def _skew(sent_at: str, received_at: datetime) -> timedelta | None:
    """How far the sender's clock is behind ours, None where both agree; a batch has it in common."""
    skew = received_at - _parse_time(sent_at, "/sentAt")
    return skew if abs(skew) > CLOCKS_AGREE else None


def _parse_time(text: str, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadMessageError(f"{text[:40]!r} is not an ISO 8601 time.", code="timestamp_invalid", path=path) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
