"""What an event costs while the log grows: the drain at 1, 5 and 20 million stored events.

The stored events, the profiles behind them (one for 20 events), their identifiers and the seen messages are made by
SQL; then the drain runs as in `ingest_drain.py`, beside a raw COPY of its rows into an empty copy of the partitions,
which says how fast the machine was at that moment. Senders are drawn from all profiles, so that nearly nobody is
remembered from the chunk before.

Each size is measured twice: right after a checkpoint, when every page that is written to goes into the write-ahead log
in full, and `BETWEEN` events later, as it is for most of the time until the next.

It takes long and much disk (20 million: about 20 GB), and is therefore not part of `make bench`:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_scale.py [--keep FOLDER] [--minutes LIMIT] [millions …]

With `--keep` the data stays in that folder, and a run after one that was stopped, by its limit or otherwise, goes on
from what is stored there: sizes that were measured are printed again, and not measured again.
"""

import argparse
import contextlib
import os
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ingest_drain as drain
from home import become_worker, servers
from traffic import BATCH, Traffic, visitor_id

RUNS = 5
BETWEEN = 300_000
EVENTS_A_PROFILE = 20
STEP = 500_000

FILL = """
INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)
SELECT %(now)s - random() * interval '1 day', gen_random_uuid(), 1 + floor(random() * %(people)s)::bigint,
       (SELECT id FROM event_name WHERE name = 'Product Viewed'), random() * 200,
       jsonb_build_object('product_id', 'SKU-' || n %% 5000, 'category', 'Shoes', 'brand', 'Brand ' || n %% 80,
           'price', round((random() * 200)::numeric, 2), 'currency', 'EUR', 'position', n %% 40,
           'list', 'search results', 'variant', 'black / M'),
       jsonb_build_object('ip', '198.51.100.0', 'library', jsonb_build_object('name', 'analytics-python')),
       %(source)s, %(received)s
FROM generate_series(1, %(count)s) AS n
"""
FILL_SEEN = "INSERT INTO seen_message (week, id) SELECT %(week)s, gen_random_uuid() FROM generate_series(1, %(count)s)"
FILL_PROFILES = """
WITH made AS (
    INSERT INTO profile (traits, provenance, created_at, updated_at)
    SELECT '{}', '{}', %(now)s, %(now)s FROM generate_series(1, %(count)s) RETURNING id
)
SELECT min(id) FROM made
"""


PROGRESS = """
CREATE TABLE IF NOT EXISTS bench_progress (events bigint NOT NULL, people bigint NOT NULL);
INSERT INTO bench_progress SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM bench_progress);
CREATE TABLE IF NOT EXISTS bench_result (events bigint PRIMARY KEY, figures float8[] NOT NULL)
"""


class OutOfTimeError(Exception):
    """The limit was reached."""


Measured = tuple[drain.Result, drain.Result]
"""Right after a checkpoint, and some time later."""


def measure(sizes: list[int], *, keep: Path | None, until: float) -> Iterator[tuple[int, Measured]]:
    """For each size, in events, the medians as `drain.measure` gives them.

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
        drain.make_yardstick(timezone.now())
        with connection.cursor() as cursor:
            cursor.execute(PROGRESS)
            cursor.execute("SELECT events, figures FROM bench_result")
            measured = dict(cursor.fetchall())
        while pipeline.drain(now=timezone.now()).rows:
            pass  # what a run that was killed has left in the inbox
        drain.run(source.pk, Traffic(people=1_000, seed=time.time_ns()), timezone.now(), batches=10)
        for size in sizes:
            if size not in measured:
                grow(size, source.pk, until=until)
                measured[size] = _measure_one(size, source.pk, until=until)
            figures = measured[size]
            half = len(figures) // 2
            yield size, (drain.Result(*figures[:half]), drain.Result(*figures[half:]))


def _measure_one(size: int, source_id: int, *, until: float) -> list[float]:
    from django.db import connection
    from django.utils import timezone

    traffic = Traffic(people=size // EVENTS_A_PROFILE, seed=time.time_ns())  # messages that no earlier run has sent
    drain.run(source_id, traffic, timezone.now(), batches=50)
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
        cursor.execute("INSERT INTO bench_result VALUES (%s, %s)", [size, figures])
    return figures


def check(until: float) -> None:
    if time.monotonic() > until:
        raise OutOfTimeError


def grow(end: int, source_id: int, *, until: float) -> None:
    """Up to `end` stored events, from what there is. Each step says in its own transaction that it was done."""
    from django.db import connection
    from django.utils import timezone

    now = timezone.now()
    people = end // EVENTS_A_PROFILE
    with connection.cursor() as cursor:
        cursor.execute("SELECT events, people FROM bench_progress")
        start, known = cursor.fetchone()
        cursor.execute("SELECT max(week) FROM seen_message")
        (week,) = cursor.fetchone()
    if people > known:
        with transaction_of_people(people):
            add_people(known, people, now)
    common = {"now": now, "people": people, "source": source_id, "received": now - timedelta(hours=1), "week": week}
    batches = [common | {"count": min(STEP, end - done), "until": until} for done in range(start, end, STEP)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, batches))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE event, seen_message, profile, identifier, profile_identifier")


@contextlib.contextmanager
def transaction_of_people(people: int) -> Iterator[None]:
    from django.db import connection, transaction

    with transaction.atomic():
        yield
        with connection.cursor() as cursor:
            cursor.execute("UPDATE bench_progress SET people = %s", [people])


def fill(values: dict[str, Any]) -> None:
    """In a session of its own, so that two cores are busy."""
    from django.db import connection, transaction

    check(values["until"])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FILL, values)
        cursor.execute(FILL_SEEN, values)
        cursor.execute("UPDATE bench_progress SET events = events + %(count)s", values)
    connection.close()


def add_people(start: int, end: int, now: datetime) -> None:
    """Profiles with the identifiers that `Traffic` gives these people."""
    from django.db import connection

    from cdp.kernel.copy import copy_rows, timestamp_micros

    with connection.cursor() as cursor:
        cursor.execute(FILL_PROFILES, {"now": now, "count": end - start})
        (first,) = cursor.fetchone()
        cursor.execute("CREATE TEMPORARY TABLE known AS SELECT kind, value FROM identifier")
    identifiers, held = bytearray(), bytearray()
    seen = _known()
    for number, person in enumerate(range(start, end), first):
        pairs = [(b"anonymous_id", str(visitor_id(person)).encode())]
        if person % 3:
            pairs.append((b"user_id", b"customer-%d" % person))
        for kind, value in pairs:
            if (kind.decode(), value.decode()) in seen:
                continue
            text = struct.pack(">i", len(kind)) + kind + struct.pack(">i", len(value)) + value
            identifiers += struct.pack(">h", 3) + text + struct.pack(">iq", 8, number)
            held += struct.pack(">hiq", 5, 8, number) + text
            held += struct.pack(">iqiq", 8, timestamp_micros(now), 8, 1)
    copy_rows(table="identifier", columns=("kind", "value", "profile_id"), rows=identifiers)
    columns = ("profile_id", "kind", "value", "first_seen_at", "source_id")
    copy_rows(table="profile_identifier", columns=columns, rows=held)


def _known() -> set[tuple[str, str]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT kind, value FROM known")
        found = set(cursor.fetchall())
        cursor.execute("DROP TABLE known")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the data stays for the next run")
    parser.add_argument("--minutes", type=float, default=120, metavar="LIMIT", help="stop after this long (120)")
    parser.add_argument("millions", type=float, nargs="*", default=[1, 5, 20])
    asked = parser.parse_args()
    heads = ("stored events", "checkpoint", "drain/core-s", "raw/core-s", "share", "client µs", "server µs")
    print("{:>14} {:>12} {:>13} {:>11} {:>6} {:>10} {:>10}".format(*heads))
    began = time.monotonic()
    sizes = sorted(int(millions * 1_000_000) for millions in asked.millions)
    try:
        for size, measured in measure(sizes, keep=asked.keep, until=began + asked.minutes * 60):
            for when, result in zip(("just now", "long ago"), measured, strict=True):
                print(
                    f"{size:14,} {when:>12} {result.drain:13,.0f} {result.raw:11,.0f} {result.ratio:6.2f}"
                    f" {result.client:10.1f} {result.server:10.1f}",
                    flush=True,
                )
    except OutOfTimeError:
        print(f"stopped after {asked.minutes:g} minutes; with --keep the next run goes on from here", file=sys.stderr)
    print(f"{time.monotonic() - began:,.0f} s, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    become_worker()
    main()
