"""What it takes to ask a segment's definition of everybody, beside DuckDB over the same rows.

Seven typical definitions over a million profiles and twenty million events (`segments_world.py`), each counted as the
preview counts it: from packed arrays (`segments/columnar`), and by SQL in one process; and computed once either way,
with everything that is written (members, transitions, due times). DuckDB, with one thread, asks the same of typed
columns and of a JSON column. Told is CPU time, of this process and its PostgreSQL session together; what is packed
beforehand is not in it. All counts must agree.

    PYTHONPATH=. .venv/bin/python benchmarks/segments_recompute.py --keep FOLDER [--profiles N] [--events N]
        [--only S5]
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from home import become_worker
from segments_world import World, arguments, world

RUNS = 3
RUNS_IN_TURNS = 7


def event(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "event", "event": name, **more}


TRAITS = {
    "type": "all",
    "of": [
        {"type": "trait", "trait": "country", "op": "eq", "value": "Germany"},
        {"type": "trait", "trait": "plan", "op": "in", "value": ["pro", "enterprise"]},
        {"type": "trait", "trait": "age", "op": "between", "value": [25, 45]},
    ],
}
COUNT = event("Product Viewed", measure="count", op="gte", value=3, window={"last": "7d"})
SUM = event("Order Completed", measure="sum", of="revenue", op="gt", value=200, window={"last": "30d"})
ABANDONED = {
    "type": "all",
    "of": [
        event("Product Added", window={"last": "24h"}),
        {"type": "not", "of": event("Order Completed", window={"last": "24h"})},
    ],
}
FILTER = event(
    "Product Viewed", where=[{"property": "category", "op": "eq", "value": "Shoes"}], window={"last": "30d"}
)
NESTED = {"type": "all", "of": [TRAITS, {"type": "any", "of": [COUNT, SUM]}, {"type": "not", "of": FILTER}]}
LIFETIME = event("Order Completed", measure="count", op="gte", value=3)

IN_TRAITS = "country = 'Germany' AND plan IN ('pro', 'enterprise') AND age BETWEEN 25 AND 45"
VIEWED = "name = 'Product Viewed' AND ts > $now - INTERVAL 7 DAY AND ts <= $now"
COUNTED = f"SELECT profile_id FROM {{events}} WHERE {VIEWED} GROUP BY 1 HAVING count(*) >= 3"
SUMMED = (
    "SELECT profile_id FROM {events} WHERE name = 'Order Completed' AND ts > $now - INTERVAL 30 DAY AND ts <= $now"
    " GROUP BY 1 HAVING sum({revenue}) > 200"
)
FILTERED = (
    "SELECT DISTINCT profile_id FROM {events} WHERE name = 'Product Viewed' AND ts > $now - INTERVAL 30 DAY"
    " AND ts <= $now AND {category} = 'Shoes'"
)
DAY = "ts > $now - INTERVAL 24 HOUR AND ts <= $now"


@dataclass(frozen=True)
class Case:
    """`aim` is the CPU of DuckDB on typed columns over ours: how many times less ours is to take."""

    name: str
    definition: dict[str, Any]
    duck: str
    aim: float


CASES = (
    Case("S1 traits", TRAITS, f"SELECT count(*) FROM {{profiles}} WHERE {IN_TRAITS}", 0.3),
    Case("S2 count in 7 days", COUNT, f"SELECT count(*) FROM ({COUNTED})", 7),
    Case("S3 sum in 30 days", SUM, f"SELECT count(*) FROM ({SUMMED})", 0.7),
    Case(
        "S4 cart abandoned in 24 hours",
        ABANDONED,
        f"SELECT count(*) FROM (SELECT DISTINCT profile_id FROM {{events}} WHERE name = 'Product Added' AND {DAY})"
        f" AS a ANTI JOIN (SELECT profile_id FROM {{events}} WHERE name = 'Order Completed' AND {DAY}) AS o"
        " USING (profile_id)",
        1.4,
    ),
    Case("S5 property in 30 days", FILTER, f"SELECT count(*) FROM ({FILTERED})", 2.6),
    Case(
        "S6 S1 and (S2 or S3) and not S5",
        NESTED,
        f"SELECT count(*) FROM {{profiles}} AS p WHERE {IN_TRAITS}"
        f" AND (p.id IN ({COUNTED}) OR p.id IN ({SUMMED})) AND p.id NOT IN ({FILTERED})",
        2.5,
    ),
    Case(
        "S7 three orders ever",
        LIFETIME,
        "SELECT count(*) FROM (SELECT profile_id FROM {events} WHERE name = 'Order Completed' AND ts <= $now"
        " GROUP BY 1 HAVING count(*) >= 3)",
        0.8,
    ),
)
TYPED = {"events": "event", "profiles": "profile", "revenue": "value", "category": "category"}
JSON = {
    "events": "event_json",
    "profiles": (
        "(SELECT id, traits->>'country' AS country, traits->>'plan' AS plan, (traits->>'age')::int AS age"
        " FROM profile_json)"
    ),
    "revenue": "(properties->>'revenue')::double",
    "category": "(properties->>'category')",
}

# DuckDB reads what PostgreSQL wrote as CSV, once for a world.
EXPORTS = {
    "profile": "SELECT id, traits->>'country', traits->>'plan', traits->>'age', traits FROM profile",
    "event": (
        "SELECT e.profile_id, n.name, to_char(e.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), e.value,"
        " e.properties->>'category', e.properties FROM event AS e JOIN event_name AS n ON n.id = e.name_id"
    ),
}
LOADS = (
    (
        "CREATE TABLE profile AS SELECT column0::bigint AS id, column1 AS country, column2 AS plan,"
        " column3::int AS age, column4::json AS traits FROM read_csv('{profile}', header=false, all_varchar=true)"
    ),
    (
        "CREATE TABLE raw AS SELECT column0::bigint AS profile_id, column1 AS name, column2::timestamp AS ts,"
        " column3::double AS value, column4 AS category, column5::json AS properties"
        " FROM read_csv('{event}', header=false, all_varchar=true)"
    ),
    "CREATE TABLE event AS SELECT profile_id, name::varchar AS name, ts, value, category FROM raw",
    "CREATE TABLE event_json AS SELECT profile_id, name, ts, properties FROM raw",
    "CREATE TABLE profile_json AS SELECT id, traits FROM profile",
    "DROP TABLE raw",
    "ALTER TABLE profile DROP traits",
)


@dataclass(frozen=True)
class Figures:
    """CPU seconds, medians; `wall` is how long somebody waits for the count from arrays.

    `ratio` is of `typed` to `arrays`, which take turns: a machine that others use is slower in one second than in the
    next.
    """

    members: int
    arrays: float
    ratio: float
    wall: float
    query: float
    written: float
    written_by_sql: float
    typed: float
    json: float


def measure(made: World, cases: Sequence[Case]) -> Iterator[tuple[Case, Figures]]:
    duck = _duck(made)
    pack([case.definition for case in cases], now=made.now)
    for case in cases:
        yield case, _one(made, duck, case)


def pack(definitions: Iterable[Any], *, now: datetime) -> None:
    """What is asked about for the first time gets its columns, as the background task makes them."""
    from django.utils import timezone

    import identity.columns.build
    import ingestion.blocks.operations
    from segments import queries
    from segments.errors import QueryTooSlowError

    started, before = time.perf_counter(), _cpu_time()
    with _by("arrays"):
        for definition in definitions:
            with suppress(QueryTooSlowError):
                queries.preview(definition=definition, as_of=now, sample=0)
    identity.columns.build.build_all(now=timezone.now())
    ingestion.blocks.operations.build_all(now=timezone.now())
    took, spent = time.perf_counter() - started, _cpu_time() - before
    print(f"  packed in {took:.0f} s, {spent:.0f} s of CPU", file=sys.stderr, flush=True)


def _one(made: World, duck: Any, case: Case) -> Figures:
    from django.db import connection

    from segments import operations, queries
    from segments.models import Segment

    queries.PREVIEW_SECONDS = 300
    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")

    def ask() -> int:
        return queries.preview(definition=case.definition, as_of=made.now, sample=0).count

    def compute() -> float:
        segment = operations.create_segment(name=case.name, definition=case.definition, now=made.now)
        spent = _cpu(lambda: operations.recompute(segment_id=segment.pk, now=made.now))
        counted = Segment.objects.get(pk=segment.pk)
        if counted.member_count != members:
            raise SystemExit(f"{case.name}: {counted.member_count} computed, {members} counted: {counted.error}")
        operations.delete_segment(segment_id=segment.pk)
        with connection.cursor() as cursor:
            for table in ("membership", "transition", "due"):
                cursor.execute(f"TRUNCATE {table}")
        return spent

    def ask_duck(names: dict[str, str]) -> int:
        text = case.duck.format(**names)
        values = {"now": made.now.replace(tzinfo=None)} if "$now" in text else {}
        (found,) = duck.execute(text, values).fetchone()
        return int(found)

    with _by("arrays"):
        members = ask()
    for names in (TYPED, JSON):
        if (found := ask_duck(names)) != members:
            raise SystemExit(f"{case.name}: {members} here, {found} in DuckDB")
    walls: list[float] = []

    def ask_and_wait() -> None:
        started = time.perf_counter()
        ask()
        walls.append(time.perf_counter() - started)

    with _by("arrays"):
        pairs = [(_cpu(ask_and_wait), _cpu(partial(ask_duck, TYPED))) for _ in range(RUNS_IN_TURNS)]
        written = compute()
    with _by("SQL"):
        if (found := ask()) != members:
            raise SystemExit(f"{case.name}: {members} from arrays, {found} by SQL")
        query = statistics.median(_cpu(ask) for _ in range(RUNS))
        written_by_sql = compute()
    as_json = statistics.median(_cpu(partial(ask_duck, JSON)) for _ in range(RUNS))
    return Figures(
        members,
        arrays=statistics.median(arrays for arrays, _ in pairs),
        ratio=statistics.median(typed / arrays for arrays, typed in pairs),
        wall=statistics.median(walls),
        query=query,
        written=written,
        written_by_sql=written_by_sql,
        typed=statistics.median(typed for _, typed in pairs),
        json=as_json,
    )


@contextmanager
def _by(engine: str) -> Iterator[None]:
    """Ask arrays, or SQL, whatever the number of profiles."""
    from django.conf import settings

    before = settings.SEGMENTS_COLUMNAR_FROM
    settings.SEGMENTS_COLUMNAR_FROM = 0 if engine == "arrays" else float("inf")
    yield
    settings.SEGMENTS_COLUMNAR_FROM = before


def _duck(made: World) -> Any:
    import duckdb
    from django.db import connection

    path = made.home.parent / "world.duckdb"
    if not path.exists():
        files = {name: made.home.parent / f"{name}.csv" for name in EXPORTS}
        for name, statement in EXPORTS.items():
            with files[name].open("wb") as out, connection.cursor() as cursor:
                cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv)", out)
        unfinished = path.with_suffix(".unfinished")
        Path(unfinished).unlink(missing_ok=True)
        loading = duckdb.connect(str(unfinished))
        for statement in LOADS:
            loading.execute(statement.format(**files))
        loading.close()
        unfinished.rename(path)
        for file in files.values():
            file.unlink()
    duck = duckdb.connect(str(path), read_only=True)
    duck.execute("SET threads = 1")
    return duck


def _cpu(work: Callable[[], object]) -> float:
    before = _cpu_time()
    work()
    return _cpu_time() - before


def _cpu_time() -> float:
    """Of this process and its database session; the kernel tells the latter's in nanoseconds."""
    from django.db import connection

    connection.ensure_connection()
    backend = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text()
    return time.process_time() + int(backend.split()[0]) / 1e9


def report(made: World, cases: Sequence[Case]) -> Iterator[tuple[str, str, str, str]]:
    """A line for each as soon as it is known."""
    results = []
    for case, found in measure(made, cases):
        results.append(found)
        verdict = "reached" if found.ratio >= case.aim else "below the aim"
        told = (
            f"waited {found.wall * 1000:,.0f} ms; SQL {found.query * 1000:,.0f} ms; written"
            f" {found.written * 1000:,.0f}, by SQL {found.written_by_sql * 1000:,.0f} ms"
        )
        yield (
            f"{case.name}: {found.members:,} in",
            f"{found.arrays * 1000:,.0f} ms",
            f"DuckDB {found.typed * 1000:,.0f}, JSON {found.json * 1000:,.0f} ms",
            f"{found.ratio:.2f} of {case.aim} {verdict}; {told}",
        )
    ours, theirs = sum(found.arrays for found in results), sum(found.json for found in results)
    verdict = "reached" if ours < theirs else "below the aim"
    yield ("these in sum", f"{ours * 1000:,.0f} ms", f"DuckDB, JSON {theirs * 1000:,.0f} ms", verdict)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield ("memory of this process, at most", f"{most:,.0f} MB", "DuckDB's included", "")


def main() -> None:
    parser = arguments(__doc__)
    known = {case.name.split()[0]: case for case in CASES}
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), help="some of the seven")
    given = parser.parse_args()
    cases = [known[name] for name in given.only]
    with world(keep=given.keep, profiles=given.profiles, events=given.events) as made:
        for line in report(made, cases):
            print("{:44} {:>12} {:>34} {}".format(*line), flush=True)


if __name__ == "__main__":
    become_worker()
    main()
