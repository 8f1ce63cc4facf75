"""What resolving identities costs of the drain, for ordinary traffic, under configured kinds, and at a kiosk.

Counted is the CPU time of this process and of its PostgreSQL session: of `resolve_identities` and of the whole drain
around it. `people who come again` are known and settled; `a kiosk` is one anonymous id that every message shares with
another user, `one address` one e-mail address that every new browser shares. Run it alone:

    PYTHONPATH=. .venv/bin/python benchmarks/identity_resolve.py
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from home import become_worker, servers
from ingest_drain import Cpu, cpu_time, prepare
from traffic import BATCH, Traffic

EVENTS = 10_000
PEOPLE = 5_000


def measure() -> list[tuple[str, float, float, int]]:
    """Per case: µs of CPU an event of the resolution and of the whole drain, and the biggest profile's identifiers."""
    with servers():
        from django.utils import timezone

        from ingestion import operations

        now = timezone.now()
        source, _ = operations.create_source(name="Benchmark", now=now)
        prepare(now)
        traffic = Traffic(people=PEOPLE)
        drained(source.pk, list(traffic.batches(2 * EVENTS // BATCH, now=now)), now)
        ordinary = list(traffic.batches(EVENTS // BATCH, now=now))
        rows = [("people who come again", *drained(source.pk, ordinary, now))]
        configure()
        configured = list(traffic.batches(EVENTS // BATCH, now=now))
        drained(source.pk, list(traffic.batches(EVENTS // BATCH, now=now)), now)  # what is remembered is remembered
        rows.append(("  with kinds configured", *drained(source.pk, configured, now)))
        rows.append(("new people", *drained(source.pk, batches(newcomer), now)))
        rows.append(("a kiosk, 10,000 people", *drained(source.pk, batches(at_kiosk), now)))
        rows.append(("  the same again", *drained(source.pk, batches(at_kiosk, again=1), now)))
        rows.append(("one address, 10,000 people", *drained(source.pk, batches(with_address), now)))
        biggest = largest_profile()
    return [(*row, biggest) for row in rows]


def configure() -> None:
    """Gmail's rules, blocked values and patterns, and a limit by week."""
    from django.utils import timezone

    from identity.kinds import operations, queries

    changes: dict[str, dict[str, Any]] = {
        "email": {"options": {"gmail_dots": True, "plus_tags": True}, "blocked": ("nobody@example.org",)},
        "anonymous_id": {"patterns": ("till-##",), "min_length": 3, "limit_weekly": 5},
    }
    for name, changed in changes.items():
        operations.save_kind(settings=replace(queries.settings_named(name), **changed), now=timezone.now())


def newcomer(number: int) -> dict[str, Any]:
    return {"userId": f"new-{number}", "anonymousId": f"browser-{number}"}


def at_kiosk(number: int) -> dict[str, Any]:
    return {"userId": f"visitor-{number}", "anonymousId": "kiosk"}


def with_address(number: int) -> dict[str, Any]:
    return {"anonymousId": f"guest-{number}", "context": {"traits": {"email": "test@test.com"}}}


def batches(who: Callable[[int], dict[str, Any]], *, again: int = 0) -> list[bytes]:
    return [
        json.dumps(
            {
                "batch": [
                    {"type": "track", "event": "Seen", "messageId": f"{who.__name__}-{again}-{number}", **who(number)}
                    for number in range(start, start + BATCH)
                ]
            }
        ).encode()
        for start in range(0, EVENTS, BATCH)
    ]


def drained(source_id: int, bodies: list[bytes], now: datetime) -> tuple[float, float]:
    from cdp import pipeline
    from ingestion import operations

    for body in bodies:
        operations.accept(source_id=source_id, kind="batch", events=BATCH, body=body, remote_addr="", now=now)
    with resolution_timed() as spent, cpu_time() as whole:
        while pipeline.drain(now=now).rows:
            pass
    events = len(bodies) * BATCH
    return spent.total / events * 1e6, whole.total / events * 1e6


@contextlib.contextmanager
def resolution_timed() -> Iterator[Cpu]:
    """Adds up the CPU time of every call of `resolve_identities`. psutil counts in hundredths of a second."""
    import identity.operations

    spent = Cpu()
    resolve = identity.operations.resolve_identities

    def timed(*args: Any, **kwargs: Any) -> Any:
        with cpu_time() as mine:
            found = resolve(*args, **kwargs)
        spent.client += mine.client
        spent.server += mine.server
        return found

    identity.operations.resolve_identities = timed
    try:
        yield spent
    finally:
        identity.operations.resolve_identities = resolve


def largest_profile() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM profile_identifier GROUP BY profile_id ORDER BY 1 DESC LIMIT 1")
        return int(cursor.fetchone()[0])


def report() -> list[tuple[str, str, str, str]]:
    rows = measure()
    lines = [(name, f"{mine:.1f} µs an event", f"whole drain {whole:.1f}", "") for name, mine, whole, _ in rows]
    return [*lines, ("largest profile", f"{rows[0][3]} identifiers", "", "")]


if __name__ == "__main__":
    become_worker()
    for line in report():
        print("{:36} {:>20} {:>24} {}".format(*line))
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
