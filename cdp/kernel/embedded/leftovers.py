"""Stop what a launcher that was killed left running."""

import signal
from pathlib import Path

import psutil

from cdp.kernel.embedded import postgres, services, valkey
from cdp.kernel.embedded.processes import SERVERS, end, end_all, marked


def find(home: Path) -> list[str]:
    """The names of what still runs, for the person."""
    names = set(marked(home))
    names |= {"postgres"} if postgres.postmaster(home) else set()
    names |= {"valkey"} if valkey.process(home) else set()
    return sorted(names)


def stop(home: Path) -> None:
    """In the order of a clean stop: supervisord (which stops what it can), programs, Valkey, PostgreSQL."""
    for process in marked(home).get("supervisor", []):
        end(process, signal.SIGTERM, seconds=60)
    end_all(programs(home), seconds=15)
    services.stop(home)


def programs(home: Path) -> list[psutil.Process]:
    return [process for name, found in marked(home).items() if name not in SERVERS for process in found]
