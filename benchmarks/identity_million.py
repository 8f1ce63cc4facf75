"""One million records matched and clustered, beside Splink on the same: CPU seconds, peak memory, F1.

Each matcher is a process of its own, on one thread, that reads the records from a Parquet file: what it takes to hold
them counts. Splink runs with its `demo` settings (identity_splink.py), at one threshold for the time and eight for the
accuracy; it is stopped after 15 minutes of CPU time. Where memory is short or time is, give a smaller number:

    PYTHONPATH=. .venv/bin/python benchmarks/identity_million.py [100000] [--without-splink]
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import identity_people
from identity_accuracy import ONE_THREAD

from cdp.kernel.embedded.home import REPOSITORY

RECORDS = 1_000_000
PATIENCE = 15 * 60
AIM_SECONDS, AIM_GIGABYTES = 60, 3.0


def report(records: int = RECORDS, *, with_splink: bool = True) -> Iterator[tuple[str, str, str, str]]:
    with tempfile.TemporaryDirectory(prefix="cdp-bench-") as folder:
        path = Path(folder) / "people.parquet"
        identity_people.write(identity_people.people(records), path)
        us = measure("ours", path)
        them = measure("splink", path) if with_splink else None
    if us is None:
        yield (f"matching {records:,} records", "not finished", f"in {PATIENCE} CPU s", "ABOVE THE AIM")
        return
    missing = "not finished" if with_splink else "not run"
    beside = (lambda key, form: f"Splink {them[key]:{form}}") if them else (lambda *_: f"Splink {missing}")
    scale = records / RECORDS
    yield (
        f"matching {records:,} records, CPU s",
        f"{us['cpu']:.1f}",
        f"{beside('cpu', '.1f')}, aim {AIM_SECONDS * scale:g}",
        "reached" if us["cpu"] <= AIM_SECONDS * scale else "ABOVE THE AIM",
    )
    yield (
        "  peak memory, GB",
        f"{us['memory']:.2f}",
        f"{beside('memory', '.2f')}, aim {AIM_GIGABYTES:g}",
        "reached" if us["memory"] <= AIM_GIGABYTES else "ABOVE THE AIM",
    )
    yield ("  F1", f"{us['f1']:.4f}", beside("f1", ".4f"), f"{us['pairs']:,} pairs compared")


def measure(which: str, path: Path) -> dict[str, Any] | None:
    """In a process of its own; None where it takes too much CPU time."""
    command = [sys.executable, __file__, "--child", which, str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, check=False)
    if done.returncode == -signal.SIGXCPU:
        return None
    done.check_returncode()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(which: str, path: Path) -> dict[str, float]:
    import pyarrow.parquet

    from identity.matching import evaluate

    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE + 10))
    from identity.matching.contracts import ColumnType

    columns = {
        name: column.to_pylist() for name, column in zip(*_columns(pyarrow.parquet.read_table(path)), strict=True)
    }
    truth = evaluate.truth_codes(columns.pop("truth"))
    types = {name: ColumnType(name) for name in columns}
    if which == "ours":
        from identity import matching

        started = time.process_time()
        result = matching.match(columns, types)
        cpu = time.process_time() - started
        found, pairs = [result.clusters], result.report.pairs
        for step, seconds in result.report.seconds.items():
            print(f"  {step} {seconds:.1f} s", file=sys.stderr)
    else:
        import identity_splink

        clustered = identity_splink.run(columns, types)
        cpu, pairs, found = clustered.cpu, 0, list(clustered.by_threshold.values())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    best = max(evaluate.compare_clusters(clusters, truth).f1 for clusters in found)
    return {"cpu": cpu, "memory": memory, "f1": best, "pairs": pairs}


def _columns(table: Any) -> tuple[list[str], list[Any]]:
    return table.column_names, table.columns


def main() -> None:
    parser = argparse.ArgumentParser(description="One million records matched and clustered.")
    parser.add_argument("records", nargs="?", type=int, default=RECORDS)
    parser.add_argument("--without-splink", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("WHICH", "PATH"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.child[0], Path(given.child[1]))))
        return
    for line in report(given.records, with_splink=not given.without_splink):
        print("{:44} {:>18} {:>28} {}".format(*line), flush=True)


if __name__ == "__main__":
    main()
