"""From a file to the same file with a cluster a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from identity import matching
from identity.files.columns import ColumnUse, choose_columns, parse_types
from identity.files.errors import FileError
from identity.files.tables import check_output, read_table, write_table
from identity.files.texts import Table
from identity.matching import evaluate
from identity.matching.contracts import MatchReport, MatchSettings


@dataclass(frozen=True)
class Request:
    source: Path
    out: Path
    types: Sequence[str] = ()
    truth: str | None = None
    threshold: float = 0.5
    column: str = "cluster"
    header: bool | None = None
    force: bool = False
    any_size: bool = False


@dataclass(frozen=True)
class Measured:
    """Against the truth, over the rows where it is known."""

    rows: int
    pairs: evaluate.PairQuality
    b_cubed: evaluate.Quality
    coverage: float


@dataclass(frozen=True)
class Outcome:
    table: Table
    uses: Sequence[ColumnUse]
    report: MatchReport
    clusters: int
    sizes: Sequence[evaluate.SizeCount]
    column: str
    measured: Measured | None


def match_file(request: Request, *, progress: Callable[[str], None] = lambda _: None) -> Outcome:
    """Match the rows of `source` and write them to `out` with one column more. Raises FileError.

    1. what was asked is checked before any work is done;
    2. the file is read, and each column's type is told or guessed;
    3. the rows are matched, without the truth;
    4. the same rows are written, and the result is measured where the truth is known.
    """
    check_request(request)
    told = parse_types(request.types)
    progress(f"Reading {request.source}")
    table = read_table(request.source, header=request.header, any_size=request.any_size)
    uses, columns = choose_columns(table, guess=matching.guess_types, told=told, truth=request.truth)
    progress(f"Matching {table.rows:,} rows by {len(columns)} columns")
    truth = truth_of(table, request.truth)
    types = {use.name: use.type for use in uses if use.name in columns}
    result = matching.match(columns, types, settings=MatchSettings(threshold=request.threshold))
    clusters = in_order_of_rows(result.clusters)
    name = free_name(request.column, table.names)
    if name != request.column:
        table.warnings.append(f"The file has a column `{request.column}` of its own, so ours is called `{name}`.")
    progress(f"Writing {request.out}")
    write_table(request.out, table, name=name, clusters=clusters.tolist())
    measured = measure(truth, clusters, result.pairs) if truth is not None else None
    sizes = evaluate.cluster_sizes(clusters)
    return Outcome(table, uses, result.report, int(clusters.max()) + 1, sizes, name, measured)


def check_request(request: Request) -> None:
    if not 0 < request.threshold < 1:
        raise FileError("--threshold takes a probability between 0 and 1.", code="bad_threshold", path="/threshold")
    if not request.column.strip():
        raise FileError("--column takes a name.", code="bad_column", path="/column")
    if not request.source.exists():
        raise FileError(f"There is no file {request.source}.", code="file_not_found")
    check_output(request.out, source=request.source, force=request.force)


def in_order_of_rows(clusters: evaluate.Labels) -> evaluate.Labels:
    """Numbered from 0 by the first row of each."""
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """A column of the file that is called the same stays as it is; ours gets a number."""
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}_{count}"
    return name


def truth_of(table: Table, column: str | None) -> evaluate.Labels | None:
    if column is None:
        return None
    truth = evaluate.truth_codes(table.column(column))
    if not (truth >= 0).any():
        raise FileError(f"The truth column {column} is empty.", code="empty_truth", path="/truth")
    return truth


def measure(truth: evaluate.Labels, clusters: evaluate.Labels, pairs: evaluate.Pairs) -> Measured:
    return Measured(
        int((truth >= 0).sum()),
        evaluate.compare_clusters(clusters, truth),
        evaluate.b_cubed(clusters, truth),
        evaluate.blocking_coverage(pairs, truth),
    )
