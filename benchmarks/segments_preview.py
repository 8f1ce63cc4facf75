"""How long the parts of a preview take: count, what would change, breakdown, overlap, and the past 90 days.

People and events are made in the database by its own random numbers with a fixed seed; a home that is kept (the first
argument) is filled once. Told are wall-clock seconds, as somebody who edits meets them, and CPU seconds without those
of parallel workers, which a busy machine changes less; of two runs the second.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_preview.py [HOME] [PROFILES] [EVENTS]
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from home import servers

PROFILES, EVENTS = 1_000_000, 20_000_000
DAYS = 180
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Login")
BOUGHT = {"type": "event", "event": "Order Completed", "window": {"last": "30d"}}
CASES: dict[str, Any] = {
    "traits": {"type": "trait", "trait": "country", "op": "eq", "value": "C1"},
    "bought in 30 days": BOUGHT,
    "never bought": {"type": "not", "of": {"type": "event", "event": "Order Completed"}},
    "3 views in 7 days": {
        "type": "event",
        "event": "Product Viewed",
        "op": "gte",
        "value": 3,
        "window": {"last": "7d"},
    },
    "spent over 500 in 30 days": {
        "type": "event",
        "event": "Order Completed",
        "measure": "sum",
        "of": "revenue",
        "op": "gt",
        "value": 500,
        "window": {"last": "30d"},
    },
    "added, not bought in 30 min": {
        "type": "sequence",
        "steps": [{"event": "Product Added"}, {"event": "Order Completed", "absent": True, "within": "30m"}],
        "window": {"last": "24h"},
    },
}
COMPOUND = {"type": "all", "of": [CASES["traits"], {"type": "any", "of": [BOUGHT, CASES["3 views in 7 days"]]}]}

_PROFILES = """
INSERT INTO profile (traits, provenance, created_at, updated_at)
SELECT jsonb_build_object('country', 'C' || mod(n, 20), 'age', 18 + mod(n, 60), 'name', 'Person ' || n,
                          'plan', mod(n, 3)), '{}', now(), now()
FROM generate_series(1, %s) AS n
"""
_EVENTS = """
INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)
SELECT t.ts, gen_random_uuid(), 1 + floor(power(random(), 2) * %(profiles)s)::bigint, t.name_id,
       CASE WHEN t.name_id = %(order)s THEN floor(random() * 300) END,
       CASE WHEN t.name_id = %(order)s THEN '{"revenue": 1}'::jsonb ELSE '{"page": "x"}'::jsonb END, '{}', 1, t.ts
FROM (SELECT %(now)s - random() * %(span)s::interval AS ts,
             (%(names)s::int[])[1 + floor(sqrt(random()) * 4)] AS name_id
      FROM generate_series(1, %(events)s)) AS t
"""


def fill(profiles: int, events: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from ingestion.models import EventName
    from ingestion.partitions import ensure_event_partitions, next_month

    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM profile)")
        if cursor.fetchone()[0]:
            return
    months, month = [], (now - timedelta(days=DAYS)).date().replace(day=1)
    while month <= now.date():
        months.append(month)
        month = next_month(month)
    ensure_event_partitions(months)
    ids = {}
    for name in NAMES:
        promoted = "revenue" if name == "Order Completed" else None
        fields = {"type": "track", "value_property": promoted, "first_seen_at": now}
        row, _ = EventName.objects.get_or_create(name=name, defaults=fields)
        ids[name] = row.pk
    span = timedelta(days=DAYS)
    names = [ids[name] for name in reversed(NAMES)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(_PROFILES, [profiles])
        made = {"profiles": profiles, "order": ids["Order Completed"], "now": now, "span": span, "names": names}
        for _ in range(0, events, 1_000_000):
            cursor.execute(_EVENTS, made | {"events": min(1_000_000, events)})
        cursor.execute("VACUUM ANALYZE")


def timed(ask: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall-clock and CPU seconds (of this process and its database session) of the second of two runs."""
    for _ in range(2):
        started, before = time.perf_counter(), cpu_time()
        found = ask()
        took, spent = time.perf_counter() - started, cpu_time() - before
    return took, spent, found


def cpu_time() -> float:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + time.process_time()


def segments() -> list[Any]:
    from django.utils import timezone

    from segments import operations
    from segments.models import Segment

    for name in ("traits", "bought in 30 days", "3 views in 7 days", "spent over 500 in 30 days"):
        if not Segment.objects.filter(name=name).exists():
            made = operations.create_segment(name=name, definition=CASES[name], now=timezone.now())
            operations.recompute(segment_id=made.pk, now=timezone.now())
    return list(Segment.objects.order_by("pk"))


def measure() -> list[tuple[str, float, float]]:
    from django.utils import timezone

    from segments import queries
    from segments.insight import overlap
    from segments.insight.breakdown import break_down
    from segments.insight.changes import moves_of
    from segments.insight.people import asked, of_definition
    from segments.insight.trend.run import past_of

    now = timezone.now()
    saved = segments()
    rows = []

    def note(what: str, ask: Callable[[], Any], said: Callable[[Any], str] = lambda _: "") -> None:
        took, spent, found = timed(ask)
        rows.append((what, took, spent))
        print(f"{what:48} {took:8.2f} s {spent:8.2f} s CPU  {said(found)}", flush=True)

    for name, definition in {**CASES, "compound": COMPOUND}.items():
        note(
            f"count: {name}",
            lambda d=definition: queries.preview(definition=d, as_of=now),
            lambda found: f"{found.count} people",
        )
    for name, definition in {**CASES, "compound": COMPOUND}.items():
        note(
            f"90 days: {name}",
            lambda d=definition: past_of(definition=d, now=now),
            lambda found: f"{found.method}, {found.points[-1].count} people",
        )

    def within(ask: Callable[[Any], Any]) -> Any:
        with asked(seconds=60):
            return ask(of_definition(COMPOUND, as_of=now))

    note("what would change: compound", lambda: within(lambda p: moves_of(people=p, segment=saved[1], sample=5)))
    note("by a text trait: compound", lambda: within(lambda p: break_down(people=p, trait="country")))
    note("by a number trait: compound", lambda: within(lambda p: break_down(people=p, trait="age")))
    note("overlap, most alike: compound", lambda: within(lambda p: overlap.most_overlapping(people=p)))
    note("overlap with 4: compound", lambda: within(lambda p: overlap.pairs(people=p, others=saved)))
    note("combinations of 4 segments", lambda: within(lambda _: overlap.combine(saved)))
    return rows


def main() -> None:
    keep = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="cdp-preview-"))
    profiles, events = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 3 else (PROFILES, EVENTS)
    with servers(keep=keep):
        fill(profiles, events)
        measure()


if __name__ == "__main__":
    main()
