"""Wake a worker at most once per batch of news, through one key in Redis.

The key says "a nudge is under way". It expires by itself, so a nudge that a flushed or restarted
broker swallowed delays the work by a second and never stops it.
"""

import functools

import redis
import structlog
from django.conf import settings

PENDING_MS = 1_000

log = structlog.get_logger(__name__)


@functools.cache
def client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def claim_wake(name: str) -> bool:
    """Whether the caller should send the nudge `name`: true for the first asker until `awake` or expiry."""
    try:
        return bool(client().set(f"cdp:wake:{name}", b"1", nx=True, px=PENDING_MS))
    except redis.RedisError as error:
        log.warning("wake_unavailable", name=name, error=str(error))
        return False


def awake(name: str) -> None:
    """Tell askers that the worker is looking now: what they add from here on needs a new nudge."""
    try:
        client().delete(f"cdp:wake:{name}")
    except redis.RedisError as error:
        log.warning("wake_unavailable", name=name, error=str(error))
