"""How many events one core drains in a second, beside a raw COPY of the same rows into the same indexes.

Counted is the CPU time of this process and of its PostgreSQL session, over the whole drain: claim, decode, consent,
de-duplication, identities, events, traits, notes for evaluation, commit. Run it alone:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_drain.py
"""

import contextlib
import io
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
from home import become_worker, servers
from traffic import BATCH, Traffic

RUNS = 5
BATCHES = 200  # of 100 events, a run
PEOPLE = 20_000
AIM, MUST = 0.30, 0.15


@dataclass
class Cpu:
    client: float = 0.0
    server: float = 0.0

    @property
    def total(self) -> float:
        return self.client + self.server


@dataclass(frozen=True)
class Result:
    drain: float
    client: float
    server: float
    raw: float
    ratio: float


def measure() -> Result:
    """Medians over the runs; rates in events per core-second, `client` and `server` in µs an event."""
    with servers():
        from django.utils import timezone

        from ingestion import operations

        source, _ = operations.create_source(name="Benchmark", now=timezone.now())
        traffic = Traffic(people=PEOPLE)
        make_yardstick(timezone.now())
        run(source.pk, traffic, timezone.now(), batches=400)  # most people are known by then
        rounds = [run(source.pk, traffic, timezone.now()) for _ in range(RUNS)]
    return summary(rounds)


def summary(rounds: list[tuple["Cpu", "Cpu"]]) -> Result:
    """Of runs of `BATCHES` each: drained, copied."""
    events = BATCHES * BATCH
    return Result(
        drain=events / statistics.median(cpu.total for cpu, _ in rounds),
        client=statistics.median(cpu.client for cpu, _ in rounds) / events * 1e6,
        server=statistics.median(cpu.server for cpu, _ in rounds) / events * 1e6,
        raw=events / statistics.median(cpu.total for _, cpu in rounds),
        ratio=statistics.median(raw.total / cpu.total for cpu, raw in rounds),
    )


def run(source_id: int, traffic: Traffic, now: datetime, *, batches: int = BATCHES) -> tuple[Cpu, Cpu]:
    """Drain once, then copy the same rows raw; the CPU time of both."""
    drained = drain(source_id, traffic, now, batches=batches)
    chunks = exported(now)
    with cpu_time() as copied:
        for chunk in chunks:
            copy(chunk)
    return drained, copied


def drain(source_id: int, traffic: Traffic, now: datetime, *, batches: int = BATCHES) -> Cpu:
    from cdp import pipeline
    from ingestion import operations

    for body in traffic.batches(batches, now=now):
        operations.accept(source_id=source_id, kind="batch", events=BATCH, body=body, remote_addr="", now=now)
    prepare(now)
    with cpu_time() as drained:
        stored = 0
        while step := pipeline.drain(now=now).stored:
            stored += step
    if stored != batches * BATCH:
        raise SystemExit(f"{stored} of {batches * BATCH} events were stored")
    return drained


@contextlib.contextmanager
def cpu_time() -> Iterator[Cpu]:
    """User and system time, in seconds, that this process and its database session take inside of the block."""
    from django.db import connection

    connection.ensure_connection()
    client, server = psutil.Process(), psutil.Process(connection.connection.info.backend_pid)
    spent = Cpu()
    before = [sum(process.cpu_times()[:2]) for process in (client, server)]
    yield spent
    after = [sum(process.cpu_times()[:2]) for process in (client, server)]
    spent.client, spent.server = (end - start for start, end in zip(before, after, strict=True))


def prepare(now: datetime) -> None:
    """Names and partitions exist on a deployment that has run for a day."""
    from ingestion import partitions

    partitions.ensure_ahead(today=now.date())


def make_yardstick(now: datetime) -> None:
    """The months of the event log once more, indexes included, written to by raw COPY only."""
    from django.db import connection

    from ingestion import partitions

    months = {partitions.month_of(now), partitions.month_of(now - timedelta(days=1))}
    partitions.ensure_event_partitions(months)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS yardstick (LIKE event INCLUDING ALL) PARTITION BY RANGE (ts)")
        for month in months:
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS yardstick_{month:%Y_%m} PARTITION OF yardstick"
                " FOR VALUES FROM (%s) TO (%s)",
                [month, partitions.next_month(month)],
            )


def exported(now: datetime) -> list[bytes]:
    """The rows of one run as binary COPY, in the order and in the chunks in which they were written."""
    from django.db import connection

    from cdp.drain import BACKLOG_EVENTS

    chunks = []
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM event WHERE received_at = %s", [now])
        (total,) = cursor.fetchone()
        for start in range(0, total, BACKLOG_EVENTS):
            buffer = io.BytesIO()
            statement = cursor.mogrify(
                "COPY (SELECT * FROM event WHERE received_at = %s ORDER BY tableoid, ctid OFFSET %s LIMIT %s)"
                " TO STDOUT (FORMAT binary)",
                [now, start, BACKLOG_EVENTS],
            )
            cursor.copy_expert(statement.decode() if isinstance(statement, bytes) else statement, buffer)
            chunks.append(buffer.getvalue())
    return chunks


def copy(chunk: bytes) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.copy_expert("COPY yardstick FROM STDIN (FORMAT binary)", io.BytesIO(chunk))


def report() -> list[tuple[str, str, str, str]]:
    result = measure()
    verdict = "reached" if result.ratio >= AIM else "below the aim" if result.ratio >= MUST else "BELOW THE MINIMUM"
    return [
        ("drain, events per core-second", f"{result.drain:,.0f}", f"raw COPY {result.raw:,.0f}", ""),
        ("  of raw COPY", f"{result.ratio:.2f}", f"aim {AIM:.2f}", verdict),
        ("  µs an event, client + server", f"{result.client:.1f} + {result.server:.1f}", "", ""),
    ]


if __name__ == "__main__":
    become_worker()
    for line in report():
        print("{:36} {:>16} {:>24} {}".format(*line))
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
