"""From an accepted event to the committed transition, and from the instant time should tell to the one when it does.

Runs what `make up` runs over the world of `segments_world.py`, with 50 behavioural segments, and sends at a steady
rate from this process, on the same cores. When a transition was committed is PostgreSQL's own record
(`track_commit_timestamp`), when its event was accepted is `received_at` of the event. The memory of the workers is
looked at twice a second meanwhile.

Before that, in this process and in a small world of 10,000 profiles with 20 events each: what evaluating a changed
profile costs with 10, 100 and 1,000 segments, and with 1,000 of which few read the event; and what waking costs for
each of 10,000 profiles whose time has come. Both are CPU time of this process and of its PostgreSQL session.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_live.py --keep FOLDER [--profiles N] [--events N]
        [--part costs|live|all] [--seconds 60] [--rates 1000,5000]

Each figure is printed when it is known. The costs take some minutes; the rest about as long as asking the world 51
segments, once for a folder, and then three times `--seconds` and two minutes.
"""

import argparse
import http.client
import json
import statistics
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from home import become_worker, product, servers
from ingest_drain import cpu_time
from segments_world import NAMES, World, arguments, make, world

BATCH = 20
SENDERS = 4
WARM = 15
PEOPLE = 20_000
RUN = uuid.uuid4().hex[:8]
"""Each run has people of its own: those of an earlier one are in every segment already, and stay there."""
DUE = 10_000
AHEAD = timedelta(seconds=30)
SETTLE_SECONDS = 120
CHANGED = 2_000
RUNS = 3
SEGMENTS = 50
SMALL = 10_000
MEGABYTES = 500
VISITED = {"type": "event", "event": "Visited Once", "window": {"last": "1d"}}
LATELY = {"type": "event", "event": "Order Completed", "window": {"last": "1h"}}


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
                "userId": f"live-{RUN}-{person}",
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


def live(port: int, key: str, given: argparse.Namespace) -> Iterator[tuple[str, str, str, str]]:
    from django.utils import timezone

    send(port, key, rate=1_000, seconds=WARM)
    settle()
    for rate in given.rates:
        start = timezone.now()
        accepted, took = send(port, key, rate=rate, seconds=given.seconds)
        end = timezone.now()
        behind = settle()
        aims = (0.05, 0.25) if rate <= 1_000 else (None, 1.0)
        yield _line(f"event to transition at {accepted / took:,.0f}/s", latencies(start, end), *aims)
        yield "  worked off after the last event", f"{behind:.1f} s", "", ""
    start = timezone.now()
    send(port, key, rate=DUE // 10, seconds=10, backdated=timedelta(days=1) - AHEAD)
    settle()
    time.sleep(max(0.0, (start + AHEAD + timedelta(seconds=70) - timezone.now()).total_seconds()))
    late = sorted(row[0] for row in _rows(LATENESS, [f"bench-{SEGMENTS}", start]) if row[0] is not None)
    yield _line("lateness of what time changes", late, None, 1.0)


def _line(what: str, found: list[float], median_aim: float | None, high_aim: float) -> tuple[str, str, str, str]:
    if not found:
        return what, "nothing", "", "BELOW THE AIM"
    median, high = statistics.median(found), found[int(len(found) * 0.99)]
    reached = high <= high_aim and (median_aim is None or median <= median_aim)
    aim = f"aim {'' if median_aim is None else f'{median_aim * 1000:.0f} / '}{high_aim * 1000:.0f} ms"
    figures = f"p50 {median * 1000:,.0f} p99 {high * 1000:,.0f} ms"
    return f"{what} ({len(found):,})", figures, aim, _verdict(reached)


def settle() -> float:
    """Until nothing waits; returns after how many seconds that was."""
    begun = time.monotonic()
    while waiting := _rows("SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM change)", [])[0][0]:
        if time.monotonic() - begun > SETTLE_SECONDS:
            raise SystemExit(f"{waiting:,} rows still wait {SETTLE_SECONDS} s after the last event.")
        time.sleep(0.1)
    return time.monotonic() - begun


class Memory:
    """The largest of the workers that evaluate, as long as it is watched."""

    def __init__(self, home: Path) -> None:
        supervisor = psutil.Process(int((home / "run.pid").read_text()))
        self.workers = [
            process
            for process in supervisor.children(recursive=True)
            if "--hostname=worker-evaluate@" in _command(process)
        ]
        self.most = 0
        self.over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.over.wait(0.5):
            for worker in self.workers:
                if worker.is_running():
                    self.most = max(self.most, worker.memory_info().rss)

    def line(self) -> tuple[str, str, str, str]:
        self.over.set()
        most = self.most / 1e6
        return "largest evaluating worker", f"{most:,.0f} MB", f"aim {MEGABYTES} MB", _verdict(0 < most < MEGABYTES)


def _command(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _rows(statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


# --- What evaluating costs ----------------------------------------------------------------------------------


def costs() -> Iterator[tuple[str, str, str, str]]:
    """In a small world; medians of some runs."""
    with servers() as home:
        made = make(home, profiles=SMALL, events=SMALL * 20)
        reading = _put(definitions(1_000))
        others = _put({"type": "event", "event": f"Other {number}"} for number in range(990))
        (lately,) = _put([LATELY])
        for some in (reading[:10], reading[:10] + others, reading[:100], reading):
            touched = _only(some)
            _evaluated(made)  # who is in is written
            each = statistics.median(_evaluated(made) for _ in range(RUNS))
            what = f"evaluate a profile, {len(some):,} segments, {touched} touched"
            yield what, f"{each * 1e6:,.0f} µs", f"{each / touched * 1e6:,.1f} µs a segment", ""
        _only([lately])
        each = statistics.median(_woken(made, lately) for _ in range(RUNS))
        yield f"wake a profile, {DUE:,} at once", f"{each * 1e6:,.0f} µs", "aim 100 µs", _verdict(each <= 1e-4)


def _put(wanted: Iterable[dict[str, Any]]) -> list[int]:
    """Segments as they are once published, in one go and with nobody in them; their ids."""
    from django.utils import timezone

    from segments.ast import parse
    from segments.dependencies import dependencies
    from segments.models import Dependency, Segment

    now, first = timezone.now(), Segment.objects.count()
    made = Segment.objects.bulk_create(
        Segment(slug=f"bench-{n}", name=f"Bench {n}", definition=definition, created_at=now, updated_at=now)
        for n, definition in enumerate(wanted, first)
    )
    Dependency.objects.bulk_create(
        Dependency(segment=segment, kind=Dependency.Kind.EVENT, key=name)
        for segment in made
        for name in dependencies(parse(segment.definition)).events
    )
    return [segment.pk for segment in made]


def _only(some: list[int]) -> int:
    """Have no other segments than these live; how many of them read the event that the changes name."""
    from segments.models import Dependency, Segment

    Segment.objects.exclude(pk__in=some).update(state=Segment.State.ARCHIVED)
    Segment.objects.filter(pk__in=some).update(state=Segment.State.LIVE)
    return Dependency.objects.filter(segment__in=some, kind="event", key="Order Completed").count()


def _evaluated(made: World) -> float:
    """CPU seconds for each of `CHANGED` profiles that are said to have ordered."""
    from django.utils import timezone

    from cdp import pipeline
    from segments.changes import ProfileChange, note_changes

    ((ordered,),) = _rows("SELECT id FROM event_name WHERE name = 'Order Completed'", [])
    people = sorted({1 + number * 7_919 % made.profiles for number in range(CHANGED)})
    note_changes(
        ProfileChange(person, events=frozenset({ordered}), traits=frozenset(), merged=False, created=False)
        for person in people
    )
    with cpu_time() as spent:
        while pipeline.evaluate(now=timezone.now()).claimed:
            pass
    return spent.total / len(people)


_AND_DUE = """
INSERT INTO due (profile_id, segment_id, at) SELECT n, %s, %s FROM generate_series(1, %s) AS n
ON CONFLICT (profile_id, segment_id) DO UPDATE SET at = excluded.at RETURNING 1
"""
_AND_IN = """
INSERT INTO membership (profile_id, segment_id, entered_at) SELECT n, %s, %s FROM generate_series(1, %s) AS n
ON CONFLICT DO NOTHING RETURNING 1
"""


def _woken(made: World, segment: int) -> float:
    """CPU seconds for each profile that leaves a window at one and the same moment."""
    from django.utils import timezone

    from cdp import pipeline

    now, count = timezone.now(), min(DUE, made.profiles)
    for statement in (_AND_DUE, _AND_IN):
        _rows(statement, [segment, now, count])
    woken = 0
    with cpu_time() as spent:
        while claimed := pipeline.wake(now=timezone.now()).claimed:
            woken += claimed
    return spent.total / woken


# --- Segments -----------------------------------------------------------------------------------------------


def publish(wanted: Iterable[dict[str, Any]]) -> list[int]:
    """These segments, computed; their ids."""
    from django.utils import timezone

    from segments import operations
    from segments.models import Segment

    published = []
    for definition in wanted:
        number = Segment.objects.count()
        segment = operations.create_segment(
            slug=f"bench-{number}", name=f"Bench {number}", definition=definition, now=timezone.now()
        )
        operations.recompute(segment_id=segment.pk, now=timezone.now())
        published.append(segment.pk)
    failed = Segment.objects.exclude(state=Segment.State.LIVE).first()
    if failed:
        raise SystemExit(f"{failed.name} is {failed.state}: {failed.error}")
    return published


def prepare() -> None:
    """The segments of the live part and no others; left as they are where the folder has them from the last time."""
    from django.db import connection

    from segments.models import Segment

    wanted = [*definitions(SEGMENTS), VISITED]
    there = list(Segment.objects.order_by("pk").values_list("definition", "state", "slug"))
    if there == [(definition, "live", f"bench-{number}") for number, definition in enumerate(wanted)]:
        return
    Segment.objects.all().delete()
    with connection.cursor() as cursor:
        for table in ("membership", "transition", "due", "change"):
            cursor.execute(f"TRUNCATE {table}")
    begun = time.perf_counter()
    publish(wanted)
    show([(f"publish {len(wanted)} segments", f"{time.perf_counter() - begun:,.0f} s", "", "")])


def _verdict(reached: bool) -> str:
    return "reached" if reached else "below the aim"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=("costs", "live", "all"), default="all")
    parser.add_argument("--seconds", type=int, default=60, help="how long each rate is kept up")
    parser.add_argument("--rates", type=_numbers, default=[1_000, 5_000], help="events a second")
    given = parser.parse_args()
    if given.keep is None and given.part != "costs":
        raise SystemExit("Name a folder with --keep: several programs ask the world one after the other.")
    if given.part in {"costs", "all"}:
        show(costs())
    if given.part in {"live", "all"}:
        with world(keep=given.keep, profiles=given.profiles, events=given.events) as made:
            prepare()
            key = source_key(made)
            _hang_up()
        with product(keep=given.keep) as (home, port):
            memory = Memory(home)
            show(live(port, key, given))
            show([memory.line()])


def _hang_up() -> None:
    """The server of the world stops, and the product starts another."""
    from django.db import connection

    connection.close()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def source_key(made: World) -> str:
    """Of a source of its own; and the server is told to keep when transactions were committed, from its next start."""
    from django.db import connection

    from ingestion import operations

    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    return operations.create_source(name=f"Live {uuid.uuid4().hex[:8]}", now=made.now)[1]


def show(lines: Iterable[tuple[str, str, str, str]]) -> None:
    for line in lines:
        print("{:56} {:>26} {:>18} {}".format(*line), flush=True)


if __name__ == "__main__":
    become_worker()
    main()
