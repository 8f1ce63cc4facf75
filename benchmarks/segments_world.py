"""The people and events that the benchmarks of segments ask: a million profiles and twenty million events, made once.

Everything is made by SQL from a fixed seed, into a home that stays (`--keep FOLDER`), with 90 days of history that
end at the instant kept in `bench_world`, which is the `now` of every question asked later. A run that was stopped goes
on where it was.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_world.py --keep FOLDER [--profiles N] [--events N]
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from home import become_worker, servers

DAYS = 90
STEP = 500_000
NAMES = ("Product Viewed", "Page Viewed", "Product Added", "Email Opened", "Order Completed")
VALUES = {"Product Viewed": "price", "Product Added": "price", "Order Completed": "revenue"}

WORLD = """
CREATE TABLE IF NOT EXISTS bench_world (now timestamptz NOT NULL, profiles bigint NOT NULL, events bigint NOT NULL);
CREATE TABLE IF NOT EXISTS bench_step (number int PRIMARY KEY)
"""
PROFILES = """
INSERT INTO profile (id, traits, provenance, parts, created_at, updated_at)
SELECT n, jsonb_build_object(
           'country', (ARRAY['Germany', 'Germany', 'Germany', 'France', 'France', 'Spain', 'Italy', 'Norway', 'Poland',
                             'Austria'])[1 + n %% 10],
           'plan', (ARRAY['free', 'free', 'free', 'free', 'free', 'free', 'pro', 'pro', 'pro', 'enterprise'])
                   [1 + (n / 10) %% 10],
           'age', 18 + (n * 7) %% 60, 'email', 'customer-' || n || '@example.org'),
       '{}', NULL, %(now)s, %(now)s
FROM generate_series(%(first)s::bigint, %(last)s) AS n
"""
# Some people do much and many do little; more happened lately than long ago.
EVENTS = """
WITH drawn AS MATERIALIZED (
    SELECT n, random() AS what, random() AS whom, random() AS moment, round((5 + random() * 195)::numeric, 2) AS price
    FROM generate_series(1, %(count)s) AS n
)
INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)
SELECT %(now)s - power(moment, 1.3) * interval '90 days', gen_random_uuid(),
       1 + floor(power(whom, 1.6) * %(profiles)s)::bigint,
       CASE WHEN what < 0.50 THEN %(viewed)s WHEN what < 0.75 THEN %(paged)s WHEN what < 0.88 THEN %(added)s
            WHEN what < 0.95 THEN %(opened)s ELSE %(ordered)s END,
       CASE WHEN what < 0.50 OR what BETWEEN 0.75 AND 0.88 OR what >= 0.95 THEN price END,
       CASE WHEN what BETWEEN 0.50 AND 0.75
            THEN jsonb_build_object('path', '/p/' || n %% 900, 'title', 'Page ' || n %% 900)
            WHEN what BETWEEN 0.88 AND 0.95 THEN jsonb_build_object('campaign', 'c-' || n %% 40)
            ELSE jsonb_build_object(
                'product_id', 'SKU-' || n %% 5000,
                'category', (ARRAY['Shoes', 'Coats', 'Bags', 'Hats', 'Belts', 'Socks', 'Scarves', 'Gloves'])
                            [1 + n %% 8],
                'brand', 'Brand ' || n %% 80, CASE WHEN what >= 0.95 THEN 'revenue' ELSE 'price' END, price,
                'currency', 'EUR') END,
       '{"library": {"name": "analytics-python"}}', %(source)s, %(now)s
FROM drawn
"""


@dataclass(frozen=True)
class World:
    """`now` is when its history ends."""

    home: Path
    now: datetime
    profiles: int
    events: int


@contextlib.contextmanager
def world(*, keep: Path | None, profiles: int, events: int) -> Iterator[World]:
    """A database with so many profiles and events; made where `keep` does not hold it yet."""
    with servers(keep=keep) as home:
        yield make(home, profiles=profiles, events=events)


def make(home: Path, *, profiles: int, events: int) -> World:
    from django.db import connection
    from django.utils import timezone

    with connection.cursor() as cursor:
        cursor.execute(WORLD)
        cursor.execute("SELECT now, profiles, events FROM bench_world")
        known = cursor.fetchone()
        if known is None:
            known = (timezone.now(), profiles, events)
            cursor.execute("INSERT INTO bench_world VALUES (%s, %s, %s)", known)
        if known[1:] != (profiles, events):
            raise SystemExit(f"That folder holds a world of {known[1]} profiles and {known[2]} events.")
    found = World(home, *known)
    _fill(found)
    return found


def _fill(found: World) -> None:
    """Both cores, a step a transaction."""
    from django.db import connection

    from ingestion import operations, partitions
    from ingestion.models import EventName, Source

    now = found.now
    partitions.ensure_event_partitions({partitions.month_of(now - timedelta(days=day)) for day in range(-1, DAYS + 2)})
    source = Source.objects.order_by("pk").first() or operations.create_source(name="Benchmark", now=now)[0]
    names = {
        name: EventName.objects.get_or_create(
            name=name, defaults={"type": "track", "value_property": VALUES.get(name), "first_seen_at": now}
        )[0].pk
        for name in NAMES
    }
    keys = dict(zip(("viewed", "paged", "added", "opened", "ordered"), (names[name] for name in NAMES), strict=True))
    common = {"now": now, "profiles": found.profiles, "source": source.pk, **keys}
    steps = [
        (PROFILES, common | {"first": first, "last": min(first + STEP - 1, found.profiles)})
        for first in range(1, found.profiles + 1, STEP)
    ]
    steps += [(EVENTS, common | {"count": min(STEP, found.events - done)}) for done in range(0, found.events, STEP)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT number FROM bench_step")
        done = {number for (number,) in cursor.fetchall()}
    waiting = [(number, *step) for number, step in enumerate(steps) if number not in done]
    with ThreadPoolExecutor(2) as pool:
        for count, _ in enumerate(pool.map(_step, waiting), 1):
            print(f"\r  making the world: {count} of {len(waiting)} steps ", end="", file=sys.stderr, flush=True)
    if waiting:
        print(file=sys.stderr)
        with connection.cursor() as cursor:
            cursor.execute("SELECT setval(pg_get_serial_sequence('profile', 'id'), %s)", [found.profiles])
            cursor.execute("VACUUM ANALYZE event, profile")
            cursor.execute("CHECKPOINT")


def _step(step: tuple[int, str, dict[str, Any]]) -> None:
    from django.db import connection, transaction

    number, statement, values = step
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT setseed(%s)", [number / 10_000])
        cursor.execute(statement, values)
        cursor.execute("INSERT INTO bench_step VALUES (%s)", [number])
    connection.close()


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="a folder in which the world stays for the next time")
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=20_000_000)
    return parser


def main() -> None:
    given = arguments(__doc__).parse_args()
    begun = time.perf_counter()
    with world(keep=given.keep, profiles=given.profiles, events=given.events) as made:
        print(
            f"{made.profiles:,} profiles, {made.events:,} events until {made.now}: {time.perf_counter() - begun:.0f} s"
        )


if __name__ == "__main__":
    become_worker()
    main()
