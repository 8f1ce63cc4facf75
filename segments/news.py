"""What evaluation found that was not known: compared with what is, and written, each table once."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

import numpy as np

from cdp.kernel.prepared import Call, Prepared, array, columns, rows_after, run
from segments.asking.answers import States
from segments.asking.arrays import NEVER, Flags, Ids, Instants, listed, spelled
from segments.asking.questions import Questions
from segments.asking.table import read
from segments.models import Transition
from segments.sql import sql
from segments.touched import Asked

Kind = Transition.Kind
Pairs = list[tuple[int, int]]
"""A segment and a profile each."""

_MEMBERS = (
    "SELECT m.segment_id AS what, i.id AS profile, 'infinity'::timestamptz AS at, 1::float8 AS number"
    " FROM unnest({profiles}::bigint[]) AS i(id) CROSS JOIN LATERAL (SELECT m.segment_id FROM membership AS m"
    " WHERE m.profile_id = i.id AND m.segment_id = ANY ({segments}::bigint[]) OFFSET 0) AS m"
)
_DUES = (
    "SELECT d.segment_id, i.id, d.at, 0::float8"
    " FROM unnest({profiles}::bigint[]) AS i(id) CROSS JOIN LATERAL (SELECT d.segment_id, d.at FROM due AS d"
    " WHERE d.profile_id = i.id AND d.segment_id = ANY ({segments}::bigint[]) OFFSET 0) AS d"
)


def known(questions: Questions) -> States:
    """What is written of these segments and profiles."""
    holds = np.zeros(questions.asked.shape, dtype=np.bool_)
    due = np.full(questions.asked.shape, NEVER, dtype=np.int64)
    values = {"profiles": listed(questions.profiles), "segments": listed(questions.segments)}
    rows = read([sql(_MEMBERS, **values), sql(_DUES, **values)])
    segments, profiles = (
        np.searchsorted(questions.segments, rows.what),
        np.searchsorted(questions.profiles, rows.profile),
    )
    members = rows.number > 0
    holds[segments[members], profiles[members]] = True
    due[segments[~members], profiles[~members]] = rows.at[~members]
    return States(holds, due)


@dataclass(frozen=True)
class Written:
    """How many entered and left, in transitions with ids above `after_id`."""

    after_id: int
    entered: int
    left: int


class News:
    """The differences that one evaluation found, gathered so that each table is written once."""

    def __init__(self, versions: Mapping[int, int], now: datetime) -> None:
        self.versions = versions
        self.now = now
        self.transitions: list[tuple[int, int, str, str]] = []
        self.dues: list[tuple[Ids, Ids, Instants, Flags]] = []
        """Segments, profiles, when their answers can change now, and whether that was known of before."""

    def compare(self, asked: Asked, states: States) -> None:
        """Gather what these answers say that is not written yet."""
        questions, before = asked.questions, known(asked.questions)
        moved = questions.asked & (states.holds != before.holds)
        for segment, profile in np.argwhere(moved.T)[:, ::-1].tolist():
            segment_id, profile_id = int(questions.segments[segment]), int(questions.profiles[profile])
            kind = Kind.ENTERED if states.holds[segment, profile] else Kind.LEFT
            self.transitions.append((segment_id, profile_id, kind, asked.cause(segment_id, profile_id)))
        profiles, segments = np.nonzero((questions.asked & (states.due != before.due)).T)
        at, known_at = states.due[segments, profiles], before.due[segments, profiles]
        self.dues.append((questions.segments[segments], questions.profiles[profiles], at, known_at != NEVER))

    def write(self) -> Written:
        """All of it at once, and the transitions last."""
        came = [(segment, profile) for segment, profile, kind, _ in self.transitions if kind == Kind.ENTERED]
        gone = [(segment, profile) for segment, profile, kind, _ in self.transitions if kind == Kind.LEFT]
        calls = [*self._members(came, gone), *self._dues(), *self._counts(came, gone)]
        if not self.transitions:
            run(calls)
            return Written(0, 0, 0)
        ((first,),) = rows_after(calls, self._transitions())
        return Written(first - 1, len(came), len(gone))

    def _members(self, came: Pairs, gone: Pairs) -> Iterator[Call]:
        if gone:
            yield _LEAVE.of(*columns(gone))
        if came:
            yield _ENTER.of(self.now, *columns(sorted(came, key=itemgetter(1, 0))))

    def _transitions(self) -> Call:
        segments, profiles, kinds, causes = zip(*self.transitions, strict=True)
        versions = array(self.versions[segment] for segment in segments)
        return _MOVE.of(self.now, array(segments), array(profiles), versions, listed(kinds), listed(causes))

    def _dues(self) -> Iterator[Call]:
        if not self.dues:
            return
        segments, profiles, ats, known_of = (np.concatenate(column) for column in zip(*self.dues, strict=True))
        order = np.lexsort((segments, profiles))
        comes = ats != NEVER
        for write, which in ((_DUE_NEVER, ~comes), (_DUE_AT, comes & known_of), (_DUE_NEW, comes & ~known_of)):
            some = order[which[order]]
            if len(some):
                pairs = array(segments[some].tolist()), array(profiles[some].tolist())
                yield write.of(*pairs) if write is _DUE_NEVER else write.of(*pairs, spelled(ats[some]))

    @staticmethod
    def _counts(came: Pairs, gone: Pairs) -> Iterator[Call]:
        """Of segments whose rows are held, so that the order does not matter."""
        changes = Counter(segment for segment, _ in came)
        changes.subtract(segment for segment, _ in gone)
        differing = [(segment, change) for segment, change in sorted(changes.items()) if change]
        if differing:
            yield _COUNT.of(*columns(differing))


_LEAVE = Prepared(
    "membership_leave",
    ["bigint[]", "bigint[]"],
    "DELETE FROM membership AS t USING unnest($1, $2) AS w(segment_id, profile_id)"
    " WHERE t.profile_id = w.profile_id AND t.segment_id = w.segment_id",
)
_ENTER = Prepared(
    "membership_enter",
    ["timestamptz", "bigint[]", "bigint[]"],
    "INSERT INTO membership (segment_id, profile_id, entered_at) SELECT w.*, $1 FROM unnest($2, $3) AS w",
)
_MOVE = Prepared(
    "transition_add",
    ["timestamptz", "bigint[]", "bigint[]", "int[]", "text[]", "text[]"],
    "WITH added AS (INSERT INTO transition (segment_id, profile_id, version, kind, cause, at)"
    " SELECT w.*, $1 FROM unnest($2, $3, $4, $5, $6) AS w RETURNING id) SELECT min(id) FROM added",
)
_DUE_NEVER = Prepared(
    "due_never",
    ["bigint[]", "bigint[]"],
    "DELETE FROM due AS t USING unnest($1, $2) AS w(segment_id, profile_id)"
    " WHERE t.profile_id = w.profile_id AND t.segment_id = w.segment_id",
)
_DUE_AT = Prepared(
    "due_at",
    ["bigint[]", "bigint[]", "timestamptz[]"],
    "UPDATE due AS t SET at = w.at FROM unnest($1, $2, $3) AS w(segment_id, profile_id, at)"
    " WHERE t.profile_id = w.profile_id AND t.segment_id = w.segment_id",
)
_DUE_NEW = Prepared(
    "due_new",
    ["bigint[]", "bigint[]", "timestamptz[]"],
    "INSERT INTO due (segment_id, profile_id, at) SELECT * FROM unnest($1, $2, $3)",
)
_COUNT = Prepared(
    "segment_count",
    ["bigint[]", "bigint[]"],
    "UPDATE segments_segment AS s SET member_count = s.member_count + w.change"
    " FROM unnest($1, $2) AS w(id, change) WHERE s.id = w.id",
)
