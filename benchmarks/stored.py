"""A deployment that has been running for a while: stored events, the people behind them and seen messages, by SQL."""

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from traffic import visitor_id

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


def _do_nothing(_: int) -> None:
    pass


def add_events(
    start: int, end: int, *, people: int, source_id: int, step_done: Callable[[int], None] = _do_nothing
) -> None:
    """From `start` to `end`, of the last day and profiles 1 to `people`. `step_done` is told how many a step has
    added, in its transaction.
    """
    from django.db import connection, transaction
    from django.utils import timezone

    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(week) FROM seen_message")
        (week,) = cursor.fetchone()
    common = {"now": now, "people": people, "source": source_id, "received": now - timedelta(hours=1), "week": week}

    def fill(count: int) -> None:
        """In a session of its own, so that two cores are busy."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(FILL, common | {"count": count})
            cursor.execute(FILL_SEEN, common | {"count": count})
            step_done(count)
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, [min(STEP, end - done) for done in range(start, end, STEP)]))
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
