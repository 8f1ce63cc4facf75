"""Computed traits: what a pass over everybody costs, and what a chunk of changes costs more with five of them.

Wall time of this process and PostgreSQL together; the chunk without computed traits, measured in the same run, is the
yardstick.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_computed.py [PROFILES]
"""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from statistics import median

from home import servers

PROFILES = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
EVENTS_EACH = 10
CHUNK = 1_000
ROUNDS = 10

FILL = """
INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)
SELECT %(now)s - random() * interval '80 days', gen_random_uuid(), p.id, %(name)s, v.n,
       jsonb_build_object('revenue', v.n, 'products', jsonb_build_array(
           jsonb_build_object('category', 'Category ' || (random() * 8)::int, 'price', v.n))), '{}', 1, %(now)s
FROM profile AS p CROSS JOIN generate_series(1, %(each)s) AS g
CROSS JOIN LATERAL (SELECT round((random() * 200)::numeric, 2)::float8 AS n WHERE g > 0) AS v
"""


def timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def main() -> None:
    with servers():
        from django.db import connection
        from django.utils import timezone

        from ingestion.models import EventName
        from ingestion.partitions import ensure_event_partitions, next_month
        from segments.changes import ProfileChange, note_changes
        from segments.computed import passes
        from segments.computed.gallery import find
        from segments.computed.models import ComputedTrait
        from segments.computed.operations import create_computed
        from segments.evaluate import evaluate_changes

        now = timezone.now()
        month, months = (now - timedelta(days=90)).date().replace(day=1), []
        while month <= now.date():
            months.append(month)
            month = next_month(month)
        ensure_event_partitions(months)
        name = EventName.objects.create(
            name="Order Completed", type="track", value_property="revenue", first_seen_at=now
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO profile (traits, provenance, created_at, updated_at)"
                " SELECT jsonb_build_object('country', 'DE'), '{}', %s, %s FROM generate_series(1, %s)",
                [now, now, PROFILES],
            )
            cursor.execute(FILL, {"now": now, "name": name.pk, "each": EVENTS_EACH})
            cursor.execute("VACUUM ANALYZE event")
            cursor.execute("VACUUM ANALYZE profile")

        def chunk(number: int) -> float:
            first = number * CHUNK % PROFILES
            note_changes(
                ProfileChange(id_, frozenset({name.pk}), frozenset(), merged=False, created=False)
                for id_ in range(first + 1, first + CHUNK + 1)
            )
            return timed(lambda: evaluate_changes(now=timezone.now(), limit=CHUNK))

        print(f"{PROFILES:,} profiles with {EVENTS_EACH} events each, chunks of {CHUNK:,} changed profiles")
        print(f"chunk without computed traits  {median(chunk(n) for n in range(ROUNDS)) * 1_000:8.1f} ms")
        for wanted in ("total_spend", "orders", "favourite_bought", "rfm", "lifecycle"):
            ready = find(wanted)
            assert ready
            trait = create_computed(name=wanted, definition=ready.definition, now=now)
            took = timed(
                lambda pk=trait.pk: [None for _ in iter(lambda: passes.take_step(trait_id=pk, now=now), False)]
            )
            holders = ComputedTrait.objects.get(pk=trait.pk).holders
            print(f"pass: {wanted:<24} {took:8.1f} s {took / PROFILES * 1e6:6.0f} us a profile, {holders:,} have it")
        print(f"chunk with five computed traits {median(chunk(n) for n in range(ROUNDS)) * 1_000:7.1f} ms, no news")


main()
