"""What reading traits of a million profiles costs: from columns, beside SQL over every row.

Counted is the CPU time of this process and of its PostgreSQL session. Also what building takes, and reading while some
profiles are noted and others in the patch.

    PYTHONPATH=. .venv/bin/python benchmarks/identity_columns.py --keep FOLDER [--profiles N]
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from home import become_worker
from segments_world import world

PATHS = ("country", "plan", "age")
RUNS = 15
SQL = """
    SELECT count(*) FROM profile p WHERE p.traits -> 'country' = '"Germany"' AND p.traits -> 'plan' = '"pro"'
    AND p.traits -> 'age' > '30'
"""


def measure(*, keep: Path, profiles: int) -> None:
    with world(keep=keep, profiles=profiles, events=0):
        from django.db import connection, transaction
        from django.utils import timezone

        from identity.columns import build, queries
        from identity.columns.models import TraitColumn
        from identity.columns.notes import note_profiles
        from identity.columns.wanted import want_trait

        TraitColumn.objects.all().delete()
        for path in PATHS:
            want_trait(path)
        line("build three columns", cpu(lambda: build.build_all(now=timezone.now())))

        def ask_rows() -> None:
            with connection.cursor() as cursor:
                cursor.execute(SQL)

        def in_snapshot(work: Callable[[], object]) -> Callable[[], object]:
            def run() -> None:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    work()

            return run

        def report(state: str) -> None:
            line(f"profiles {state}", median(in_snapshot(queries.read_profiles)))
            line(f"three traits {state}", median(in_snapshot(lambda: queries.read_traits(PATHS))))

        with connection.cursor() as cursor:
            cursor.execute("SET max_parallel_workers_per_gather = 0")
        line("a condition on three traits, SQL", median(ask_rows))
        report("packed")
        draw = random.Random(1)
        for _ in range(10):
            note_profiles(draw.sample(range(1, profiles + 1), 100))
        report("and 1,000 noted")
        for _ in range(10):
            note_profiles(draw.sample(range(1, profiles + 1), 2_000))
        line("fold 21,000", cpu(lambda: build.take_step(now=timezone.now())))
        report("and 21,000 in the patch")
        note_profiles(draw.sample(range(1, profiles + 1), 15_000))
        line("fold 15,000 and empty the patch", cpu(lambda: build.take_step(now=timezone.now())))
        report("packed again")


def line(what: str, spent: tuple[float, float]) -> None:
    print(f"{what:40} {spent[0] * 1000:8.1f} ms here {spent[1] * 1000:8.1f} ms in PostgreSQL")


def median(work: Callable[[], object]) -> tuple[float, float]:
    """Of a server's time many runs together are measured: it is counted in hundredths of a second."""
    work()
    here = statistics.median(cpu(work)[0] for _ in range(RUNS))
    _, there = cpu(lambda: [work() for _ in range(RUNS)])
    return here, there / RUNS


def cpu(work: Callable[[], object]) -> tuple[float, float]:
    """Of this process, and of its PostgreSQL session."""
    from django.db import connection

    connection.ensure_connection()
    backend = psutil.Process(connection.connection.info.backend_pid)
    before, began = sum(backend.cpu_times()[:2]), time.process_time()
    work()
    return time.process_time() - began, float(sum(backend.cpu_times()[:2]) - before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    arguments = parser.parse_args()
    become_worker()
    measure(keep=arguments.keep.absolute(), profiles=arguments.profiles)
