"""A file that says which source ids are one person, held against the profiles as they are.

It has a column of ids, or one for each kind of id (`email`, `user_id` …), and one that says who each row is.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec
import numpy as np
import zstandard
from django.db import connection

from cdp.kernel.identifiers import normalise
from identity.candidates.live import load_live
from identity.candidates.runs import Progress
from identity.candidates.store import load_records
from identity.evaluation.contracts import FileReport, Mistake
from identity.evaluation.errors import EvaluationError
from identity.matching import evaluate

MOST_ROWS = 500_000
MOST_BYTES = 50_000_000
TRUTH_NAMES = ("truth", "person", "person_id", "entity", "entity_id", "cluster")
GENERIC_NAMES = ("id", "source_id", "identifier", "value")
MOST_MISTAKES = 50
LOOKUPS = 50_000
SHOWN = 200_000
"""Characters that are looked at to tell the delimiter."""


class Row(msgspec.Struct, array_like=True):
    kind: str
    value: str
    truth: str


def read_upload(body: bytes) -> list[Row]:
    """Rows of `kind, value, truth`; one for every id of a line. Raises EvaluationError."""
    if len(body) > MOST_BYTES:
        raise EvaluationError(f"The file has more than {MOST_BYTES // 1_000_000} MB.", code="too_large", path="/file")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EvaluationError(
            "The file is not UTF-8. Save it as CSV in UTF-8.", code="bad_encoding", path="/file"
        ) from None
    if "\0" in text[:SHOWN]:
        raise EvaluationError("This is no CSV file.", code="bad_csv", path="/file")
    delimiter = max(",;\t|", key=text.split("\n", 1)[0].count)
    try:
        lines = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), MOST_ROWS + 2))
    except csv.Error as error:
        raise EvaluationError(f"The file cannot be read as CSV: {error}.", code="bad_csv", path="/file") from error
    lines = [line for line in lines if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        raise EvaluationError("The file has no rows below its header.", code="empty_file", path="/file")
    if len(lines) > MOST_ROWS + 1:
        raise EvaluationError(f"The file has more than {MOST_ROWS:,} rows.", code="too_large", path="/file")
    return rows_of([cell.strip() for cell in lines[0]], lines[1:])


def rows_of(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[Row]:
    names = [name.lower() for name in header]
    truth_at = next((names.index(name) for name in TRUTH_NAMES if name in names), None)
    if truth_at is None:
        wanted = ", ".join(TRUTH_NAMES)
        raise EvaluationError(
            f"No column says who each row is. Name one of them: {wanted}.", code="no_truth", path="/file"
        )
    kind_at = names.index("kind") if "kind" in names else None
    rows = []
    for line in lines:
        cells = [*(cell.strip() for cell in line), *[""] * (len(names) - len(line))]
        if not cells[truth_at]:
            continue
        for at, name in enumerate(names):
            if at in {truth_at, kind_at} or not cells[at] or not name:
                continue
            generic = name in GENERIC_NAMES
            if kind_at is not None and not generic:
                continue
            kind = cells[kind_at] if kind_at is not None else "user_id" if generic else name
            rows.append(Row(kind, cells[at], cells[truth_at]))
    if not rows:
        raise EvaluationError(
            "No row has both an id and a word on who it is. A column per kind of id (user_id, email …), or `kind` and "
            "`value`.",
            code="no_ids",
            path="/file",
        )
    return rows


def pack(rows: Sequence[Row]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(rows))


def unpack(body: bytes) -> list[Row]:
    return msgspec.msgpack.decode(zstandard.decompress(body), type=list[Row])


# --- Against the profiles -----------------------------------------------------------------------------------
def measure_file(rows: Sequence[Row], *, progress: Progress) -> FileReport:
    """Profiles as they are, by the people of the file. An id that nobody has is counted, and left out.

    Two ids of one person that lead to one profile are a pair rightly together, and so on.
    """
    progress.begin("Looking ids up", total=len(rows))
    profiles = look_up(rows, progress)
    known = [(row, profiles[row.kind, row.value]) for row in rows if (row.kind, row.value) in profiles]
    truth = evaluate.truth_codes([row.truth for row, _ in known])
    clusters = np.array([profile for _, profile in known], dtype=np.int64)
    progress.begin("Explaining mistakes")
    wrong, missed = mistakes(clusters, truth)
    return FileReport(
        rows=len(rows),
        unknown=len(rows) - len(known),
        people=len(set(truth.tolist())),
        profiles=len(set(clusters.tolist())),
        pairs=evaluate.compare_clusters(clusters, truth),
        b_cubed=evaluate.b_cubed(clusters, truth),
        wrong=wrong,
        missed=missed,
    )


def look_up(rows: Sequence[Row], progress: Progress) -> dict[tuple[str, str], int]:
    """The profile that each id leads to now, as it is written in the file."""
    found: dict[tuple[str, str], int] = {}
    for start in range(0, len(rows), LOOKUPS):
        asked = {(row.kind, row.value): _normal(row) for row in rows[start : start + LOOKUPS]}
        wanted = sorted({key for key in asked.values() if key is not None})
        led = _lookup_many(wanted)
        found |= {given: led[key] for given, key in asked.items() if key is not None and key in led}
        progress.advance(len(rows[start : start + LOOKUPS]))
    return found


def _normal(row: Row) -> tuple[str, str] | None:
    value = normalise(row.kind, row.value)
    return None if value is None else (row.kind, value)


def _lookup_many(wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.kind, i.value, coalesce(a.canonical_id, i.profile_id) FROM identifier i"
            " JOIN unnest(%s::text[], %s::text[]) AS u(kind, value) ON i.kind = u.kind AND i.value = u.value"
            " LEFT JOIN profile_alias a ON a.profile_id = i.profile_id",
            [[kind for kind, _ in wanted], [value for _, value in wanted]],
        )
        return {(kind, value): profile for kind, value, profile in cursor.fetchall()}


def mistakes(clusters: evaluate.Labels, truth: evaluate.Labels) -> tuple[list[Mistake], list[Mistake]]:
    """Profiles that hold several people, named twice; and pairs of profiles that hold one person, with their score."""
    people: dict[int, set[int]] = {}
    homes: dict[int, set[int]] = {}
    for profile, person in zip(clusters.tolist(), truth.tolist(), strict=True):
        people.setdefault(profile, set()).add(person)
        homes.setdefault(person, set()).add(profile)
    crowded = sorted(
        (profile for profile, held in people.items() if len(held) > 1), key=lambda p: (-len(people[p]), p)
    )
    parted = sorted({(min(held), other) for held in homes.values() for other in held if other != min(held)})
    pairs = parted[:MOST_MISTAKES]
    live = load_live()
    records = load_records({id_ for pair in pairs for id_ in pair})
    found = [(one, other) for one, other in pairs if one in records and other in records]
    scores = np.array([float(live.scorer.score(records[one], [records[other]])[0]) for one, other in found])
    chances = live.model.probability(scores).tolist()
    missed = [
        Mistake(*pair, score, chance) for pair, score, chance in zip(found, scores.tolist(), chances, strict=True)
    ]
    wrong = [Mistake(profile, profile, 0.0, 1.0) for profile in crowded[:MOST_MISTAKES]]
    return wrong, sorted(missed, key=lambda one: one.score)
