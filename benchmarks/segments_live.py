"""From an accepted event to the committed transition, and from the instant time should tell to the one when it does.

Runs what `make up` runs over the world of `segments_world.py`, with 50 behavioural segments, and sends at a steady
rate from this process, on the same cores. When a transition was committed is PostgreSQL's own record
(`track_commit_timestamp`), when its event was accepted is `received_at` of the event.

Before that, in this process and in a small world of 10,000 profiles with 20 events each: what evaluating a changed
profile costs with 10, 100 and 1,000 segments that read the event, and with 1,000 of which 10 do; and what waking costs
for each of 10,000 profiles whose time has come. Both are CPU time of this process and of its PostgreSQL session.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_live.py --keep FOLDER [--profiles N] [--events N]
"""

import http.client
import json
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from home import become_worker, product
from ingest_drain import cpu_time
from segments_world import NAMES, World, arguments, world

BATCH = 20
SENDERS = 4
SECONDS = 60
WARM = 15
PEOPLE = 20_000
RATES = (1_000, 5_000)
DUE = 10_000
CHANGED = 2_000
RUNS = 5
SEGMENTS = 50
SMALL = 10_000
VISITED = {"type": "event", "event": "Visited Once", "window": {"last": "1d"}}


def definitions(count: int) -> Iterator[dict[str, Any]]:
    """Behavioural definitions of the usual kinds, each with a threshold or window of its own."""
    for number in range(count):
        name, other = NAMES[number % len(NAMES)], NAMES[(number + 2) % len(NAMES)]
        days = 1 + number % 28
        kind = number % 4
        if kind == 0:
            yield {
                "type": "event",
                "event": name,
                "op": "gte",
                "value": 1 + number % 7,
                "window": {"last": f"{days}d"},
            }
        elif kind == 1:
            yield {
                "type": "event",
                "event": "Order Completed",
                "measure": "sum",
                "of": "revenue",
                "op": "gt",
                "value": 50 + number,
                "window": {"last": f"{days}d"},
            }
        elif kind == 2:
            bought = {"type": "event", "event": "Order Completed", "window": {"last": f"{days}d"}}
            added = {"type": "event", "event": "Product Added", "window": {"last": f"{days}d"}}
            yield {"type": "all", "of": [added, {"type": "not", "of": bought}]}
        else:
            steps = [{"event": name}, {"event": other, "within": f"{days}h"}]
            yield {"type": "sequence", "steps": steps, "window": {"last": f"{days}d"}}


# --- From an event to its transition ------------------------------------------------------------------------

LATENCIES = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(t.xmin) - (
    SELECT max(e.received_at) FROM event AS e WHERE e.profile_id = t.profile_id AND e.received_at <= t.at
))::float8
FROM transition AS t WHERE t.cause = 'change' AND t.at BETWEEN %s AND %s
"""


def send(port: int, key: str, *, rate: int, seconds: float, backdated: timedelta | None = None) -> tuple[int, float]:
    """How many events were accepted, in how many seconds."""
    begun = time.monotonic()
    batches = int(rate * seconds / BATCH / SENDERS)
    accepted = [0] * SENDERS

    def run(sender: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for number in range(batches):
            ahead = begun + number * BATCH * SENDERS / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            connection.request("POST", "/v1/batch", _body(key, sender, number, backdated), HEADERS)
            answer = connection.getresponse()
            answer.read()
            accepted[sender] += BATCH if answer.status == 200 else 0

    threads = [threading.Thread(target=run, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(accepted), time.monotonic() - begun


HEADERS = {"Content-Type": "application/json"}


def _body(key: str, sender: int, number: int, backdated: timedelta | None) -> bytes:
    now = datetime.now(UTC)
    messages = []
    for place in range(BATCH):
        person = ((number * BATCH + place) * SENDERS + sender) * 7_919 % PEOPLE
        name = NAMES[(number + place) % len(NAMES)]
        spread = timedelta(seconds=60 * ((number * BATCH + place) * 13 % 997) / 997)
        messages.append(
            {
                "type": "track",
                "event": "Visited Once" if backdated else name,
                "messageId": str(uuid.uuid4()),
                "userId": f"live-{person}",
                "timestamp": (now - backdated + spread if backdated else now).isoformat(),
                "properties": {"price": 20, "revenue": 20, "category": "Shoes"},
            }
        )
    return json.dumps({"batch": messages, "writeKey": key}).encode()


def latencies(start: datetime, end: datetime) -> list[float]:
    return sorted(row[0] for row in _rows(LATENCIES, [start, end]) if row[0] is not None)


LATENESS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(t.xmin) - (
    SELECT max(e.ts) FROM event AS e JOIN event_name AS n ON n.id = e.name_id
    WHERE e.profile_id = t.profile_id AND n.name = 'Visited Once'
) - interval '1 day')::float8
FROM transition AS t JOIN segments_segment AS s ON s.id = t.segment_id
WHERE s.slug = %s AND t.kind = 'left' AND t.cause = 'time' AND t.at >= %s
"""


def live(port: int, key: str) -> list[tuple[str, str, str, str]]:
    from django.utils import timezone

    lines = []
    send(port, key, rate=1_000, seconds=WARM)
    settle()
    for rate, aims in ((RATES[0], (0.05, 0.25)), (RATES[1], (None, 1.0))):
        start = timezone.now()
        accepted, took = send(port, key, rate=rate, seconds=SECONDS)
        end = timezone.now()
        settle()
        found = latencies(start, end)
        lines.append(_line(f"event to transition at {accepted / took:,.0f}/s", found, *aims))
    start = timezone.now()
    backdated = timedelta(days=1) - timedelta(seconds=75)
    send(port, key, rate=DUE / 10, seconds=10, backdated=backdated)
    time.sleep(150)
    late = sorted(row[0] for row in _rows(LATENESS, [f"bench-{SEGMENTS}", start]) if row[0] is not None)
    lines.append(_line("lateness of what time changes", late, None, 1.0))
    return lines


def _line(what: str, found: list[float], median_aim: float | None, high_aim: float) -> tuple[str, str, str, str]:
    if not found:
        return what, "nothing", "", "BELOW THE AIM"
    median, high = statistics.median(found), found[int(len(found) * 0.99)]
    reached = high <= high_aim and (median_aim is None or median <= median_aim)
    aim = f"aim {'' if median_aim is None else f'{median_aim * 1000:.0f} / '}{high_aim * 1000:.0f} ms"
    figures = f"p50 {median * 1000:,.0f} p99 {high * 1000:,.0f} ms"
    return f"{what} ({len(found):,})", figures, aim, _verdict(reached)


def settle() -> None:
    """Until nothing waits."""
    while _rows("SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM change)", [])[0][0]:
        time.sleep(0.5)


def _rows(statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


# --- What evaluating costs ----------------------------------------------------------------------------------


def costs() -> list[tuple[str, str, str, str]]:
    """In a small world; each figure is the median of several runs."""
    with world(keep=None, profiles=SMALL, events=SMALL * 20) as made:
        lines = []
        for reading, others in ((10, 0), (10, 990), (100, 0), (1_000, 0)):
            publish([*definitions(reading), *({"type": "event", "event": f"Other {n}"} for n in range(others))])
            each = statistics.median(_evaluated(made, run) for run in range(RUNS))
            what = f"evaluate a profile, {reading + others:,} segments" + (f", {reading} touched" if others else "")
            lines.append((what, f"{each * 1e6:,.0f} µs", "", ""))
        each = statistics.median(_woken(made) for _ in range(RUNS))
        lines.append(
            (f"wake a profile, {DUE:,} at once", f"{each * 1e6:,.0f} µs", "aim 100 µs", _verdict(each <= 1e-4))
        )
        return lines


def _evaluated(made: World, run: int) -> float:
    """CPU seconds for each of `CHANGED` profiles that are said to have ordered."""
    from django.utils import timezone

    from cdp import pipeline
    from segments.changes import ProfileChange, note_changes

    ((ordered,),) = _rows("SELECT id FROM event_name WHERE name = 'Order Completed'", [])
    people = {1 + (number * 7_919 + run * 104_729) % made.profiles for number in range(CHANGED)}
    note_changes(
        ProfileChange(person, events=frozenset({ordered}), traits=frozenset(), merged=False, created=False)
        for person in sorted(people)
    )
    with cpu_time() as spent:
        while pipeline.evaluate(now=timezone.now()).claimed:
            pass
    return spent.total / len(people)


def _woken(made: World) -> float:
    """CPU seconds for each profile that leaves a window at one and the same moment."""
    from django.utils import timezone

    from cdp import pipeline

    publish([{"type": "event", "event": "Order Completed", "op": "gte", "value": 1, "window": {"last": "3650d"}}])
    now = timezone.now()
    ((segment,),) = _rows("SELECT id FROM segments_segment", [])
    _rows("DELETE FROM due RETURNING 1", [])
    _rows(
        "INSERT INTO due (profile_id, segment_id, at) SELECT n, %s, %s FROM generate_series(1, %s) AS n RETURNING 1",
        [segment, now, min(DUE, made.profiles)],
    )
    woken = 0
    with cpu_time() as spent:
        while claimed := pipeline.wake(now=timezone.now()).claimed:
            woken += claimed
    return spent.total / woken


# --- Segments -----------------------------------------------------------------------------------------------


def publish(wanted: list[dict[str, Any]]) -> None:
    """These segments and no others, computed."""
    from django.db import connection
    from django.utils import timezone

    from segments import operations
    from segments.models import Segment

    Segment.objects.all().delete()
    with connection.cursor() as cursor:
        for table in ("membership", "transition", "due", "change"):
            cursor.execute(f"TRUNCATE {table}")
    for number, definition in enumerate(wanted):
        segment = operations.create_segment(name=f"Bench {number}", definition=definition, now=timezone.now())
        operations.recompute(segment_id=segment.pk, now=timezone.now())
    failed = Segment.objects.exclude(state=Segment.State.LIVE).first()
    if failed:
        raise SystemExit(f"{failed.name} is {failed.state}: {failed.error}")


def _verdict(reached: bool) -> str:
    return "reached" if reached else "below the aim"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=("costs", "live", "all"), default="all")
    given = parser.parse_args()
    if given.keep is None and given.part != "costs":
        raise SystemExit("Name a folder with --keep: several programs ask the world one after the other.")
    if given.part in {"costs", "all"}:
        show(costs())
    if given.part in {"live", "all"}:
        with world(keep=given.keep, profiles=given.profiles, events=given.events) as made:
            publish([*definitions(SEGMENTS), VISITED])
            key = source_key(made)
        with product(keep=given.keep) as (_, port):
            show(live(port, key))


def source_key(made: World) -> str:
    """Of a source of its own; and the server is told to keep when transactions were committed, from its next start."""
    from django.db import connection

    from ingestion import operations

    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    return operations.create_source(name="Live", now=made.now)[1]


def show(lines: list[tuple[str, str, str, str]]) -> None:
    for line in lines:
        print("{:56} {:>26} {:>18} {}".format(*line), flush=True)


if __name__ == "__main__":
    become_worker()
    main()
