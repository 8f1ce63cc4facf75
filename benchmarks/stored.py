"""A deployment that has been running for a while: stored events, the people behind them and seen messages, by SQL."""

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from traffic import visitor_id

STEP = 500_000

FILL = """
WITH made AS (
    INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)
    SELECT at.ts, gen_random_uuid(), 1 + floor(random() * %(people)s)::bigint,
           (SELECT id FROM event_name WHERE name = 'Product Viewed'), random() * 200,
           jsonb_build_object('product_id', 'SKU-' || n %% 5000, 'category', 'Shoes', 'brand', 'Brand ' || n %% 80,
               'price', round((random() * 200)::numeric, 2), 'currency', 'EUR', 'position', n %% 40,
               'list', 'search results', 'variant', 'black / M'),
           jsonb_build_object('ip', '198.51.100.0', 'library', jsonb_build_object('name', 'analytics-python')),
           %(source)s, at.ts + interval '1 second'
    FROM generate_series(%(first)s::bigint, %(last)s - 1) AS n
         CROSS JOIN LATERAL (SELECT %(begin)s + n * %(apart)s - random() * interval '5 seconds' AS ts) AS at
    RETURNING ts, id
)
INSERT INTO seen_message (week, id)
SELECT w.week, made.id FROM made
JOIN (SELECT week FROM seen_week ORDER BY week DESC LIMIT 2) AS w ON w.week = date_trunc('week', made.ts, 'UTC')::date
"""
FILL_PROFILES = """
WITH made AS (
    INSERT INTO profile (traits, provenance, created_at, updated_at)
    SELECT '{}', '{}', %(now)s, %(now)s FROM generate_series(1, %(count)s) RETURNING id
)
SELECT min(id) FROM made
"""


def _do_nothing(_: int) -> None:
    pass


def add_events(
    start: int,
    end: int,
    *,
    people: int,
    source_id: int,
    until: datetime,
    history: timedelta = timedelta(days=1),
    step_done: Callable[[int], None] = _do_nothing,
) -> None:
    """Those with the numbers from `start` on of `end`, which came evenly and in time order, of profiles 1 to `people`.

    The messages of the last two weeks that have begun are remembered as seen. `step_done` is told how many a step has
    added, in its transaction.
    """
    from django.db import connection, transaction

    from ingestion import partitions

    begin = until - history
    days = range(history.days + 1)
    partitions.ensure_event_partitions({partitions.month_of(begin + timedelta(days=day)) for day in days})
    common = {"begin": begin, "apart": history / end, "people": people, "source": source_id}

    def fill(first: int) -> None:
        """In a session of its own, so that two cores are busy."""
        last = min(first + STEP, end)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(FILL, common | {"first": first, "last": last})
            step_done(last - first)
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, range(start, end, STEP)))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE event, seen_message, profile, identifier, profile_identifier")


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
