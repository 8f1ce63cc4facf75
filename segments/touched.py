"""What changed, and which segments that can touch: the dependency index turned round."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdp.kernel.prepared import Prepared, array
from segments.asking.questions import Questions
from segments.changes import ANY_TRAIT, ProfileChange, spread_account_changes
from segments.dependencies import GIVEN
from segments.engine import fetch
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


ROWS_AT_ONCE = 1_000
# Rows are taken by where they are, so that the plan is the same while the statistics of this queue are stale, which
# they are most of the time. Beside each: up to which row it was looked, whether rows may follow, and whether accounts
# changed.
_CLAIM = Prepared(
    "change_claim",
    ["bigint", "bigint"],
    f"""
WITH offered AS MATERIALIZED (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM (
        SELECT id, cardinality(profile_ids) AS size FROM change WHERE id > $1 ORDER BY id LIMIT {ROWS_AT_ONCE}
    ) AS c
), looked_at AS MATERIALIZED (
    SELECT max(id) FILTER (WHERE before < $2) AS last, count(*) = {ROWS_AT_ONCE} AS more FROM offered
), taken AS (
    DELETE FROM change WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM change WHERE id = ANY (ARRAY(SELECT id FROM offered WHERE before < $2))
        ORDER BY id FOR UPDATE SKIP LOCKED
    )) RETURNING id, profile_ids, events, traits, merged, created, accounts, purposes
)
SELECT l.last, l.more, EXISTS (SELECT FROM account_change), t.*
FROM looked_at AS l LEFT JOIN taken AS t ON true ORDER BY t.id
""",
)


def claim(limit: int) -> list[Change]:
    """Changes of some `limit` profiles, or a few more: a row names up to `PROFILES_A_ROW`.

    What changed of accounts is spread to their people first.
    """
    changes: list[Change] = []
    after, found, spread, more = 0, 0, False, True
    while more and found < limit:
        rows = _CLAIM.rows(after, limit - found)
        last, more, accounts = rows[0][:3]
        changes += [Change(*row[4:]) for row in rows if row[3] is not None]
        found = sum(len(change.profile_ids) for change in changes)
        after = last or after
        if accounts and not spread:
            spread_account_changes()
            spread = more = True
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
    return {row[0] for row in _EXISTING.rows(array(sorted(profile_ids)))}


_EXISTING = Prepared("change_existing", ["bigint[]"], "SELECT id FROM profile WHERE id = ANY ($1)")


class _Index:
    """The segments that read what these changes name, looked up once for all of them."""

    def __init__(self, changes: Sequence[Change]) -> None:
        asked: dict[str, set[Any]] = {
            "events": {event for change in changes for event in change.events},
            "traits": {trait for change in changes for trait in change.traits},
            "accounts": {trait for change in changes for trait in change.accounts},
            "purposes": {purpose for change in changes for purpose in change.purposes},
        }
        values = [list(keys) for keys in asked.values()]
        self._by: defaultdict[tuple[str, Any], set[int]] = defaultdict(set)
        self._any_account: set[int] = set()
        for kind, key, what, segment_id in _READING.rows(*values, ANY_TRAIT in asked["accounts"]):
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
_READING = Prepared(
    "change_reading",
    ["int[]", "text[]", "text[]", "bigint[]", "boolean"],
    """
SELECT d.kind, d.key, e.id, d.segment_id FROM event_name AS e
JOIN segment_dependency AS d ON d.kind = 'event' AND d.key = e.name
JOIN segments_segment AS s ON s.id = d.segment_id AND s.state = 'live'
WHERE e.id = ANY ($1)
UNION ALL
SELECT d.kind, d.key, d.purpose_id, d.segment_id FROM segment_dependency AS d
JOIN segments_segment AS s ON s.id = d.segment_id AND s.state = 'live'
WHERE d.kind = 'trait' AND d.key = ANY ($2)
   OR d.kind = 'account' AND (d.key = ANY ($3) OR $5)
   OR d.kind = 'consent' AND d.purpose_id = ANY ($4)
   OR d.kind = 'empty'
""",
)


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
