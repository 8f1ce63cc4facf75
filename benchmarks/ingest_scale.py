"""What an event costs while the log grows: the drain at 1, 5 and 20 million stored events.

The stored events, the profiles behind them (one for 20 events), their identifiers and the seen messages are made by
SQL; then the drain runs as in `ingest_drain.py`, beside a raw COPY of its rows into an empty copy of the partitions,
which says how fast the machine was at that moment. Senders are drawn from all profiles, so that nearly nobody is
remembered from the chunk before.

It takes long and much disk, and is therefore not part of `make bench`:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_scale.py [millions …]
"""

import os
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import ingest_drain as drain
from home import become_worker, servers
from traffic import Traffic, visitor_id

RUNS = 5
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
INSERT INTO profile (traits, provenance, created_at, updated_at)
SELECT '{}', '{}', %(now)s, %(now)s FROM generate_series(1, %(count)s)
"""


def measure(sizes: list[int]) -> Iterator[tuple[int, drain.Result]]:
    """For each size, in events, the medians as `drain.measure` gives them."""
    with servers():
        from django.db import connection
        from django.utils import timezone

        from ingestion import operations

        source, _ = operations.create_source(name="Benchmark", now=timezone.now())
        drain.make_yardstick(timezone.now())
        traffic = Traffic(people=max(sizes) // EVENTS_A_PROFILE)
        drain.run(source.pk, traffic, timezone.now(), batches=10)  # begins the week and the dictionary
        stored = 0
        for size in sizes:
            grow(stored, size, source.pk)
            stored = size
            traffic = Traffic(people=size // EVENTS_A_PROFILE, seed=size)
            drain.run(source.pk, traffic, timezone.now(), batches=50)
            with connection.cursor() as cursor:
                cursor.execute("CHECKPOINT")
            rounds = [drain.run(source.pk, traffic, timezone.now()) for _ in range(RUNS)]
            yield size, drain.summary(rounds)


def grow(start: int, end: int, source_id: int) -> None:
    """From `start` to `end` stored events."""
    from django.db import connection
    from django.utils import timezone

    now = timezone.now()
    people = end // EVENTS_A_PROFILE
    add_people(start // EVENTS_A_PROFILE, people, now)
    received = now - timedelta(hours=1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(week) FROM seen_message")
        (week,) = cursor.fetchone()
        batches = []
        for done in range(start, end, STEP):
            values = {
                "now": now,
                "people": people,
                "source": source_id,
                "received": received,
                "count": min(STEP, end - done),
                "week": week,
            }
            batches.append(values)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, batches))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE event, seen_message, profile, identifier, profile_identifier")


def fill(values: dict[str, Any]) -> None:
    """In a session of its own, so that two cores are busy."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(FILL, values)
        cursor.execute(FILL_SEEN, values)
    connection.close()


def add_people(start: int, end: int, now: datetime) -> None:
    """Profiles with the identifiers that `Traffic` gives these people."""
    from django.db import connection

    from cdp.kernel.copy import copy_rows, timestamp_micros

    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(max(id), 0) FROM profile")
        (last,) = cursor.fetchone()
        cursor.execute(FILL_PROFILES, {"now": now, "count": end - start})
        cursor.execute("CREATE TEMPORARY TABLE known AS SELECT kind, value FROM identifier")
    identifiers, held = bytearray(), bytearray()
    seen = _known()
    for number, person in enumerate(range(start, end), last + 1):
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
    sizes = [int(float(text) * 1_000_000) for text in sys.argv[1:]] or [1_000_000, 5_000_000, 20_000_000]
    heads = ("stored events", "drain/core-s", "raw/core-s", "share", "client µs", "server µs")
    print("{:>14} {:>13} {:>11} {:>6} {:>10} {:>10}".format(*heads))
    began = time.monotonic()
    for size, result in measure(sorted(sizes)):
        print(
            f"{size:14,} {result.drain:13,.0f} {result.raw:11,.0f} {result.ratio:6.2f}"
            f" {result.client:10.1f} {result.server:10.1f}",
            flush=True,
        )
    print(f"{time.monotonic() - began:,.0f} s, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    become_worker()
    main()
