"""How many messages a source may send: a bucket of tokens per source in Redis, which all web processes share.

A request is taken while the bucket holds what it costs, or is full: a batch larger than the bucket empties it below
zero, so that the average holds whatever the sizes. Where Redis is away, everything passes: the limit protects this
deployment from a sender in a loop, and losing events would be worse.
"""

import math
import time
from typing import Any

import redis
import structlog

from cdp.kernel.wake import client
from ingestion.settings import RateLimit

_AWAY_FOR = 5.0  # seconds that a process leaves a Redis alone which did not answer

# The clock is Redis's own, so that web servers whose clocks differ count alike. Returns the milliseconds to wait.
_SPEND = """
local now = redis.call('TIME')
local at = now[1] + now[2] / 1000000
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if kept[1] then tokens = math.min(burst, kept[1] + math.max(0, at - kept[2]) * rate) end
local missing = math.min(cost, burst) - tokens
if missing > 0 then return math.ceil(missing / rate * 1000) end
tokens = tokens - cost
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', at))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return 0
"""

log = structlog.get_logger(__name__)
_script: Any = None
_ask_again_at = 0.0


def spend(*, source_id: int, rate: RateLimit, count: int) -> int:
    """Take `count` messages out of the source's bucket; returns 0, or in how many seconds to try again."""
    global _script, _ask_again_at  # noqa: PLW0603 - what one process remembers
    if time.monotonic() < _ask_again_at:
        return 0
    if _script is None:
        _script = client().register_script(_SPEND)
    burst = rate.burst or rate.per_second
    try:
        wait = int(_script(keys=[f"cdp:rate:{source_id}"], args=[rate.per_second, burst, count]))
    except redis.RedisError as error:
        log.warning("rate_limit_unavailable", error=str(error))
        _ask_again_at = time.monotonic() + _AWAY_FOR
        return 0
    return math.ceil(wait / 1000)


def forget() -> None:
    """For tests: ask Redis again at once."""
    global _ask_again_at  # noqa: PLW0603
    _ask_again_at = 0.0
