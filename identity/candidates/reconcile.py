"""Candidates follow what was scored: missing ones are added, changed ones refreshed, stale ones closed."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from django.db import connection

from identity.candidates.constraints import never_pairs, refusals
from identity.candidates.contracts import Pair, Person
from identity.candidates.live import Live
from identity.candidates.models import Candidate
from identity.candidates.store import by_kind
from identity.matching.contracts import Record

Reason = Candidate.Reason
MOST_EVENTS = 1_000


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
    records: Mapping[int, Record],
    people: Mapping[int, Person],
    live: Live,
    now: datetime,
    verdicts: Verdicts | None = None,
) -> Reconciled:
    """Write the pairs that a person may be asked about; `touched` are all profiles whose pairs these are.

    A pair that was decided stays decided, and one that somebody said is never one person is not made. One that breaks
    a limit, such as two user ids, waits for a person too, but is never merged by itself.
    """
    never = never_pairs({id_ for pair in pairs for id_ in (pair.one, pair.other)})
    wanted = {(pair.one, pair.other): pair for pair in pairs if (pair.one, pair.other) not in never}
    met = _meet({id_ for pair in wanted for id_ in pair})
    known = {id_: Person({}, one.identifiers) for id_, one in met.items()} | dict(people)
    forbidden = refusals(wanted, known)
    strong = {
        key: pair
        for key, pair in wanted.items()
        if pair.probability >= live.settings.accept_above and key not in forbidden
    }
    bridges = _bridges(strong.values(), wanted) if verdicts is None else strong.keys() - set(verdicts.together)
    kept = [(key, pair) for key, pair in sorted(wanted.items()) if pair.one in known and pair.other in known]
    evidence = _explain([pair for _, pair in kept], records, live)
    rows = [
        (
            *key,
            pair.score,
            pair.probability,
            worth(pair.probability, _effect(key, met)),
            said,
            Reason.BRIDGE if key in bridges else Reason.SCORE,
            forbidden.get(key, ""),
        )
        for (key, pair), said in zip(kept, evidence, strict=True)
    ]
    closed = _close_others(touched, wanted.keys())
    _upsert(rows, model_id=live.model_id, now=now)
    due = _mark_due(strong.keys() - bridges, best_only=verdicts is None) if live.settings.automatic else 0
    return Reconciled(len(rows), due, closed)


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


def _explain(pairs: Sequence[Pair], records: Mapping[int, Record], live: Live) -> list[str]:
    """The waterfalls, as JSON."""
    ids = sorted({id_ for pair in pairs for id_ in (pair.one, pair.other)})
    places = np.searchsorted(ids, np.asarray([(pair.one, pair.other) for pair in pairs]).reshape(-1, 2))
    told = live.scorer.explain_among([records[id_] for id_ in ids], places)
    return [msgspec.json.encode(one).decode() for one in told]


_MEET = """
SELECT p.id, (SELECT count(*) FROM (SELECT FROM event e WHERE e.profile_id = p.id LIMIT %s) AS first),
  (SELECT json_agg(json_build_array(i.kind, i.value)) FROM profile_identifier i WHERE i.profile_id = p.id)::text
FROM profile p WHERE p.id = ANY(%s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class _Met:
    """Of a profile in a pair: how many events it has, up to a thousand, and its identifiers."""

    events: int
    identifiers: dict[str, list[str]]


def _meet(ids: Collection[int]) -> dict[int, _Met]:
    """Those of the profiles that exist."""
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_MEET, [MOST_EVENTS, sorted(ids)])
        return {id_: _Met(events, by_kind(identifiers)) for id_, events, identifiers in cursor.fetchall()}


def _effect(pair: tuple[int, int], met: Mapping[int, _Met]) -> int:
    """How many events the smaller side of the pair has: what a merge would move."""
    return min(met[id_].events if id_ in met else 0 for id_ in pair)


_CLOSE = """
UPDATE match_candidate c SET state = 'gone', merge_due = false, held_by_id = NULL, held_until = NULL
WHERE c.state IN ('waiting', 'refused') AND c.id = ANY(%s::bigint[])
"""


def _close_others(touched: Collection[int], wanted: Collection[tuple[int, int]]) -> int:
    ids = list(touched)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, one_id, other_id FROM match_candidate"
            " WHERE (one_id = ANY(%(ids)s::bigint[]) OR other_id = ANY(%(ids)s::bigint[]))"
            "   AND state IN ('waiting', 'refused')",
            {"ids": ids},
        )
        stale = sorted(id_ for id_, one, other in cursor.fetchall() if (one, other) not in wanted)
        if stale:
            cursor.execute(_CLOSE, [stale])
    return len(stale)


# `skipped_at` stays: a person who skipped a pair is not asked again because a score moved a little.
_UPSERT = """
INSERT INTO match_candidate AS c (one_id, other_id, score, probability, value, evidence, state, reason, refusal,
  model_id, found_at, updated_at, merge_due)
SELECT u.one_id, u.other_id, u.score, u.probability, u.value, u.evidence, 'waiting', u.reason, u.refusal,
  m.model_id, m.now, m.now, false
FROM unnest(%s::bigint[], %s::bigint[], %s::float8[], %s::float8[], %s::float8[], %s::jsonb[], %s::text[], %s::text[])
  AS u(one_id, other_id, score, probability, value, evidence, reason, refusal),
  (SELECT %s::bigint AS model_id, %s::timestamptz AS now) AS m
ORDER BY 1, 2
ON CONFLICT (one_id, other_id) DO UPDATE SET score = EXCLUDED.score, probability = EXCLUDED.probability,
  value = EXCLUDED.value, evidence = EXCLUDED.evidence, state = 'waiting', reason = EXCLUDED.reason,
  refusal = EXCLUDED.refusal, model_id = EXCLUDED.model_id, updated_at = EXCLUDED.updated_at, merge_due = false
WHERE c.state IN ('waiting', 'refused', 'gone')
"""


def _upsert(rows: list[tuple[Any, ...]], *, model_id: int | None, now: datetime) -> None:
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(_UPSERT, [*columns, model_id, now])


_CLOSE_OLDER = """
UPDATE match_candidate SET state = 'gone', merge_due = false, held_by_id = NULL, held_until = NULL
WHERE state IN ('waiting', 'refused') AND updated_at < %s
"""


def close_older(since: datetime) -> int:
    """Close what neither a full pass that began at `since` nor the queue meanwhile has found again."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE_OLDER, [since])
        return int(cursor.rowcount)


_DUE = """
UPDATE match_candidate c SET merge_due = true
WHERE c.state = 'waiting'
  AND (c.one_id, c.other_id) IN (SELECT * FROM unnest(%(one)s::bigint[], %(other)s::bigint[]))
"""
# Mutually best: neither side has a better pair that still waits. Equal ones go by id.
_BEST = """
  AND NOT EXISTS (SELECT FROM match_candidate b
    WHERE b.one_id IN (c.one_id, c.other_id) AND b.state = 'waiting' AND (b.score, -b.id) > (c.score, -c.id))
  AND NOT EXISTS (SELECT FROM match_candidate b
    WHERE b.other_id IN (c.one_id, c.other_id) AND b.state = 'waiting' AND (b.score, -b.id) > (c.score, -c.id))
"""


def _mark_due(pairs: Collection[tuple[int, int]], *, best_only: bool) -> int:
    if not pairs:
        return 0
    ones, others = zip(*sorted(pairs), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_DUE + (_BEST if best_only else ""), {"one": list(ones), "other": list(others)})
        return int(cursor.rowcount)
