"""What changed, and which segments that can touch: the dependency index turned round."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ingestion.models import EventName
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
    """Questions, and for each the cause to name if the answer is new: of the pair, of the profile, or a change."""

    questions: Questions
    merged: Collection[int] = ()
    given: Collection[tuple[int, int]] = ()
    otherwise: str = Cause.CHANGE

    def to(self, segment_ids: Iterable[int]) -> "Asked":
        """What is asked of these segments, which are among those that are asked."""
        return replace(self, questions=self.questions.about(segment_ids))

    def cause(self, segment_id: int, profile_id: int) -> str:
        if (segment_id, profile_id) in self.given:
            return Cause.MANUAL
        return Cause.MERGE if profile_id in self.merged else self.otherwise


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
        self._all = self._every() if any(map(_moves_anything, changes)) else frozenset()

    def segments(self, change: Change) -> set[int]:
        if _moves_anything(change):
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
