"""What evaluation found that was not known: compared with what is, and written, each table once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np

from segments.asking.answers import States
from segments.asking.arrays import NEVER, Ids, Instants, listed, spelled
from segments.asking.questions import Questions
from segments.asking.table import read
from segments.engine import run
from segments.models import Transition
from segments.sql import Sql, sql
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


class News:
    """The differences that one evaluation found, gathered so that each table is written once."""

    def __init__(self, versions: Mapping[int, int], now: datetime) -> None:
        self.versions = versions
        self.now = now
        self.transitions: list[tuple[int, int, str, str]] = []
        self.dues: list[tuple[Ids, Ids, Instants]] = []

    def compare(self, asked: Asked, states: States) -> None:
        """Gather what these answers say that is not written yet."""
        questions, before = asked.questions, known(asked.questions)
        moved = questions.asked & (states.holds != before.holds)
        for segment, profile in np.argwhere(moved.T)[:, ::-1].tolist():
            segment_id, profile_id = int(questions.segments[segment]), int(questions.profiles[profile])
            kind = Kind.ENTERED if states.holds[segment, profile] else Kind.LEFT
            self.transitions.append((segment_id, profile_id, kind, asked.cause(segment_id, profile_id)))
        profiles, segments = np.nonzero((questions.asked & (states.due != before.due)).T)
        self.dues.append((questions.segments[segments], questions.profiles[profiles], states.due[segments, profiles]))

    def write(self) -> tuple[int, int]:
        """Returns how many entered and how many left."""
        came = [(segment, profile) for segment, profile, kind, _ in self.transitions if kind == Kind.ENTERED]
        gone = [(segment, profile) for segment, profile, kind, _ in self.transitions if kind == Kind.LEFT]
        self._write_members(came, gone)
        self._write_transitions()
        self._write_dues()
        self._write_counts(came, gone)
        return len(came), len(gone)

    def _write_members(self, came: Pairs, gone: Pairs) -> None:
        if gone:
            run(sql(_DELETE_PAIRS, table=Sql("membership"), pairs=_pairs(*zip(*gone, strict=True))))
        if came:
            insert = (
                "INSERT INTO membership (segment_id, profile_id, entered_at)"
                " SELECT segment_id, profile_id, {now} FROM {pairs} ORDER BY profile_id, segment_id"
            )
            run(sql(insert, now=self.now, pairs=_pairs(*zip(*came, strict=True))))

    def _write_transitions(self) -> None:
        if not self.transitions:
            return
        insert = (
            "INSERT INTO transition (segment_id, profile_id, version, kind, cause, at)"
            " SELECT w.*, {now} FROM unnest({segments}::bigint[], {profiles}::bigint[], {versions}::int[],"
            " {kinds}::text[], {causes}::text[]) AS w"
        )
        segments, profiles, kinds, causes = zip(*self.transitions, strict=True)
        run(
            sql(
                insert,
                now=self.now,
                segments=listed(segments),
                profiles=listed(profiles),
                versions=listed(self.versions[segment] for segment in segments),
                kinds=listed(kinds),
                causes=listed(causes),
            )
        )

    def _write_dues(self) -> None:
        if not self.dues:
            return
        segments, profiles, ats = (np.concatenate(column) for column in zip(*self.dues, strict=True))
        gone = ats == NEVER
        if gone.any():
            pairs = _pairs(segments[gone], profiles[gone])
            run(sql(_DELETE_PAIRS, table=Sql("due"), pairs=pairs))
        if not gone.all():
            order = np.lexsort((segments[~gone], profiles[~gone]))
            upsert = (
                "INSERT INTO due (segment_id, profile_id, at)"
                " SELECT * FROM unnest({segments}::bigint[], {profiles}::bigint[], {ats}::timestamptz[])"
                " ON CONFLICT (profile_id, segment_id) DO UPDATE SET at = excluded.at"
            )
            segments, profiles, ats = segments[~gone][order], profiles[~gone][order], ats[~gone][order]
            run(sql(upsert, segments=listed(segments), profiles=listed(profiles), ats=spelled(ats)))

    @staticmethod
    def _write_counts(came: Pairs, gone: Pairs) -> None:
        """Of segments whose rows are held, so that the order does not matter."""
        changes = Counter(segment for segment, _ in came)
        changes.subtract(segment for segment, _ in gone)
        differing = {segment: change for segment, change in sorted(changes.items()) if change}
        if differing:
            run(sql(_COUNT, segments=list(differing.keys()), changes=list(differing.values())))


_DELETE_PAIRS = (
    "DELETE FROM {table} AS t USING {pairs} WHERE t.profile_id = w.profile_id AND t.segment_id = w.segment_id"
)
_COUNT = (
    "UPDATE segments_segment AS s SET member_count = s.member_count + w.change"
    " FROM unnest({segments}::bigint[], {changes}::bigint[]) AS w(id, change) WHERE s.id = w.id"
)


def _pairs(segments: Iterable[int], profiles: Iterable[int]) -> Sql:
    return sql(
        "unnest({segments}::bigint[], {profiles}::bigint[]) AS w(segment_id, profile_id)",
        segments=listed(segments),
        profiles=listed(profiles),
    )
