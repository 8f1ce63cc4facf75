"""What an event costs while the log grows: the drain at 1, 5 and 20 million stored events.

The stored events, the profiles behind them (one for 20 events), their identifiers and the seen messages are made by
SQL; then the drain runs as in `ingest_drain.py`, beside a raw COPY of such rows into the same log. The same number of
people is active at each size, drawn from all profiles: so nothing but what is stored grows. Then everybody is: nearly
nobody is remembered from the chunk before, and nearly every event goes to other pages.

Both are measured twice: right after a checkpoint, when every page that is written to goes into the write-ahead log
in full, and `BETWEEN` events later, as it is for most of the time until the next.

It takes long and much disk (20 million: about 20 GB), and is therefore not part of `make bench`:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_scale.py [--keep FOLDER] [--minutes LIMIT] [millions …]

With `--keep` the data stays in that folder, and a run after one that was stopped, by its limit or otherwise, goes on
from what is stored there: sizes that were measured are printed again, and not measured again.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import ingest_drain as drain
import stored
from home import become_worker, servers
from traffic import BATCH, Traffic

RUNS = 5
BETWEEN = 300_000
EVENTS_A_PROFILE = 20
ACTIVE = 20_000
ACTIVITIES = ("some", "everybody")

PROGRESS = """
CREATE TABLE IF NOT EXISTS bench_progress (events bigint NOT NULL, people bigint NOT NULL);
INSERT INTO bench_progress SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM bench_progress);
CREATE TABLE IF NOT EXISTS bench_figures (
    events bigint, activity text, figures float8[] NOT NULL, PRIMARY KEY (events, activity)
)
"""


class OutOfTimeError(Exception):
    """The limit was reached."""


Measured = tuple[drain.Result, drain.Result]
"""Right after a checkpoint, and some time later."""


def measure(sizes: list[int], *, keep: Path | None, until: float) -> Iterator[tuple[int, str, Measured]]:
    """For each size, in events, and activity the medians as `drain.measure` gives them.

    Raises:
        OutOfTimeError: `until`, of the monotonic clock, came first.
    """
    with servers(keep=keep):
        from django.db import connection
        from django.utils import timezone

        from cdp import pipeline
        from ingestion import operations
        from ingestion.models import Source

        known = Source.objects.order_by("pk").first()
        source = known or operations.create_source(name="Benchmark", now=timezone.now())[0]
        with connection.cursor() as cursor:
            cursor.execute(PROGRESS)
            cursor.execute("SELECT events, activity, figures FROM bench_figures")
            measured = {(size, activity): figures for size, activity, figures in cursor.fetchall()}
        while pipeline.drain(now=timezone.now()).rows:
            pass  # what a run that was killed has left in the inbox
        drain.run(source.pk, Traffic(people=1_000, seed=time.time_ns()), timezone.now(), batches=10)
        for size in sizes:
            for activity in ACTIVITIES:
                if (size, activity) not in measured:
                    grow(size, source.pk, until=until)
                    measured[size, activity] = _measure_one(size, activity, source.pk, until=until)
                figures = measured[size, activity]
                half = len(figures) // 2
                yield size, activity, (drain.Result(*figures[:half]), drain.Result(*figures[half:]))


def _measure_one(size: int, activity: str, source_id: int, *, until: float) -> list[float]:
    from django.db import connection
    from django.utils import timezone

    people = size // EVENTS_A_PROFILE
    active = people if activity == "everybody" else min(ACTIVE, people)
    traffic = Traffic(people=active, among=people, seed=time.time_ns())  # messages that no earlier run has sent
    drain.run(source_id, traffic, timezone.now(), batches=400)
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")

    def rounds(count: int) -> list[tuple[drain.Cpu, drain.Cpu]]:
        found = []
        for _ in range(count):
            check(until)
            found.append(drain.run(source_id, traffic, timezone.now()))
        return found

    after = drain.summary(rounds(RUNS))
    for _ in range(BETWEEN // (drain.BATCHES * BATCH) - RUNS):
        check(until)
        drain.drain(source_id, traffic, timezone.now())
    later = drain.summary(rounds(RUNS))
    figures = [*astuple(after), *astuple(later)]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_figures VALUES (%s, %s, %s)", [size, activity, figures])
    return figures


def check(until: float) -> None:
    if time.monotonic() > until:
        raise OutOfTimeError


def grow(end: int, source_id: int, *, until: float) -> None:
    """Up to `end` stored events, from what there is. Each step says in its own transaction that it was done."""
    from django.db import connection
    from django.utils import timezone

    people = end // EVENTS_A_PROFILE
    with connection.cursor() as cursor:
        cursor.execute("SELECT events, people FROM bench_progress")
        start, known = cursor.fetchone()
    if people > known:
        with transaction_of_people(people):
            stored.add_people(known, people, timezone.now())

    def note(count: int) -> None:
        check(until)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE bench_progress SET events = events + %s", [count])

    stored.add_events(start, end, people=people, source_id=source_id, step_done=note)


@contextlib.contextmanager
def transaction_of_people(people: int) -> Iterator[None]:
    from django.db import connection, transaction

    with transaction.atomic():
        yield
        with connection.cursor() as cursor:
            cursor.execute("UPDATE bench_progress SET people = %s", [people])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the data stays for the next run")
    parser.add_argument("--minutes", type=float, default=120, metavar="LIMIT", help="stop after this long (120)")
    parser.add_argument("millions", type=float, nargs="*", default=[1, 5, 20])
    asked = parser.parse_args()
    heads = ("stored events", "active", "checkpoint", "drain/core-s", "raw/core-s", "share", "client µs", "server µs")
    print("{:>14} {:>10} {:>12} {:>13} {:>11} {:>6} {:>10} {:>10}".format(*heads))
    began = time.monotonic()
    sizes = sorted(int(millions * 1_000_000) for millions in asked.millions)
    try:
        for size, activity, measured in measure(sizes, keep=asked.keep, until=began + asked.minutes * 60):
            for when, result in zip(("just now", "long ago"), measured, strict=True):
                print(
                    f"{size:14,} {activity:>10} {when:>12} {result.drain:13,.0f} {result.raw:11,.0f}"
                    f" {result.ratio:6.2f} {result.client:10.1f} {result.server:10.1f}",
                    flush=True,
                )
    except OutOfTimeError:
        print(f"stopped after {asked.minutes:g} minutes; with --keep the next run goes on from here", file=sys.stderr)
    print(f"{time.monotonic() - began:,.0f} s, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    become_worker()
    main()
