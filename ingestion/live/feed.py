"""The newest messages of every source with what became of them, in Redis: a window to look through, and no record.

The drain adds a few of each chunk after it has committed, in one round trip; it never waits for a Redis that is down.
Of people who do not consent only the event's name and time are kept.
"""

import functools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import redis
import structlog
from django.db import transaction

from cdp.kernel.wake import client
from ingestion.contracts import Change, Incoming, Rejected
from ingestion.people import people_in

KEPT = 200
PER_CHUNK = 50
BUSY = 1_000
PER_BUSY_CHUNK = 15
"""Of a source with more than `BUSY` messages in a chunk, which fills the window several times a second."""
PER_SECOND = 100
"""Of a source that sends all the time in small chunks: faster than anybody reads. Twice the window goes at once."""
PROBLEMS_PER_CHUNK = 30
LOOKED_AT = 2_000
MAX_PAYLOAD = 32 * 1024
EXPIRES = 24 * 3_600
RATE_SECONDS = 10
RESTS_FOR = 5.0  # seconds without Redis after it failed

STORED, DUPLICATE, NO_CONSENT, QUARANTINED = "stored", "duplicate", "no_consent", "quarantined"
OUTCOMES = (STORED, DUPLICATE, NO_CONSENT, QUARANTINED)

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode
log = structlog.get_logger(__name__)

Owned = tuple[Incoming, int]
Item = TypeVar("Item", Incoming, Rejected)


class Entry(msgspec.Struct, omit_defaults=True):
    """One message: what came, what was done to it, where it went. `id` is its place in the feed.

    `people` are `(kind, value)` pairs; `code`, `path` and `message` say why it was quarantined.
    """

    outcome: str
    type: str
    event: str
    received_at: datetime
    at: datetime | None = None
    message_id: str = ""
    people: list[tuple[str, str]] = []
    payload: str = ""
    changes: list[Change] = []
    profile_id: int = 0
    code: str = ""
    path: str = ""
    message: str = ""
    id: str = ""


_decode = msgspec.json.Decoder(Entry).decode


def show_after_commit(
    *,
    stored: Sequence[Owned],
    duplicates: Sequence[Incoming],
    refused: Sequence[Incoming],
    rejected: Sequence[Rejected],
) -> None:
    """Put the newest few of a chunk on show, once it is true that they were taken in."""
    numbers: Counter[int] = Counter([event.source_id for event, _ in stored])
    for items in (duplicates, refused, rejected):
        numbers.update(item.source_id for item in items)
    if numbers:
        chosen = _choose(stored, duplicates, refused, rejected, numbers)
        transaction.on_commit(functools.partial(_publish, chosen, numbers), robust=True)


def entries(*, source_id: int, after: str = "", limit: int = KEPT) -> list[Entry]:
    """What came after the entry of this id, the oldest first; without one, the newest.

    Raises:
        redis.RedisError: Redis is down.
    """
    name = _key(source_id)
    if after:
        found: Any = client().xrange(name, min=f"({after}", count=limit)
    else:
        newest: Any = client().xrevrange(name, count=limit)
        found = reversed(newest)
    return [_entry(id_, fields) for id_, fields in found]


def rate(*, source_id: int, now: float | None = None) -> float:
    """Messages per second over the last ten seconds, the one that runs left out."""
    second = int(now if now is not None else time.time())
    found: Any = client().mget([_rate_key(source_id, second - back) for back in range(1, RATE_SECONDS + 1)])
    return sum(int(value) for value in found if value) / RATE_SECONDS


def forget(*, source_id: int) -> None:
    client().delete(_key(source_id))


def _entry(id_: bytes, fields: Mapping[bytes, bytes]) -> Entry:
    entry = _decode(fields[b"e"])
    entry.id = id_.decode()
    return entry


# --- Into Redis ---------------------------------------------------------------------------------------------------

_rests_until = 0.0


def _publish(chosen: Sequence[tuple[int, Entry]], numbers: Mapping[int, int]) -> None:
    global _rests_until  # noqa: PLW0603 - one circuit breaker for the process
    if time.monotonic() < _rests_until:
        return
    second = int(time.time())
    pipe = client().pipeline(transaction=False)
    for source_id, entry in chosen:
        pipe.xadd(_key(source_id), {"e": _encode(entry)}, maxlen=KEPT, approximate=True)
    for source_id, number in numbers.items():
        pipe.expire(_key(source_id), EXPIRES)
        pipe.incrby(_rate_key(source_id, second), number)
        pipe.expire(_rate_key(source_id, second), RATE_SECONDS * 3)
    try:
        pipe.execute()
    except redis.RedisError as error:
        _rests_until = time.monotonic() + RESTS_FOR
        log.warning("live_unavailable", error=str(error))


def _key(source_id: int) -> str:
    return f"cdp:live:{source_id}"


def _rate_key(source_id: int, second: int) -> str:
    return f"cdp:live:{source_id}:{second}"


def _choose(
    stored: Sequence[Owned],
    duplicates: Sequence[Incoming],
    refused: Sequence[Incoming],
    rejected: Sequence[Rejected],
    numbers: Mapping[int, int],
) -> list[tuple[int, Entry]]:
    """The newest of each source, what went wrong first, so that it is not lost among what went well."""
    room: Counter[int] = Counter()
    chosen = [(item.source_id, _held(item)) for item in _newest(rejected, room)]
    chosen += [(item.source_id, _unnamed(item)) for item in _newest(refused, room)]
    chosen += [(item.source_id, _told(item, DUPLICATE)) for item in _newest(duplicates, room)]
    taken = Counter(source_id for source_id, _ in chosen)
    most = {
        source_id: _room(source_id, min(number, PER_CHUNK if number <= BUSY else PER_BUSY_CHUNK))
        for source_id, number in numbers.items()
    }
    for event, profile_id in reversed(stored[-LOOKED_AT:]):
        if taken[event.source_id] < most[event.source_id]:
            taken[event.source_id] += 1
            chosen.append((event.source_id, _told(event, STORED, profile_id=profile_id)))
    chosen.reverse()
    return chosen


# source -> how many more it may show, and when that was so, by the clock of this process
_left: dict[int, tuple[float, float]] = {}


def _room(source_id: int, most: int) -> int:
    """How many that went well a chunk may show, which count against those that follow."""
    now = time.monotonic()
    left, at = _left.get(source_id, (0.0, float("-inf")))
    left = min(left + (now - at) * PER_SECOND, 2.0 * KEPT)
    room = min(most, int(left))
    _left[source_id] = left - room, now
    return room


def _newest(items: Sequence[Item], room: Counter[int]) -> Iterator[Item]:
    for item in reversed(items[-LOOKED_AT:]):
        if room[item.source_id] < PROBLEMS_PER_CHUNK:
            room[item.source_id] += 1
            yield item


def _held(item: Rejected) -> Entry:
    return Entry(
        outcome=QUARANTINED,
        type="",
        event=item.event,
        received_at=item.received_at,
        message_id=item.message_id,
        people=list(people_in(item.payload)),
        payload=_text(item.payload),
        changes=list(item.changes),
        code=item.code,
        path=item.path,
        message=item.message,
    )


def _unnamed(event: Incoming) -> Entry:
    return Entry(outcome=NO_CONSENT, type=event.type, event=event.name, received_at=_moment(event.received))


def _told(event: Incoming, outcome: str, *, profile_id: int = 0) -> Entry:
    return Entry(
        outcome=outcome,
        type=event.type,
        event=event.name,
        received_at=_moment(event.received),
        at=_moment(event.ts),
        message_id=event.message_id,
        people=list(event.identifiers),
        payload=_text(event.payload),
        changes=list(event.changes),
        profile_id=profile_id,
    )


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _text(payload: bytes) -> str:
    return payload[:MAX_PAYLOAD].decode("utf-8", "replace")
