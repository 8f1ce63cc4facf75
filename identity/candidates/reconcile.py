"""Candidates follow what was scored: missing ones are added, changed ones refreshed, stale ones closed."""

import math
import struct
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from cdp.kernel.copy import copy_rows
from cdp.kernel.prepared import Call, Prepared, array, columns, run
from identity.candidates.constraints import refusals
from identity.candidates.contracts import Pair, Person
from identity.candidates.live import Live
from identity.candidates.models import Candidate
from identity.candidates.store import by_kind
from identity.merging.constraints import NEVER

Reason = Candidate.Reason
MOST_EVENTS = 1_000

Explain = Callable[[Sequence[Pair]], list[str]]
"""The waterfalls of some pairs: `identity.matching.Explanation` as JSON."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a full pass knows that a turn of the queue does not: which pairs the linkage put into one cluster."""

    together: Collection[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Reconciled:
    waiting: int
    due: int
    closed: int


def reconcile(
    pairs: Collection[Pair],
    *,
    touched: Collection[int],
    explain: Explain,
    people: Mapping[int, Person],
    live: Live,
    now: datetime,
    verdicts: Verdicts | None = None,
) -> Reconciled:
    """Write the pairs that a person may be asked about; `touched` are all profiles whose pairs these are.

    A pair that was decided stays decided, and one that somebody said is never one person is not made. One that breaks
    a limit, such as two user ids, waits for a person too, but is never merged by itself.
    """
    about = _ask_about({id_ for pair in pairs for id_ in (pair.one, pair.other)}, touched)
    wanted = {(pair.one, pair.other): pair for pair in pairs if (pair.one, pair.other) not in about.never}
    known = {id_: Person({}, one.identifiers) for id_, one in about.met.items()} | dict(people)
    forbidden = refusals(wanted, known)
    strong = {
        key: pair
        for key, pair in wanted.items()
        if pair.probability >= live.settings.accept_above and key not in forbidden
    }
    bridges = _bridges(strong.values(), wanted) if verdicts is None else strong.keys() - set(verdicts.together)
    kept = [(key, pair) for key, pair in sorted(wanted.items()) if pair.one in known and pair.other in known]
    evidence = explain([pair for _, pair in kept])
    rows = [
        (
            *key,
            pair.score,
            pair.probability,
            worth(pair.probability, _effect(key, about.met)),
            said,
            Reason.BRIDGE if key in bridges else Reason.SCORE,
            forbidden.get(key, ""),
        )
        for (key, pair), said in zip(kept, evidence, strict=True)
    ]
    stale = sorted(id_ for id_, pair in about.open.items() if pair not in wanted)
    due = _due(strong.keys() - bridges, best_only=verdicts is None) if live.settings.automatic else []
    writes = _closing(stale)
    if len(rows) > FEW:
        run(writes)
        _copy_and_upsert(rows, model_id=live.model_id, now=now)
        written = run(due)
    else:
        written = run([*writes, *_upserting(rows, model_id=live.model_id, now=now), *due])
    return Reconciled(len(rows), written if due else 0, len(stale))


def worth(probability: float, events: int) -> float:
    """How much an answer is worth: how uncertain it is, in bits, times how much would move."""
    chance = min(max(probability, 1e-9), 1 - 1e-9)
    doubt = -(chance * math.log2(chance) + (1 - chance) * math.log2(1 - chance))
    return doubt * (1 + math.log2(1 + events))


def _bridges(strong: Iterable[Pair], scored: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Of a profile that two others look like which do not look alike: all but its best pair.

    To merge all three would join two groups through one member, so the full pass or a person has a look first.
    """
    partners: dict[int, list[int]] = {}
    found = set()
    for pair in sorted(strong, key=lambda pair: (-pair.score, pair.one, pair.other)):
        for middle, end in ((pair.one, pair.other), (pair.other, pair.one)):
            earlier = partners.setdefault(middle, [])
            if any((min(end, one), max(end, one)) not in scored for one in earlier):
                found.add((pair.one, pair.other))
            earlier.append(end)
    return found


@dataclass(frozen=True, slots=True)
class _Met:
    """Of a profile in a pair: how many events it has, up to a thousand, and its identifiers."""

    events: int
    identifiers: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class _About:
    """What is to be known before pairs are written: whom of them there is, which must never be one, and which pairs
    of the touched wait, by id.
    """

    met: dict[int, _Met] = field(default_factory=dict)
    never: set[tuple[int, int]] = field(default_factory=set)
    open: dict[int, tuple[int, int]] = field(default_factory=dict)


def _ask_about(ids: Collection[int], touched: Collection[int]) -> _About:
    about = _About()
    if not ids and not touched:
        return about
    for what, one, other, id_, identifiers in _ABOUT.rows(array(sorted(ids)), MOST_EVENTS, array(touched)):
        if what == _MET:
            about.met[one] = _Met(other, by_kind(identifiers))
        elif what == _APART:
            about.never.add((min(one, other), max(one, other)))
        else:
            about.open[id_] = (one, other)
    return about


_MET, _APART, _OPEN = 1, 2, 3
_ABOUT = Prepared(
    "match_about",
    ["bigint[]", "int", "bigint[]"],
    f"""
SELECT {_MET}, p.id, (SELECT count(*) FROM (SELECT FROM event e WHERE e.profile_id = p.id LIMIT $2) AS first),
  NULL::bigint,
  (SELECT json_agg(json_build_array(i.kind, i.value)) FROM profile_identifier i WHERE i.profile_id = p.id)::text
FROM profile p WHERE p.id = ANY($1)
UNION ALL SELECT {_APART}, n.one, n.other, NULL, NULL FROM ({NEVER}) AS n
UNION ALL SELECT {_OPEN}, one_id, other_id, id, NULL FROM match_candidate
  WHERE (one_id = ANY($3) OR other_id = ANY($3)) AND state IN ('waiting', 'refused')
""",
)


def _effect(pair: tuple[int, int], met: Mapping[int, _Met]) -> int:
    """How many events the smaller side of the pair has: what a merge would move."""
    return min(met[id_].events if id_ in met else 0 for id_ in pair)


def _closing(stale: Sequence[int]) -> list[Call]:
    return [_CLOSE.of(array(stale))] if stale else []


_CLOSE = Prepared(
    "match_close",
    ["bigint[]"],
    "UPDATE match_candidate c SET state = 'gone', merge_due = false, held_by_id = NULL, held_until = NULL"
    " WHERE c.state IN ('waiting', 'refused') AND c.id = ANY($1)",
)


# `skipped_at` stays: a person who skipped a pair is not asked again because a score moved a little.
_UPSERT = """
INSERT INTO match_candidate AS c (one_id, other_id, score, probability, value, evidence, state, reason, refusal,
  model_id, found_at, updated_at, merge_due)
SELECT u.one_id, u.other_id, u.score, u.probability, u.value, u.evidence::jsonb, 'waiting', u.reason, u.refusal,
  {model_id}, {now}, {now}, false
FROM {rows} AS u(one_id, other_id, score, probability, value, evidence, reason, refusal)
ORDER BY 1, 2
ON CONFLICT (one_id, other_id) DO UPDATE SET score = EXCLUDED.score, probability = EXCLUDED.probability,
  value = EXCLUDED.value, evidence = EXCLUDED.evidence, state = 'waiting', reason = EXCLUDED.reason,
  refusal = EXCLUDED.refusal, model_id = EXCLUDED.model_id, updated_at = EXCLUDED.updated_at, merge_due = false
WHERE c.state IN ('waiting', 'refused', 'gone')
"""
_UPSERT_FEW = Prepared(
    "match_upsert",
    ["bigint[]", "bigint[]", *["float8[]"] * 3, *["text[]"] * 3, "bigint", "timestamptz"],
    _UPSERT.format(rows="unnest($1, $2, $3, $4, $5, $6, $7, $8)", model_id="$9", now="$10"),
)
_UPSERT_MANY = _UPSERT.format(rows="match_found", model_id="%s", now="%s")
_FOUND = """
CREATE TEMP TABLE IF NOT EXISTS match_found (one_id bigint, other_id bigint, score float8, probability float8,
  value float8, evidence text, reason text, refusal text) ON COMMIT DELETE ROWS;
DELETE FROM match_found
"""
FEW = 500
"""Pairs up to which they are sent as parameters."""
_COLUMNS = ("one_id", "other_id", "score", "probability", "value", "evidence", "reason", "refusal")
_ROW = struct.Struct(">hiqiqidididi").pack


def _upserting(rows: Sequence[tuple[Any, ...]], *, model_id: int | None, now: datetime) -> list[Call]:
    return [_UPSERT_FEW.of(*map(list, zip(*rows, strict=True)), model_id, now)] if rows else []


def _copy_and_upsert(rows: Sequence[tuple[Any, ...]], *, model_id: int | None, now: datetime) -> None:
    encoded = bytearray()
    for one, other, score, probability, value, *texts in rows:
        evidence, reason, refusal = (text.encode() for text in texts)
        encoded += _ROW(8, 8, one, 8, other, 8, score, 8, probability, 8, value, len(evidence)) + evidence
        encoded += len(reason).to_bytes(4, "big") + reason + len(refusal).to_bytes(4, "big") + refusal
    with connection.cursor() as cursor:
        cursor.execute(_FOUND)
        copy_rows(table="match_found", columns=_COLUMNS, rows=encoded)
        cursor.execute(_UPSERT_MANY, [model_id, now, now])


_CLOSE_OLDER = """
UPDATE match_candidate SET state = 'gone', merge_due = false, held_by_id = NULL, held_until = NULL
WHERE state IN ('waiting', 'refused') AND updated_at < %s
"""


def close_older(since: datetime) -> int:
    """Close what neither a full pass that began at `since` nor the queue meanwhile has found again."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE_OLDER, [since])
        return int(cursor.rowcount)


def _due(pairs: Collection[tuple[int, int]], *, best_only: bool) -> list[Call]:
    return [(_BEST if best_only else _DUE).of(*columns(sorted(pairs)))] if pairs else []


_MARK = """
UPDATE match_candidate c SET merge_due = true
WHERE c.state = 'waiting' AND (c.one_id, c.other_id) IN (SELECT * FROM unnest($1, $2))
"""
_DUE = Prepared("match_due", ["bigint[]", "bigint[]"], _MARK)
# Mutually best: neither side has a better pair that still waits. Equal ones go by id.
_BEST = Prepared(
    "match_due_best",
    ["bigint[]", "bigint[]"],
    _MARK
    + """
  AND NOT EXISTS (SELECT FROM match_candidate b
    WHERE b.one_id IN (c.one_id, c.other_id) AND b.state = 'waiting' AND (b.score, -b.id) > (c.score, -c.id))
  AND NOT EXISTS (SELECT FROM match_candidate b
    WHERE b.other_id IN (c.one_id, c.other_id) AND b.state = 'waiting' AND (b.score, -b.id) > (c.score, -c.id))
""",
)
