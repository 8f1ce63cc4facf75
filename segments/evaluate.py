"""Who is in: membership, transitions, due times and the count, always written together.

1. `evaluate_changes` asks the segments that a change can touch, of the profiles that changed.
2. `wake_due` asks the same where only time has passed.
3. `segments.publishing` asks the definition of a new version of the whole population.

All three hold the rows of the segments they write to, so that per segment they are serial: each sees everything
that was committed before it got the row, and nothing is lost between them. Locks are taken in one order (changes,
computations, segments by id, the rest), so they cannot deadlock.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F

from identity.models import Profile
from ingestion.models import EventName
from segments.changes import ANY_TRAIT, PROFILES_A_ROW, ProfileChange, spread_account_changes
from segments.computations import note
from segments.computed import evaluate as computed
from segments.consents import changed_consents
from segments.contracts import TransitionSpan
from segments.dependencies import GIVEN
from segments.engine import fetch, is_timeout, local_settings, run
from segments.models import Dependency, Segment, Transition
from segments.sql import Sql, sql
from segments.states import SegmentFailedError, States, states_of

EVALUATE_SECONDS = 30
MAX_ERROR = 500

Cause = Transition.Cause
Kind = Transition.Kind

log = structlog.get_logger(__name__)


# --- Some profiles, the segments that can have changed for them ---------------------------------------------

Causes = dict[int, dict[int, str]]  # segment -> profile -> the cause to name if the answer is new


def evaluate_changes(*, now: datetime, limit: int = 2_000) -> TransitionSpan:
    """Claim up to `limit` changes and ask the segments that they can touch."""
    with transaction.atomic():
        spread_account_changes()
        changes = _claim_changes(limit)
        changes += [_of_consent(change) for change in changed_consents()]  # after: it knows of all that was claimed
        if not changes:
            return TransitionSpan((), 0, 0, 0)
        note({profile_id for change in changes for profile_id in change.profile_ids})
        causes = _touched([*changes, *_computed(changes, now)])
        segments = _lock_live(Segment.objects.select_for_update(no_key=True), causes)
        return replace(_evaluate(segments, causes, now), claimed=sum(len(change.profile_ids) for change in changes))


def who_holds(*, profile_ids: Collection[int], now: datetime) -> dict[int, set[int]]:
    """By the id of a live segment, those of these profiles for whom it holds as they are now; nothing is written.

    A segment that fails holds for nobody, as far as can be told.
    """
    segments = list(Segment.objects.filter(state=Segment.State.LIVE))
    asked = {segment.pk: list(profile_ids) for segment in segments}
    states: States = {}
    while segments:
        try:
            with transaction.atomic():
                states = states_of(segments, asked, now=now)
            break
        except SegmentFailedError as failure:
            segments = [segment for segment in segments if segment.pk != failure.segment_id]
    return {
        segment_id: {profile_id for profile_id, (holds, _) in states.get(segment_id, {}).items() if holds}
        for segment_id in asked
    }


def wake_due(*, now: datetime, limit: int = 2_000) -> TransitionSpan:
    """Ask again where an answer can have changed by now; segments that somebody else holds are left to them."""
    with transaction.atomic():
        waiting = {segment_id for segment_id, _ in _due_pairs(now=now, limit=limit)}
        if not waiting:
            return TransitionSpan((), 0, 0, 0)
        segments = _lock_live(Segment.objects.select_for_update(no_key=True, skip_locked=True), waiting)
        causes: Causes = defaultdict(dict)
        for segment_id, profile_id in _due_pairs(now=now, limit=limit, segment_ids=[s.pk for s in segments]):
            causes[segment_id][profile_id] = Cause.TIME
        return replace(_evaluate(segments, causes, now), claimed=sum(map(len, causes.values())))


@dataclass(frozen=True)
class _Change:
    """A row of the queue: what happened, and to whom."""

    profile_ids: list[int]
    events: list[int]
    traits: list[str]
    merged: bool
    created: bool
    accounts: list[str]
    purposes: list[int]


def _computed(changes: Sequence[_Change], now: datetime) -> list[_Change]:
    """What follows of these changes for computed traits, as changes that segments follow in their turn."""
    names: defaultdict[frozenset[str], list[int]] = defaultdict(list)
    for profile_id, traits in computed.follow(changes, now=now).items():
        names[frozenset(traits)].append(profile_id)
    return [
        _Change(ids, [], sorted(traits), merged=False, created=False, accounts=[], purposes=[])
        for traits, ids in names.items()
    ]


# Two plain statements: as one, with the claimed in a subquery, its plan turns quadratic while the statistics of this
# queue are stale, which they are most of the time.
_CLAIM = """
SELECT id, profile_ids, events, traits, merged, created, accounts, purposes FROM change
WHERE id > {after} ORDER BY id LIMIT {limit} FOR UPDATE SKIP LOCKED
"""
_TAKE = "DELETE FROM change WHERE id = ANY ({ids}::bigint[])"


def _claim_changes(limit: int) -> list[_Change]:
    """Changes of some `limit` profiles, or a few more: a row names up to `PROFILES_A_ROW`."""
    changes: list[_Change] = []
    after, found = 0, 0
    while found < limit:
        claimed = fetch(sql(_CLAIM, after=after, limit=max(1, (limit - found) // PROFILES_A_ROW)))
        if not claimed:
            break
        run(sql(_TAKE, ids=[row[0] for row in claimed]))
        after = claimed[-1][0]
        changes += [_Change(*row[1:]) for row in claimed]
        found += sum(len(row[1]) for row in claimed)
    return changes


def _of_consent(change: ProfileChange) -> _Change:
    return _Change([change.profile_id], [], [], False, False, [], sorted(change.purposes))


_DUE = """
SELECT d.segment_id, d.profile_id FROM due AS d JOIN segments_segment AS s ON s.id = d.segment_id
WHERE d.at <= {now} AND s.state = 'live' AND {among}
ORDER BY d.at LIMIT {limit}
"""


def _due_pairs(*, now: datetime, limit: int, segment_ids: Sequence[int] | None = None) -> list[tuple[int, int]]:
    among = Sql("true") if segment_ids is None else sql("d.segment_id = ANY ({ids}::bigint[])", ids=segment_ids)
    return [(row[0], row[1]) for row in fetch(sql(_DUE, now=now, among=among, limit=limit))]


def _touched(changes: Sequence[_Change]) -> Causes:
    """The dependency index turned round: for each changed profile, the segments that read what changed.

    Asked of each kind of change once, and of a kind that no segment reads nobody is looked at.
    """
    index = _Index(changes)
    asked: defaultdict[int, set[int]] = defaultdict(set)
    merged: set[int] = set()
    for change in changes:
        segments = index.segments(change)
        if segments or change.merged:
            for profile_id in change.profile_ids:
                asked[profile_id] |= segments
        if change.merged:
            merged.update(change.profile_ids)
    existing = set(Profile.objects.filter(pk__in=list(asked)).values_list("pk", flat=True)) if asked else set()
    causes: Causes = defaultdict(dict)
    given = index.given(changes)
    for profile_id in existing:
        cause = Cause.MERGE if profile_id in merged else Cause.CHANGE
        for segment_id in asked[profile_id]:
            causes[segment_id][profile_id] = Cause.MANUAL if (segment_id, profile_id) in given else cause
    for segment_id, profile_id in _traces_of(asked.keys() - existing):
        causes[segment_id][profile_id] = Cause.MERGE
    return causes


class _Index:
    """The segments that read what these changes name, looked up once for all of them."""

    def __init__(self, changes: Sequence[_Change]) -> None:
        ids = {event for change in changes for event in change.events}
        traits = {trait for change in changes for trait in change.traits}
        accounts = {trait for change in changes for trait in change.accounts}
        self._names = dict(EventName.objects.filter(pk__in=ids).values_list("pk", "name"))
        self._by_event = self._read(Dependency.Kind.EVENT, self._names.values())
        self._by_trait = self._read(Dependency.Kind.TRAIT, traits)
        self._by_account = self._read(Dependency.Kind.ACCOUNT, accounts) if accounts else {}
        purposes = {purpose for change in changes for purpose in change.purposes}
        self._by_purpose = self._read_purposes(purposes) if purposes else {}
        self._any_account = self._every(kind=Dependency.Kind.ACCOUNT) if ANY_TRAIT in accounts else frozenset()
        self._empty = self._read(Dependency.Kind.EMPTY, [""])[""]
        self._all = self._every() if any(change.merged for change in changes) else frozenset()

    def segments(self, change: _Change) -> set[int]:
        if change.merged:
            return set(self._all)
        found = set(self._empty) if change.created else set()
        for event in change.events:
            found |= self._by_event[self._names.get(event, "")]
        for trait in change.traits:
            found |= self._by_trait[trait]
        for trait in change.accounts:
            found |= self._any_account if trait == ANY_TRAIT else self._by_account[trait]
        for purpose in change.purposes:
            found |= self._by_purpose[purpose]
        return found

    @staticmethod
    def given(changes: Sequence[_Change]) -> set[tuple[int, int]]:
        """Whom a person or a program has put into a manual segment or taken out, and which one."""
        named = [(key.removeprefix(GIVEN), change) for change in changes for key in change.traits if key[:8] == GIVEN]
        if not named:
            return set()
        ids = dict(Segment.objects.filter(slug__in={slug for slug, _ in named}).values_list("slug", "pk"))
        return {(ids[slug], id_) for slug, change in named if slug in ids for id_ in change.profile_ids}

    @staticmethod
    def _read_purposes(ids: Iterable[int]) -> defaultdict[int, set[int]]:
        index: defaultdict[int, set[int]] = defaultdict(set)
        rows = Dependency.objects.filter(purpose__in=list(ids), segment__state=Segment.State.LIVE)
        for purpose_id, segment_id in rows.values_list("purpose_id", "segment_id"):
            index[purpose_id].add(segment_id)
        return index

    @staticmethod
    def _read(kind: str, keys: Iterable[str]) -> defaultdict[str, set[int]]:
        index: defaultdict[str, set[int]] = defaultdict(set)
        rows = Dependency.objects.filter(kind=kind, key__in=list(keys), segment__state=Segment.State.LIVE)
        for key, segment_id in rows.values_list("key", "segment_id"):
            index[key].add(segment_id)
        return index

    @staticmethod
    def _every(**reading: str) -> frozenset[int]:
        """The segments that depend on anything of this `kind`; without one, all."""
        depending = {f"dependencies__{name}": value for name, value in reading.items()}
        return frozenset(Segment.objects.filter(state=Segment.State.LIVE, **depending).values_list("pk", flat=True))


def _traces_of(profile_ids: Collection[int]) -> list[tuple[int, int]]:
    """Where profiles that are no more still are members or have a due time."""
    if not profile_ids:
        return []
    traces = "SELECT segment_id, profile_id FROM {table} WHERE profile_id = ANY ({ids}::bigint[])"
    members = sql(traces, table=Sql("membership"), ids=list(profile_ids))
    dues = sql(traces, table=Sql("due"), ids=list(profile_ids))
    return [(row[0], row[1]) for row in fetch(sql("{members} UNION {dues}", members=members, dues=dues))]


def _lock_live(rows: Any, segment_ids: Iterable[int]) -> list[Segment]:
    """Hold these segments, in the order of their ids, as far as they still are live."""
    found = rows.filter(pk__in=list(segment_ids)).order_by("pk")
    return [segment for segment in found if segment.state == Segment.State.LIVE]


def _evaluate(segments: Sequence[Segment], causes: Causes, now: datetime) -> TransitionSpan:
    """Ask each of these segments of its profiles and write what is new; one that fails does not stop the others."""
    after_id = last_transition_id()
    states: States = {}
    remaining = list(segments)
    while remaining:
        try:
            with transaction.atomic(), local_settings(statement_timeout=f"{EVALUATE_SECONDS}s", jit="off"):
                states = states_of(remaining, causes, now=now)
            break
        except SegmentFailedError as failure:
            _mark_failed(failure.segment_id, failure.reason)
            remaining = [segment for segment in remaining if segment.pk != failure.segment_id]
    entered, left = _write(remaining, states, causes, now)
    return TransitionSpan(tuple(segment.pk for segment in segments), after_id, entered, left)


_BEFORE = """
SELECT w.segment_id, w.profile_id, m.profile_id IS NOT NULL, d.at
FROM unnest({segments}::bigint[], {profiles}::bigint[]) AS w(segment_id, profile_id)
LEFT JOIN membership AS m ON m.profile_id = w.profile_id AND m.segment_id = w.segment_id
LEFT JOIN due AS d ON d.profile_id = w.profile_id AND d.segment_id = w.segment_id
ORDER BY w.profile_id, w.segment_id
"""


def _write(segments: Sequence[Segment], states: States, causes: Causes, now: datetime) -> tuple[int, int]:
    """Compare with what is known and write the differences, sorted by key."""
    pairs = [(segment.pk, profile_id) for segment in segments for profile_id in causes[segment.pk]]
    if not pairs:
        return 0, 0
    news = _News({segment.pk: segment.version for segment in segments}, now)
    before = sql(_BEFORE, segments=[pair[0] for pair in pairs], profiles=[pair[1] for pair in pairs])
    for segment_id, profile_id, was_in, was_due in fetch(before):
        holds, due = states[segment_id].get(profile_id, (False, None))
        if holds != was_in:
            news.add_transition(segment_id, profile_id, holds, causes[segment_id][profile_id])
        if due != was_due:
            news.add_due(segment_id, profile_id, due)
    return news.write()


class _News:
    """The differences that one evaluation found, gathered so that each table is written once."""

    def __init__(self, versions: Mapping[int, int], now: datetime) -> None:
        self.versions = versions
        self.now = now
        self.transitions: list[tuple[int, int, str, str]] = []
        self.dues: list[tuple[int, int, datetime]] = []
        self.dues_gone: list[tuple[int, int]] = []

    def add_transition(self, segment_id: int, profile_id: int, holds: bool, cause: str) -> None:
        self.transitions.append((segment_id, profile_id, Kind.ENTERED if holds else Kind.LEFT, cause))

    def add_due(self, segment_id: int, profile_id: int, due: datetime | None) -> None:
        if due is None:
            self.dues_gone.append((segment_id, profile_id))
        else:
            self.dues.append((segment_id, profile_id, due))

    def write(self) -> tuple[int, int]:
        came = [(segment, profile) for segment, profile, kind, _ in self.transitions if kind == Kind.ENTERED]
        gone = [(segment, profile) for segment, profile, kind, _ in self.transitions if kind == Kind.LEFT]
        self._write_members(came, gone)
        self._write_transitions()
        self._write_dues()
        self._write_counts(came, gone)
        return len(came), len(gone)

    def _write_members(self, came: list[tuple[int, int]], gone: list[tuple[int, int]]) -> None:
        if gone:
            run(sql(_DELETE_PAIRS, table=Sql("membership"), pairs=_pairs(gone)))
        if came:
            insert = (
                "INSERT INTO membership (segment_id, profile_id, entered_at)"
                " SELECT segment_id, profile_id, {now} FROM {pairs} ORDER BY profile_id, segment_id"
            )
            run(sql(insert, now=self.now, pairs=_pairs(came)))

    def _write_transitions(self) -> None:
        if not self.transitions:
            return
        insert = (
            "INSERT INTO transition (segment_id, profile_id, version, kind, cause, at)"
            " SELECT w.*, {now} FROM unnest({segments}::bigint[], {profiles}::bigint[], {versions}::int[],"
            " {kinds}::text[], {causes}::text[]) AS w"
        )
        segments, profiles, kinds, causes = map(list, zip(*self.transitions, strict=True))
        versions = [self.versions[segment] for segment in segments]
        run(
            sql(
                insert,
                now=self.now,
                segments=segments,
                profiles=profiles,
                versions=versions,
                kinds=[str(kind) for kind in kinds],
                causes=[str(cause) for cause in causes],
            )
        )

    def _write_dues(self) -> None:
        if self.dues_gone:
            run(sql(_DELETE_PAIRS, table=Sql("due"), pairs=_pairs(self.dues_gone)))
        if self.dues:
            upsert = (
                "INSERT INTO due (segment_id, profile_id, at)"
                " SELECT * FROM unnest({segments}::bigint[], {profiles}::bigint[], {ats}::timestamptz[])"
                " ON CONFLICT (profile_id, segment_id) DO UPDATE SET at = excluded.at"
            )
            segments, profiles, ats = map(list, zip(*self.dues, strict=True))
            run(sql(upsert, segments=segments, profiles=profiles, ats=ats))

    def _write_counts(self, came: list[tuple[int, int]], gone: list[tuple[int, int]]) -> None:
        changes = Counter(segment for segment, _ in came)
        changes.subtract(segment for segment, _ in gone)
        for segment_id, change in sorted(changes.items()):
            if change:
                Segment.objects.filter(pk=segment_id).update(member_count=F("member_count") + change)


_DELETE_PAIRS = (
    "DELETE FROM {table} AS t USING {pairs} WHERE t.profile_id = w.profile_id AND t.segment_id = w.segment_id"
)


def _pairs(pairs: Sequence[tuple[int, int]]) -> Sql:
    return sql(
        "unnest({segments}::bigint[], {profiles}::bigint[]) AS w(segment_id, profile_id)",
        segments=[segment for segment, _ in pairs],
        profiles=[profile for _, profile in pairs],
    )


# --- Failures -----------------------------------------------------------------------------------------------


def _mark_failed(segment_id: int, error: Exception) -> None:
    reason = reason_of(error, seconds=EVALUATE_SECONDS)
    log.error("segment_failed", segment=segment_id, error=reason)
    Segment.objects.filter(pk=segment_id).update(state=Segment.State.FAILED, error=reason.strip()[:MAX_ERROR])


def reason_of(error: Exception, *, seconds: int) -> str:
    """For whoever wrote the definition: where it was too slow, what to change about it."""
    if not is_timeout(error):
        return str(error)
    return (
        f"It took longer than allowed, which is {seconds} seconds. Shorten its windows, name rarer events,"
        " or make several segments of it."
    )


def last_transition_id() -> int:
    found: int = fetch(Sql("SELECT coalesce(max(id), 0) FROM transition"))[0][0]
    return found
