"""Candidates follow what was scored: missing ones are added, changed ones refreshed, stale ones closed."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from cdp.kernel.prepared import Call, Prepared, array, columns, run
from identity.candidates.constraints import refusals
from identity.candidates.contracts import Pair, Person
from identity.candidates.live import Live
from identity.candidates.models import Candidate
from identity.candidates.store import by_kind
from identity.candidates.upsert import Row, writes_of
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
        Row(
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
    writes = writes_of(rows, model_id=live.model_id, now=now)
    written = run([*_closing(stale), *writes, *due])
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
