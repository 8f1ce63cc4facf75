"""Wake a worker at most once per batch of news, through one key in Redis.

The key says "a nudge is under way". It expires by itself, so a nudge that a flushed or restarted
broker swallowed delays the work by a second and never stops it. A worker that has just worked stays
for a moment and hears of more without the broker.
"""

import threading
from contextlib import suppress
from typing import Any

import redis
import structlog
from django.conf import settings

PENDING_MS = 1_000

log = structlog.get_logger(__name__)


_client: redis.Redis | None = None
_making = threading.Lock()


def client() -> redis.Redis:
    """The one of this process. Of two that threads make at the same time, the one that is let go closes the
    connections of its pool, in use or not.
    """
    global _client  # noqa: PLW0603 - what one process remembers
    if _client is None:
        with _making:
            if _client is None:
                _client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    return _client


_claims: dict[str, Any] = {}


def claim_wake(name: str) -> bool:
    """Whether the caller should send the nudge `name`: true for the first asker until `awake` or expiry.

    Asked for every request that is taken in. So the command is encoded once and sent on a connection of the pool: the
    client's way to it takes nearly twice as long.
    """
    try:
        pool: Any = client().connection_pool
        connection = pool.get_connection()
        try:
            if (claim := _claims.get(name)) is None:
                claim = connection.pack_command("SET", f"cdp:wake:{name}", b"1", "NX", "PX", PENDING_MS)
                _claims[name] = claim
            connection.send_packed_command(claim)
            return connection.read_response() is not None
        finally:
            pool.release(connection)
    except redis.RedisError as error:
        log.warning("wake_unavailable", name=name, error=str(error))
        return False


def awake(name: str) -> None:
    """Tell askers that the worker is looking now: what they add from here on needs a new nudge."""
    try:
        client().delete(f"cdp:wake:{name}")
    except redis.RedisError as error:
        log.warning("wake_unavailable", name=name, error=str(error))


# --- Listening beside the broker ----------------------------------------------------------------------------

LISTENED_SECONDS = 60.0
"""Longer than any turn: after it a listener that has not said that it ends is taken to have been killed."""


class Listener:
    """Stays for news of `name` when there is nothing to do, since a task takes longer through the broker than a small
    piece of work takes; one at a time, so that news wake one worker.
    """

    def __init__(self, name: str) -> None:
        self._key = f"cdp:listening:{name}"
        self._name = name
        self._subscription: Any = None

    def heard(self, *, seconds: float) -> bool:
        """Wait for news. False: none came, or somebody else waits for them already."""
        try:
            return self._subscribed() and self._message(seconds)
        except redis.RedisError as error:
            log.warning("wake_unavailable", name=self._name, error=str(error))
            return False

    def close(self) -> bool:
        """Whether there were news that nobody will hear: whoever had them took this one to be listening."""
        if self._subscription is None:
            return False
        try:
            with self._subscription as subscription:
                subscription.unsubscribe()
                return self._message(1.0)
        except redis.RedisError as error:
            log.warning("wake_unavailable", name=self._name, error=str(error))
            return True
        finally:
            with suppress(redis.RedisError):
                client().delete(self._key)

    def _subscribed(self) -> bool:
        if self._subscription is not None:
            return True
        if not client().set(self._key, b"1", nx=True, px=int(LISTENED_SECONDS * 1_000)):
            return False
        redis_client: Any = client()
        self._subscription = redis_client.pubsub()
        self._subscription.subscribe(_channel(self._name))
        answer = self._subscription.get_message(timeout=1.0)
        return answer is not None and answer["type"] == "subscribe"

    def _message(self, seconds: float) -> bool:
        """Whether a message comes, within that time and before the end of the subscription."""
        message = self._subscription.get_message(timeout=seconds)
        return message is not None and message["type"] == "message"


def tell(name: str) -> bool:
    """Whether somebody listens, who has heard it."""
    try:
        return bool(client().publish(_channel(name), b""))
    except redis.RedisError as error:
        log.warning("wake_unavailable", name=name, error=str(error))
        return False


def _channel(name: str) -> str:
    """Channels are not parted by database, as keys are."""
    return f"cdp:{client().connection_pool.connection_kwargs.get('db', 0)}:news:{name}"
