"""What changed, and which segments that can touch: the dependency index turned round."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segments.asking.arrays import ids_of, listed
from segments.asking.questions import Questions
from segments.changes import ANY_TRAIT, ProfileChange
from segments.dependencies import GIVEN
from segments.engine import fetch, run
from segments.models import Dependency, Segment, Transition
from segments.sql import Sql, sql

Cause = Transition.Cause


@dataclass(frozen=True)
class Change:
    """A row of the queue: what happened, and to whom."""

    profile_ids: list[int]
    events: list[int]
    traits: list[str]
    merged: bool
    created: bool
    accounts: list[str]
    purposes: list[int]


# Plain statements: as one, with the claimed in a subquery, its plan turns quadratic while the statistics of this queue
# are stale, which they are most of the time.
_OFFERED = "SELECT id, cardinality(profile_ids) FROM change WHERE id > {after} ORDER BY id LIMIT {limit}"
_CLAIM = """
SELECT profile_ids, events, traits, merged, created, accounts, purposes, id FROM change
WHERE id = ANY ({ids}::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED
"""
_TAKE = "DELETE FROM change WHERE id = ANY ({ids}::bigint[])"
ROWS_AT_ONCE = 1_000


def claim(limit: int) -> list[Change]:
    """Changes of some `limit` profiles, or a few more: a row names up to `PROFILES_A_ROW`."""
    changes: list[Change] = []
    after, found = 0, 0
    while found < limit:
        offered = fetch(sql(_OFFERED, after=after, limit=ROWS_AT_ONCE))
        ids = []
        for after, size in offered:
            if found >= limit:
                break
            ids.append(after)
            found += size
        claimed = fetch(sql(_CLAIM, ids=ids)) if ids else []
        if claimed:
            run(sql(_TAKE, ids=[row[-1] for row in claimed]))
            changes += [Change(*row[:-1]) for row in claimed]
        if len(offered) < ROWS_AT_ONCE:
            break
        found = sum(len(change.profile_ids) for change in changes)
    return changes


def of_consent(change: ProfileChange) -> Change:
    return Change([change.profile_id], [], [], False, False, [], sorted(change.purposes))


@dataclass(frozen=True)
class Asked:
    """Questions, and for each the cause to name if the answer is new: of the pair, of the profile, or a change.

    `due` are pairs that only time can have changed.
    """

    questions: Questions
    merged: Collection[int] = ()
    given: Collection[tuple[int, int]] = ()
    due: Collection[tuple[int, int]] = ()

    def and_due(self, due: Collection[tuple[int, int]]) -> "Asked":
        """And these pairs, of which time is the cause where nothing else is."""
        return replace(self, questions=self.questions.also(due), due=set(due) - self.questions.pairs(due))

    def to(self, segment_ids: Iterable[int]) -> "Asked":
        """What is asked of these segments, which are among those that are asked."""
        return replace(self, questions=self.questions.about(segment_ids))

    def cause(self, segment_id: int, profile_id: int) -> str:
        if (segment_id, profile_id) in self.given:
            return Cause.MANUAL
        if (segment_id, profile_id) in self.due:
            return Cause.TIME
        return Cause.MERGE if profile_id in self.merged else Cause.CHANGE


def touched(changes: Sequence[Change]) -> Asked:
    """For each changed profile, the segments that read what changed.

    Asked of each kind of change once, and of a kind that no segment reads nobody is looked at. Of one that
    merged or parted those too that it is in or waits for: where it is no more, only those.
    """
    index = _Index(changes)
    pairs = [(index.segments(change), change.profile_ids) for change in changes]
    merged = {profile_id for change in changes if change.merged for profile_id in change.profile_ids}
    named = merged.union(*(people for segments, people in pairs if segments))
    gone = named - _existing(named)
    if gone:
        pairs = [(segments, [each for each in people if each not in gone]) for segments, people in pairs]
    pairs += [({segment_id}, [profile_id]) for segment_id, profile_id in _traces_of(merged | gone)]
    return Asked(Questions.of(pairs), merged | gone, index.given(changes))


def _existing(profile_ids: Collection[int]) -> set[int]:
    if not profile_ids:
        return set()
    ids = listed(ids_of(sorted(profile_ids)))
    return {row[0] for row in fetch(sql("SELECT id FROM profile WHERE id = ANY ({ids}::bigint[])", ids=ids))}


class _Index:
    """The segments that read what these changes name, looked up once for all of them."""

    def __init__(self, changes: Sequence[Change]) -> None:
        asked: dict[str, set[Any]] = {
            "events": {event for change in changes for event in change.events},
            "traits": {trait for change in changes for trait in change.traits},
            "accounts": {trait for change in changes for trait in change.accounts},
            "purposes": {purpose for change in changes for purpose in change.purposes},
        }
        any_account = ANY_TRAIT in asked["accounts"]
        values = {name: list(keys) for name, keys in asked.items()}
        self._by: defaultdict[tuple[str, Any], set[int]] = defaultdict(set)
        self._any_account: set[int] = set()
        for kind, key, what, segment_id in fetch(sql(_READING, any_account=any_account, **values)):
            self._by[kind, key if what is None else what].add(segment_id)
            if kind == Dependency.Kind.ACCOUNT:
                self._any_account.add(segment_id)
        self._all = self._every() if any(map(_moves_anything, changes)) else frozenset()

    def segments(self, change: Change) -> set[int]:
        if _moves_anything(change):
            return set(self._all)
        kinds = Dependency.Kind
        found = set(self._by[kinds.EMPTY.value, ""]) if change.created else set()
        for kind, keys in (
            (kinds.EVENT.value, change.events),
            (kinds.TRAIT.value, change.traits),
            (kinds.ACCOUNT.value, change.accounts),
            (kinds.CONSENT.value, change.purposes),
        ):
            found |= set().union(*(self._by[kind, key] for key in keys))
        return found | self._any_account if ANY_TRAIT in change.accounts else found

    @staticmethod
    def given(changes: Sequence[Change]) -> set[tuple[int, int]]:
        """Whom a person or a program has put into a manual segment or taken out, and which one."""
        named = [
            (key.removeprefix(GIVEN), change)
            for change in changes
            if not change.merged
            for key in change.traits
            if key.startswith(GIVEN)
        ]
        if not named:
            return set()
        ids = dict(Segment.objects.filter(slug__in={slug for slug, _ in named}).values_list("slug", "pk"))
        return {(ids[slug], id_) for slug, change in named if slug in ids for id_ in change.profile_ids}

    @staticmethod
    def _every() -> frozenset[int]:
        return frozenset(row[0] for row in fetch(Sql("SELECT id FROM segments_segment WHERE state = 'live'")))


# `what` is the id of the event name or of the purpose: a change names them by it.
_READING = """
SELECT d.kind, d.key, e.id, d.segment_id FROM event_name AS e
JOIN segment_dependency AS d ON d.kind = 'event' AND d.key = e.name
JOIN segments_segment AS s ON s.id = d.segment_id AND s.state = 'live'
WHERE e.id = ANY ({events}::int[])
UNION ALL
SELECT d.kind, d.key, d.purpose_id, d.segment_id FROM segment_dependency AS d
JOIN segments_segment AS s ON s.id = d.segment_id AND s.state = 'live'
WHERE d.kind = 'trait' AND d.key = ANY ({traits}::text[])
   OR d.kind = 'account' AND (d.key = ANY ({accounts}::text[]) OR {any_account})
   OR d.kind = 'consent' AND d.purpose_id = ANY ({purposes}::bigint[])
   OR d.kind = 'empty'
"""


def _moves_anything(change: Change) -> bool:
    """A merge of which it is not said what moved."""
    return change.merged and not (change.events or change.traits or change.accounts)


def _traces_of(profile_ids: Collection[int]) -> list[tuple[int, int]]:
    """Where profiles are members or have a due time."""
    if not profile_ids:
        return []
    traces = "SELECT segment_id, profile_id FROM {table} WHERE profile_id = ANY ({ids}::bigint[])"
    members = sql(traces, table=Sql("membership"), ids=list(profile_ids))
    dues = sql(traces, table=Sql("due"), ids=list(profile_ids))
    return [(row[0], row[1]) for row in fetch(sql("{members} UNION {dues}", members=members, dues=dues))]
