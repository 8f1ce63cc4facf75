"""How many events one core drains in a second, beside a raw COPY of such rows into the same log.

Counted is the CPU time of this process and of its PostgreSQL session, over the whole drain: claim, decode, consent,
de-duplication, identities, events, traits, notes for evaluation, commit. The yardstick is binary COPY of the rows that
came of it, with new ids and dealt out anew among the same people, in chunks and an order of the same kind: so both
write to the same indexes.

A million events are stored before. Messages come as they happen, but for a share of `LATE`, and once more as a
backlog of a whole day. Run it alone:

    PYTHONPATH=. .venv/bin/python benchmarks/ingest_drain.py
"""

import contextlib
import io
import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import psutil
import stored
from home import become_worker, servers
from traffic import BATCH, LATE, Traffic

RUNS = 9
BATCHES = 200  # of 100 events, a run
WARM_UP = 1_500  # batches, after which all but one in a thousand of the people have come
PEOPLE = 20_000
STORED = 1_000_000
AIM, MUST = 0.30, 0.15
COLUMNS = "ts, id, profile_id, name_id, value, properties, context, source_id, received_at, origin_id"
SLACK = 200  # pages before a table's end that may have had room
FOUND = 0.99  # of a run's rows: a few went to pages that had room further before


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


def measure() -> dict[str, Result]:
    """Medians over the runs, by the kind of traffic; rates in events per core-second, `client` and `server` in µs."""
    found = {}
    with servers():
        from django.db import connection
        from django.utils import timezone

        from ingestion import operations

        source, _ = operations.create_source(name="Benchmark", now=timezone.now())
        run(source.pk, Traffic(people=1_000, seed=0), timezone.now(), batches=10)
        stored.add_people(0, PEOPLE, timezone.now())
        stored.add_events(0, STORED, people=PEOPLE, source_id=source.pk, until=timezone.now())
        with connection.cursor() as cursor:
            cursor.execute("CHECKPOINT")  # else it is written to the disk beside the first rounds
        for kind, late in (("as it happens", LATE), ("a day's backlog", 1.0)):
            traffic = Traffic(people=PEOPLE, seed=len(found) + 1, late=late)
            drain(source.pk, traffic, timezone.now(), batches=WARM_UP)
            found[kind] = summary([run(source.pk, traffic, timezone.now()) for _ in range(RUNS)])
    return found


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
    """Drain once, then copy rows like those that were stored; the CPU time of both."""
    prepare(now)
    begins = pages()
    drained = drain(source_id, traffic, now, batches=batches)
    chunks = exported(now, begins=begins, count=batches * BATCH)
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


def pages() -> dict[str, int]:
    """How long each month of the log is by now."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relid::text, pg_relation_size(relid) / 8192 FROM pg_partition_tree('event') WHERE isleaf"
        )
        return dict(cursor.fetchall())


def exported(now: datetime, *, begins: dict[str, int], count: int) -> list[bytes]:
    """The rows that one run has stored as binary COPY, with new ids, dealt out anew among the same people."""
    from django.db import connection

    from cdp.drain import BACKLOGS

    most = BACKLOGS[-1]
    dealt = COLUMNS.replace(" id", " gen_random_uuid() AS id").replace("profile_id", "other.profile_id")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE run (place bigserial, LIKE event)")
        for month, first in begins.items():
            cursor.execute(
                f"INSERT INTO run ({COLUMNS}) SELECT {COLUMNS} FROM {month}"
                f" WHERE ctid >= '({max(0, first - SLACK)},0)' AND received_at = %s ORDER BY ctid",
                [now],
            )
        cursor.execute("SELECT count(*) FROM run")
        (found,) = cursor.fetchone()
        if found < FOUND * count:
            raise SystemExit(f"{found} of {count} rows were found again")
        chunks = []
        for start in range(0, found, most):
            buffer = io.BytesIO()
            cursor.copy_expert(
                f"COPY (SELECT {dealt} FROM run"
                " JOIN (SELECT profile_id, row_number() OVER (ORDER BY random()) AS place FROM run) AS other"
                f" USING (place) WHERE place > {start} AND place <= {start + most}"
                " ORDER BY other.profile_id, name_id) TO STDOUT (FORMAT binary)",
                buffer,
            )
            chunks.append(buffer.getvalue())
        cursor.execute("DROP TABLE run")
    return chunks


def copy(chunk: bytes) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY event ({COLUMNS}) FROM STDIN (FORMAT binary)", io.BytesIO(chunk))


def report() -> list[tuple[str, str, str, str]]:
    lines = []
    for kind, result in measure().items():
        verdict = (
            "reached" if result.ratio >= AIM else "below the aim" if result.ratio >= MUST else "BELOW THE MINIMUM"
        )
        lines += [
            (f"drain, {kind}", f"{result.drain:,.0f}/core-s", f"raw COPY {result.raw:,.0f}", ""),
            ("  of raw COPY", f"{result.ratio:.2f}", f"aim {AIM:.2f}", verdict),
            ("  µs an event, client + server", f"{result.client:.1f} + {result.server:.1f}", "", ""),
        ]
    return lines


if __name__ == "__main__":
    become_worker()
    for line in report():
        print("{:36} {:>16} {:>24} {}".format(*line))
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
