"""How long the parts of a preview take: count, what would change, breakdown, overlap, and the past 90 days.

Asked of the people and events of `segments_world.py`, packed before. Told are wall-clock seconds,
as somebody who edits meets them, and CPU seconds without those of parallel workers, which a busy machine changes less;
of two runs the second.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_preview.py --keep FOLDER [--profiles N] [--events N]
"""

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from home import become_worker
from segments_recompute import pack
from segments_world import arguments, world

BOUGHT = {"type": "event", "event": "Order Completed", "window": {"last": "30d"}}
CASES: dict[str, Any] = {
    "traits": {"type": "trait", "trait": "country", "op": "eq", "value": "Germany"},
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
    "the same in 30 days": {
        "type": "sequence",
        "steps": [{"event": "Product Added"}, {"event": "Order Completed", "absent": True, "within": "30m"}],
        "window": {"last": "30d"},
    },
    "viewed, added, bought in 30 days": {
        "type": "sequence",
        "steps": [
            {"event": "Product Viewed"},
            {"event": "Product Added", "within": "1h"},
            {"event": "Order Completed", "within": "7d"},
        ],
        "window": {"last": "30d"},
    },
}
COMPOUND = {"type": "all", "of": [CASES["traits"], {"type": "any", "of": [BOUGHT, CASES["3 views in 7 days"]]}]}


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


def segments(now: datetime) -> list[Any]:
    """Four of the cases with their members, which other benchmarks of the same world may have removed."""
    from segments import operations
    from segments.models import Segment

    found = []
    for name in ("traits", "bought in 30 days", "3 views in 7 days", "spent over 500 in 30 days"):
        one = Segment.objects.filter(name=name).first()
        one = one or operations.create_segment(name=name, definition=CASES[name], now=now)
        if not one.memberships.exists():
            operations.recompute(segment_id=one.pk, now=now)
        found.append(one)
    return found


def measure(now: datetime) -> list[tuple[str, float, float]]:
    from segments import queries
    from segments.errors import QueryTooSlowError
    from segments.insight import overlap
    from segments.insight.breakdown import break_down
    from segments.insight.changes import moves_of
    from segments.insight.people import asked, of_definition
    from segments.insight.trend.run import past_of

    pack([*CASES.values(), COMPOUND], now=now)
    saved = segments(now)
    rows = []

    def note(what: str, ask: Callable[[], Any], said: Callable[[Any], str] = lambda _: "") -> None:
        try:
            took, spent, found = timed(ask)
        except QueryTooSlowError as error:
            print(f"{what:48} {error.message}", flush=True)
            return
        rows.append((what, took, spent))
        print(f"{what:48} {took:8.2f} s {spent:8.2f} s CPU  {said(found)}", flush=True)

    for name, definition in {**CASES, "compound": COMPOUND}.items():
        note(
            f"count: {name}",
            lambda d=definition: queries.preview(definition=d, as_of=now),
            lambda found: f"{found.count} people",
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
    for name, definition in {**CASES, "compound": COMPOUND}.items():
        note(
            f"90 days: {name}",
            lambda d=definition: past_of(definition=d, now=now),
            lambda found: f"{found.method}, {found.points[-1].count} people",
        )
    return rows


def main() -> None:
    given = arguments(__doc__).parse_args()
    with world(keep=given.keep, profiles=given.profiles, events=given.events) as made:
        measure(made.now)


if __name__ == "__main__":
    become_worker()
    main()
