"""One record that arrives, against a million that are there: CPU of client and server, and how exact the stream ends.

Everything is counted that the worker does when it is woken: whether something is to be merged, the change's claim, its
record and keys, the lookup of its blocks in PostgreSQL, loading and scoring those that share one, evidence, the
candidates written, and whether more waits. Arrivals come one at a time, and in turns as the worker takes them under
load. The second part streams a smaller set with known truth, merging as it comes, and compares
where it ends with matching the whole at once.

    PYTHONPATH=. .venv/bin/python benchmarks/identity_incremental.py [1000000] [--stream 4000] [--draw 2]

To fill the database takes longer than all else. With `--keep FOLDER` it stays there for the next time, and nothing is
streamed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import identity_people
import numpy as np
from home import become_worker, servers

RECORDS, ARRIVALS, STREAMED = 1_000_000, 1_000, 4_000
SPARE = 20_000  # people who have not arrived yet
MODEL_FROM = 50_000
PAGE = 5_000
TURN = 200
TURNS = (10, 100, TURN)
ACCEPT = 0.9
STAMP = [0, 1, 0]
DRAW = 2
AIM_P50, AIM_P99, AIM_F1 = 5.0, 30.0, 0.003


def report(
    records: int = RECORDS, streamed: int = STREAMED, *, draw: int = DRAW, keep: Path | None = None
) -> Iterator[tuple[str, str, str, str]]:
    with servers(keep=keep):
        alone, turns = measure_arrivals(records)
        p50, p99 = np.percentile([spent.milliseconds for spent in alone], [50, 99])
        server = np.median([spent.server for spent in alone])
        name = f"one arrival against {records:,}, CPU ms"
        yield (name + " p50", f"{p50:.1f}", f"aim {AIM_P50:g}", "reached" if p50 <= AIM_P50 else "ABOVE THE AIM")
        yield ("  p99", f"{p99:.1f}", f"aim {AIM_P99:g}", "reached" if p99 <= AIM_P99 else "ABOVE THE AIM")
        yield ("  of the p50 in PostgreSQL", f"{server:.1f}", "", "")
        for size, costs in turns.items():
            yield (f"  in turns of {size}, an arrival", f"{np.mean(costs):.1f}", "", "")
        if keep:
            return
        gap, streamed_f1, batch_f1, before = measure_stream(streamed, draw)
        yield (
            f"F1 of {streamed:,} streamed",
            f"{streamed_f1:.4f}",
            f"at once {batch_f1:.4f}",
            f"before the full pass {before:.4f}; " + ("reached" if gap <= AIM_F1 else "ABOVE THE AIM"),
        )


# --- One at a time -----------------------------------------------------------------------------------------
def measure_arrivals(records: int) -> tuple[list["Spent"], dict[int, list[float]]]:
    """What arrivals cost that come alone, and an arrival in turns of several, by their size."""
    from django.db.models import Max
    from django.utils import timezone

    from cdp import pipeline
    from identity.candidates import queue
    from identity.models import Profile

    people = identity_people.people(records + SPARE)
    latest = Profile.objects.aggregate(latest=Max("pk"))["latest"]
    if latest is None:
        fill(people, records, make_live(people, min(MODEL_FROM, records)))
        latest = records
    if latest < records or latest + (1 + len(TURNS)) * ARRIVALS > records + SPARE:
        raise SystemExit("What is kept there is not whole, or has seen too many arrivals: remove it.")
    clock = Clock()

    def arrive(ids: range) -> Spent:
        insert(people, ids)
        queue.note_changed(set(ids))
        with clock.measured() as spent:
            more = pipeline.match(now=timezone.now()).more
        assert not more
        assert queue.is_empty()
        return spent

    first = latest + 1
    alone = [arrive(range(id_, id_ + 1)) for id_ in range(first, first + ARRIVALS)]
    turns = {}
    for size in TURNS:
        first += ARRIVALS
        starts = range(first, first + ARRIVALS, size)
        turns[size] = [arrive(range(start, start + size)).milliseconds / size for start in starts]
    return alone, turns


def make_live(people: identity_people.People, records: int) -> Any:
    """A model estimated from the first records, live, over traits that are called as the columns are."""
    import msgspec
    from django.utils import timezone

    from identity import matching
    from identity.candidates.fields import dump_fields
    from identity.candidates.live import load_live
    from identity.candidates.models import MatchModel
    from identity.matching.contracts import ColumnType

    fields = fields_of(people)
    columns = {name: values[:records] for name, values in people.columns.items()}
    result = matching.match(columns, {field.column: ColumnType(field.type) for field in fields})
    MatchModel.objects.create(
        state="live",
        parameters=msgspec.to_builtins(result.model),
        summary={"fields": dump_fields(fields), "profiles": records},
        created_at=timezone.now(),
        activated_at=timezone.now(),
    )
    return load_live()


def fields_of(people: identity_people.People) -> list[Any]:
    from identity.candidates.contracts import Field
    from identity.matching.contracts import ColumnType

    return [Field(name, ColumnType(type_), (name,)) for name, type_ in people.types.items()]


def fill(people: identity_people.People, there: int, live: Any) -> None:
    """Profiles, records and keys of those that are there, straight by COPY; indexes are made afterwards."""
    from django.db import connection

    from identity.candidates.keyrows import add_rows, wanted_rows
    from identity.candidates.records import record_of
    from identity.candidates.store import copy_records, dump_record, load_people

    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX match_key_by_key; ALTER TABLE match_key DROP CONSTRAINT match_key_pkey")
    for start in range(1, there + 1, PAGE):
        ids = range(start, min(start + PAGE, there + 1))
        insert(people, ids)
        known = load_people(ids)
        said = {id_: [record_of(known[id_], live.fields)] for id_ in ids}
        copy_records({(id_, id_): dump_record(record) for id_, (record,) in said.items()})
        add_rows(wanted_rows(said, live))
        if start // PAGE % 20 == 0:
            print(f"{start - 1:,} there after {time.monotonic() - began:.0f} s", file=sys.stderr)
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        cursor.execute("ALTER TABLE match_key ADD PRIMARY KEY (profile_id, key)")
        cursor.execute("CREATE INDEX match_key_by_key ON match_key (key, profile_id)")
        cursor.execute("VACUUM ANALYZE match_key, match_record, profile")
        cursor.execute("SELECT count(*), pg_total_relation_size('match_key') FROM match_key")
        count, size = cursor.fetchone()
    took = time.monotonic() - began
    print(f"{count / there:.1f} keys a record, {size / 1e9:.2f} GB; {took:.0f} s", file=sys.stderr)


def insert(people: identity_people.People, ids: Any) -> None:
    """Profiles whose traits are the columns of these rows, all told by one source at once; ids count from 1."""
    said = (
        (id_, {name: values[id_ - 1] for name, values in people.columns.items() if values[id_ - 1]}) for id_ in ids
    )
    copy(
        "profile (id, traits, provenance, created_at, updated_at)",
        (
            (id_, escaped(json.dumps(traits)), json.dumps(dict.fromkeys(traits, STAMP)), "2026-01-01", "2026-01-01")
            for id_, traits in said
        ),
    )


def copy(into: str, rows: Any) -> None:
    import io

    from django.db import connection

    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    with connection.cursor() as cursor:
        raw: Any = cursor
        raw.copy_expert(f"COPY {into} FROM STDIN", io.StringIO(text))


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\")


@dataclass
class Spent:
    """Milliseconds, of which `server` are PostgreSQL's."""

    milliseconds: float = 0.0
    server: float = 0.0


class Clock:
    """CPU of this process and of its PostgreSQL session, to the nanosecond, as Linux counts it."""

    def __init__(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            self.server = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")

    def measured(self) -> "Measured":
        return Measured(self)

    def read(self) -> tuple[int, int]:
        return time.process_time_ns(), int(self.server.read_text().split()[0])


class Measured:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.spent = Spent()

    def __enter__(self) -> Spent:
        self.before = self.clock.read()
        return self.spent

    def __exit__(self, *_: object) -> None:
        mine, servers_ = (after - before for after, before in zip(self.clock.read(), self.before, strict=True))
        self.spent.milliseconds, self.spent.server = (mine + servers_) / 1e6, servers_ / 1e6


# --- A stream with known truth -----------------------------------------------------------------------------
def measure_stream(records: int, draw: int) -> tuple[float, float, float, float]:
    """Streamed and merged in turns, then the nightly pass, against matching all at once by the same model."""
    from django.db import connection
    from django.utils import timezone

    from identity import matching
    from identity.candidates import jobs, operations, queue, runs, turn
    from identity.candidates.fields import types_of
    from identity.candidates.models import MatchModel, MatchRun

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE profile, match_key, match_record, match_candidate, match_change, match_label CASCADE")
    MatchModel.objects.all().delete()
    people = identity_people.people(records, seed=draw)
    live = make_live(people, records)
    operations.change_settings(actor=None, now=timezone.now(), automatic=True, accept_above=ACCEPT)
    result = matching.match(
        people.columns,
        types_of(live.fields),
        settings=matching.MatchSettings(threshold=ACCEPT),
        model=live.model,
    )

    def settle() -> None:
        while operations.merge_due(now=timezone.now()) or turn.match_changes(now=timezone.now()).claimed:
            pass

    for start in range(1, records + 1, TURN):
        ids = range(start, min(start + TURN, records + 1))
        insert(people, ids)
        queue.note_changed(set(ids))
        settle()
    before = f1(leads(records), people.truth)
    runs.ask(MatchRun.Kind.FULL, actor=None, now=timezone.now())
    while jobs.work(clock=timezone.now):
        pass
    settle()
    streamed, whole = f1(leads(records), people.truth), f1(result.clusters, people.truth)
    return whole - streamed, streamed, whole, before


def leads(records: int) -> Any:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT profile_id, canonical_id FROM profile_alias")
        absorbed = dict(cursor.fetchall())
    return np.asarray([absorbed.get(id_, id_) for id_ in range(1, records + 1)])


def f1(found: Any, truth: Any) -> float:
    def pairs(numbers: Any) -> float:
        sizes = np.unique(numbers, return_counts=True, axis=0)[1].astype(float)
        return float((sizes * (sizes - 1) / 2).sum())

    both = pairs(np.stack([found, truth], axis=1))
    return 2 * both / (pairs(found) + pairs(truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, nargs="?", default=RECORDS)
    parser.add_argument("--stream", type=int, default=STREAMED)
    parser.add_argument("--draw", type=int, default=DRAW, help="which people are streamed")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    for line in report(given.records, given.stream, draw=given.draw, keep=given.keep):
        print("{:36} {:>16} {:>24} {}".format(*line), flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)


if __name__ == "__main__":
    become_worker()
    main()
