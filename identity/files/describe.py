"""What `match_file` says on the terminal."""

from collections.abc import Iterator, Sequence

from identity.files.columns import ColumnUse
from identity.files.run import Outcome
from identity.matching.contracts import ColumnType, PassReport

WIDEST = 40
"""Characters of a column's name or example."""
MOST_SIZES = 12
MOST_PASSES = 15


def describe(outcome: Outcome, *, source: str, out: str) -> str:
    table = outcome.table
    parts = [
        [f"{source}: {table.rows:,} rows, {len(table.names)} columns ({table.described})"],
        describe_columns(outcome.uses),
        describe_pairs(outcome),
        describe_sizes(outcome),
        describe_warnings(outcome),
        describe_quality(outcome),
        [f"Written to {out}: the same rows and the column `{outcome.column}`."],
        describe_seconds(outcome),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def describe_columns(uses: Sequence[ColumnUse]) -> list[str]:
    compared = [use for use in uses if use.type is not ColumnType.IGNORE]
    rows = [(cut(u.name), u.type, f"{u.filled:.0%}", f"{u.distinct:,}", examples(u)) for u in compared]
    lines = [
        "Columns compared",
        *columns(("column", "taken as", "filled", "distinct", "for example"), rows, right={2, 3}),
    ]
    left = [(cut(use.name), use.why) for use in uses if use.type is ColumnType.IGNORE]
    if left:
        lines += ["", "Columns not compared", *columns(("column", "why"), left)]
    return [*lines, "", "To correct a type: --types column=type,…   Types: " + ", ".join(ColumnType)]


def describe_pairs(outcome: Outcome) -> list[str]:
    report = outcome.report
    total = report.records * (report.records - 1) // 2
    expected = f"{report.expected_matches:,.0f} of them are one person, by the model"
    lines = [f"Pairs compared: {report.pairs:,} of {total:,}; {expected}."]
    best = sorted(by_key(report.passes).items(), key=lambda item: -item[1])
    if best:
        rows = [(cut(key), f"{pairs:,}") for key, pairs in best[:MOST_PASSES]]
        more = [f"  and {len(best) - MOST_PASSES} more"] if len(best) > MOST_PASSES else []
        lines += ["", *columns(("compared because of the same", "pairs"), rows, right={1}), *more]
    return lines


def by_key(passes: Sequence[PassReport]) -> dict[str, int]:
    """Pairs of each blocking key that was used, over its classes of block sizes."""
    pairs: dict[str, int] = {}
    for one in passes:
        if one.kept:
            pairs[one.key] = pairs.get(one.key, 0) + one.pairs
    return pairs


def describe_sizes(outcome: Outcome) -> list[str]:
    rows = [(f"{one.size:,}", f"{one.clusters:,}", f"{one.records:,}") for one in outcome.sizes]
    if len(rows) > MOST_SIZES:
        rest = outcome.sizes[MOST_SIZES - 1 :]
        clusters, records = sum(one.clusters for one in rest), sum(one.records for one in rest)
        rows = [*rows[: MOST_SIZES - 1], (f"{rest[0].size}–{rest[-1].size}", f"{clusters:,}", f"{records:,}")]
    return [f"Clusters: {outcome.clusters:,}", *columns(("rows in it", "clusters", "rows"), rows, right={0, 1, 2})]


def describe_warnings(outcome: Outcome) -> list[str]:
    report = outcome.report
    found = [*outcome.table.warnings, *(warning.message for warning in report.warnings)]
    if report.dropped_blocks:
        found.append(
            f"{report.dropped_blocks:,} values are shared by so many rows that they do not count alone "
            f"({report.dropped_pairs:,} pairs were not compared because of them)."
        )
    return ["Warnings", *(f"  {message}" for message in found)] if found else []


def describe_quality(outcome: Outcome) -> list[str]:
    measured = outcome.measured
    if measured is None:
        return []
    pairs = measured.pairs
    rows = [
        (name, f"{quality.precision:.4f}", f"{quality.recall:.4f}", f"{quality.f1:.4f}")
        for name, quality in (("pairs", pairs), ("records (B-cubed)", measured.b_cubed))
    ]
    wrong = f"{pairs.false_positives:,.0f} pairs wrongly together, {pairs.false_negatives:,.0f} wrongly apart"
    return [
        f"Against the truth ({measured.rows:,} rows)",
        *columns(("", "precision", "recall", "F1"), rows, right={1, 2, 3}),
        f"  {wrong}; {measured.coverage:.2%} of the true pairs were compared.",
    ]


def describe_seconds(outcome: Outcome) -> list[str]:
    seconds = outcome.report.seconds
    steps = ", ".join(f"{step} {spent:.1f}" for step, spent in seconds.items() if spent >= 0.05)
    return [f"Matching took {sum(seconds.values()):.1f} s of CPU time{f' ({steps})' if steps else ''}."]


def examples(use: ColumnUse) -> str:
    return cut(", ".join(use.examples))


def cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"


def columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int] | frozenset[int] = frozenset()
) -> Iterator[str]:
    """Lines of a table, indented by two."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    for row in [head, *rows]:
        cells = [
            text.rjust(width) if at in right else text.ljust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()
