"""What an event costs while the log grows: the drain at 1, 5 and 20 million stored events, by turns.

A log grows in two ways, which are measured one after the other:

- A month after the other at the same rate, `A_MONTH`: older months are partitions of their own.
- By a higher rate: all of it came within the last day, so that every key is as large as what is stored.

Each size is a deployment of its own, with events, the profiles behind them (one for 20 events), their identifiers and
seen messages made by SQL. All of them stand side by side, and rounds as in `ingest_drain.py` go from one to the next:
what the machine gives at that moment is the same for all. A figure is the median over the rounds, and what it is
against the smallest size the median of the rounds' own ratios.

The same number of people is active at each size, drawn from all profiles, so that nothing but what is stored grows.
Then everybody is: nearly nobody is remembered from the chunk before, and nearly every event goes to other pages.

All are measured twice: right after a checkpoint, when every page that is written to goes into the write-ahead log
in full, and `BETWEEN` events later, as it is for most of the time until the next.

It takes long and much disk (20 million: 28 GB once filled), and is therefore not part of `make bench`:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_scale.py [--keep FOLDER] [--active some] [millions …]

With `--keep` the data stays in that folder, and a run after one that was stopped goes on from what is stored there.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import ingest_drain as drain
import stored
from home import become_worker, servers
from traffic import BATCH, Traffic

RUNS = 8
BETWEEN = 300_000
EVENTS_A_PROFILE = 20
ACTIVE = 20_000
ACTIVITIES = ("some", "everybody")
A_MONTH = 1_000_000

PROGRESS = """
CREATE TABLE IF NOT EXISTS bench_progress (events bigint NOT NULL, people bigint NOT NULL);
INSERT INTO bench_progress SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM bench_progress)
"""


# --- One size ------------------------------------------------------------------------------------------------


def serve(size: int, days: float, keep: Path) -> None:
    """Hold so many events of so many days, and answer each line of standard input with one of JSON."""
    with servers(keep=keep):
        from django.db import connection
        from django.utils import timezone

        from cdp import pipeline
        from ingestion import operations, partitions
        from ingestion.models import Source

        known = Source.objects.order_by("pk").first()
        source = known or operations.create_source(name="Benchmark", now=timezone.now())[0]
        with connection.cursor() as cursor:
            cursor.execute(PROGRESS)
        partitions.begin_seen_week((timezone.now() - partitions.WEEK).date())
        while pipeline.drain(now=timezone.now()).rows:
            pass  # what a run that was stopped has left in the inbox
        drain.run(source.pk, Traffic(people=1_000, seed=time.time_ns()), timezone.now(), batches=10)
        grow(size, timedelta(days=days), source.pk)
        print("{}", flush=True)
        traffic = Traffic(people=1)
        for line in sys.stdin:
            answer: dict[str, Any] = {}
            match line.split():
                case ["begin", activity]:
                    traffic = begin(size, activity, source.pk)
                case ["round"]:
                    drained, raw = drain.run(source.pk, traffic, timezone.now())
                    answer = {"client": drained.client, "server": drained.server, "raw": raw.total}
                case ["between"]:
                    go_on(source.pk, traffic, BETWEEN - RUNS * drain.BATCHES * BATCH)
            print(json.dumps(answer), flush=True)


def begin(size: int, activity: str, source_id: int) -> Traffic:
    """Let these people come until the pages that they need are at hand, and flush every page."""
    from django.db import connection

    people = size // EVENTS_A_PROFILE
    active = people if activity == "everybody" else min(ACTIVE, people)
    traffic = Traffic(people=active, among=people, seed=time.time_ns())  # messages that no earlier run has sent
    go_on(source_id, traffic, BETWEEN)
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    return traffic


def go_on(source_id: int, traffic: Traffic, events: int) -> None:
    from django.utils import timezone

    for _ in range(0, events, drain.BATCHES * BATCH):
        drain.drain(source_id, traffic, timezone.now())


def grow(end: int, history: timedelta, source_id: int) -> None:
    """Up to `end` stored events, from what there is. Each step says in its own transaction that it was done."""
    from django.db import connection, transaction
    from django.utils import timezone

    people = end // EVENTS_A_PROFILE
    with connection.cursor() as cursor:
        cursor.execute("SELECT events, people FROM bench_progress")
        start, known = cursor.fetchone()
    if people > known:
        with transaction.atomic(), connection.cursor() as cursor:
            stored.add_people(known, people, timezone.now())
            cursor.execute("UPDATE bench_progress SET people = %s", [people])

    def note(count: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE bench_progress SET events = events + %s", [count])

    if end > start:
        now = timezone.now()
        stored.add_events(start, end, people=people, source_id=source_id, until=now, history=history, step_done=note)


# --- All of them ---------------------------------------------------------------------------------------------


class Size:
    """One of them, in a process of its own."""

    def __init__(self, events: int, days: float, folder: Path) -> None:
        self.events = events
        folder /= f"{events}-in-{days:.0f}-days"
        command = [sys.executable, __file__, "--serve", str(events), str(days), "--keep", str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def ask(self, line: str) -> dict[str, float]:
        print(line, file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.events:,} events: ended with {self.process.wait()}")
        found: dict[str, float] = json.loads(line)
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def side_by_side(sizes: dict[int, float], keep: Path | None) -> Iterator[list[Size]]:
    """Deployments of so many events within so many days each, in rising order."""
    folder = keep or Path(tempfile.mkdtemp(prefix="cdp-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(contextlib.closing(Size(*size, folder))) for size in sorted(sizes.items())]
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def rounds(sizes: list[Size]) -> list[list[dict[str, float]]]:
    """For each turn what each size took, in µs an event; every second turn goes the other way round."""
    turns = []
    for turn in range(RUNS):
        order = sizes if turn % 2 == 0 else sizes[::-1]
        found = {one.events: one.ask("round") for one in order}
        events = drain.BATCHES * BATCH / 1e6
        turns.append([{name: seconds / events for name, seconds in found[one.events].items()} for one in sizes])
    return turns


def print_turns(sizes: list[Size], title: str) -> None:
    heads = ("stored", "client µs", "server µs", "raw µs", "share", "of least")
    print(title, "{:>12} {:>10} {:>10} {:>10} {:>6} {:>8}".format(*heads), sep="\n")
    print(*lines(sizes, rounds(sizes)), sep="\n", flush=True)


def lines(sizes: list[Size], turns: list[list[dict[str, float]]]) -> Iterator[str]:
    for place, one in enumerate(sizes):
        mine = [turn[place] for turn in turns]
        client, server, raw = (statistics.median(each[name] for each in mine) for name in ("client", "server", "raw"))
        whole = [each["client"] + each["server"] for each in mine]
        share = statistics.median(each["raw"] / cost for each, cost in zip(mine, whole, strict=True))
        least = [turn[0]["client"] + turn[0]["server"] for turn in turns]
        grown = statistics.median(cost / small for cost, small in zip(whole, least, strict=True))
        yield f"{one.events:12,} {client:10.1f} {server:10.1f} {raw:10.1f} {share:6.2f} {grown:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the data stays for the next run")
    parser.add_argument("--active", choices=ACTIVITIES, help="measure only with these people, not with both")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("millions", type=float, nargs="*", default=[1, 5, 20])
    asked = parser.parse_args()
    if asked.serve:
        serve(int(asked.serve[0]), float(asked.serve[1]), asked.keep)
        return
    began = time.monotonic()
    sizes = [int(millions * 1_000_000) for millions in asked.millions]
    activities = [asked.active] if asked.active else ACTIVITIES
    compare({size: 30 * size / A_MONTH for size in sizes}, f"{A_MONTH:,} a month", activities, asked.keep)
    compare(dict.fromkeys(sizes, 1.0), "all of the last day", activities, asked.keep)
    print(f"{time.monotonic() - began:,.0f} s, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)


def compare(sizes: dict[int, float], history: str, activities: Sequence[str], keep: Path | None) -> None:
    with side_by_side(sizes, keep) as deployments:
        for activity in activities:
            for one in deployments:
                one.ask(f"begin {activity}")
            print_turns(deployments, f"{history}, {activity} active, right after a checkpoint")
            for one in deployments:
                one.ask("between")
            print_turns(deployments, f"{history}, {activity} active, {BETWEEN:,} events after it")


if __name__ == "__main__":
    become_worker()
    main()
