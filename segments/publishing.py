"""Compute a version aside and publish it: membership, count, transitions, due times and index in one transaction.

1. Ask the new definition of everybody, and so the segments that name this one, since they mean something else too.
2. Catch up: ask again of the profiles that changed meanwhile, until few are left.
3. Hold what publishing writes to, and see that everything still means what was asked. If not, ask again.
4. Catch up once more, now that nothing comes in between, and write the difference; of a new segment most of it has
   been written before (`segments.ahead`).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

import identity.queries
from segments.ahead import Ahead, write_ahead
from segments.ast import DefinitionError, Node, parse
from segments.columnar.ask import ask_states
from segments.compile import compile_state, compile_state_of
from segments.computations import Clock, Lease, LostError, fail
from segments.contracts import TransitionSpan
from segments.engine import (
    fetch,
    load_dictionary,
    local_settings,
    plan_at,
    population_settings,
    reason_of,
    run,
    snapshot,
)
from segments.evaluate import EVALUATE_SECONDS, last_transition_id
from segments.models import Segment, SegmentVersion
from segments.references import expand, hold_references, users_of
from segments.sql import Sql, sql
from segments.states import is_of_the_segment

if TYPE_CHECKING:
    from segments.columnar.states import States

RECOMPUTE_SECONDS = 900
FEW = 2_000
ROUNDS = 20
TRIES = 10
PROFILES_AT_ONCE = 2_000

Index = Callable[[Segment, Node], None]


@dataclass(frozen=True)
class _Subject:
    """A segment that is published: what it means from now on, under which number."""

    segment: Segment
    number: int
    definition: object
    node: Node
    expanded: Node
    table: Sql

    def means(self, other: "_Subject | None") -> bool:
        return other is not None and (self.number, self.expanded) == (other.number, other.expanded)


class _ChangedError(Exception):
    """What is to be published no longer means what was asked."""


def compute(lease: Lease, *, clock: Clock, index: Index, staging: "Staging | None" = None) -> TransitionSpan:
    """Compute and publish in the current transaction; a failure that lies in the definition is kept with it."""
    try:
        if staging is None:
            staging = Staging(lease)
            staging.ask_arrays(now=clock())
        with transaction.atomic():
            return _compute(staging, clock, index)
    except LostError:
        return _NOTHING
    except Exception as error:
        if lease.lost:
            return _NOTHING
        found = lease.mine().first()
        if not is_of_the_segment(error) or found is None:
            raise
        fail(found, reason_of(error, seconds=RECOMPUTE_SECONDS))
        return TransitionSpan((lease.segment_id,), last_transition_id(), 0, 0)


_NOTHING = TransitionSpan((), 0, 0, 0)


def _compute(staging: "Staging", clock: Clock, index: Index) -> TransitionSpan:
    for _ in range(TRIES):
        staging.ask_everybody(now=clock())
        try:
            with transaction.atomic():
                return staging.publish(clock=clock, index=index)
        except _ChangedError:
            continue
    raise DefinitionError(
        "The segments that it names, or that name it, are edited all the time. Compute it again.", code="busy", path=""
    )


class Staging:
    """The answers of a version on its way, in temporary tables of this transaction."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.asked: dict[int, _Subject] = {}
        self.packed: dict[int, tuple[_Subject, States]] = {}
        self.ahead: Ahead | None = None

    def ask_arrays(self, *, now: datetime) -> None:
        """Answers of large populations from packed arrays, which are read in a snapshot: in a transaction before.

        What changes after it began is noted, like all that changes once the lease was taken.
        """
        with snapshot(), population_settings(timeout_seconds=RECOMPUTE_SECONDS), _watched():
            for subject in self._subjects():
                self.lease.report(f"Asking everybody for {subject.segment.name}"[:80])
                states = ask_states(subject.expanded, now=now, pause=self._pause)
                if states:
                    self.packed[subject.segment.pk] = (subject, states)

    def _pause(self) -> None:
        if self.lease.lost:
            raise LostError

    def ask_everybody(self, *, now: datetime) -> None:
        """Step 1 and 2, for what has not been asked yet."""
        if self.ahead:
            self.ahead.take_back()
            self.ahead = None
        subjects = self._subjects()
        everybody = identity.queries.count_profiles()
        for place, subject in enumerate(subjects):
            if subject.means(self.asked.get(subject.segment.pk)):
                continue
            also = f" for {subject.segment.name}, which names it" if place else ""
            self.lease.report(f"Asking everybody{also}"[:80], total=everybody)
            self._ask(subject, now)
        self.asked = {subject.segment.pk: subject for subject in subjects}
        for _ in range(ROUNDS):
            if self._catch_up(now) < FEW:
                break
        main = subjects[0]
        with population_settings(timeout_seconds=RECOMPUTE_SECONDS):
            self.ahead = write_ahead(segment=main.segment, version=main.number, table=main.table, now=now)

    def publish(self, *, clock: Clock, index: Index) -> TransitionSpan:
        """Step 3 and 4."""
        self.lease.report("Waiting to publish")
        hold_references()
        computation = self.lease.mine().select_for_update().first()
        if computation is None:
            raise LostError
        subjects = self._subjects()
        held = Segment.objects.select_for_update(no_key=True).filter(pk__in=[each.segment.pk for each in subjects])
        list(held.order_by("pk"))
        same = {each.segment.pk for each in subjects} == self.asked.keys()
        if not same or not all(subject.means(self.asked[subject.segment.pk]) for subject in subjects):
            raise _ChangedError
        now, after_id = clock(), self.ahead.after_id if self.ahead else last_transition_id()
        self._catch_up(now)
        ahead = {self.ahead.segment_id: self.ahead} if self.ahead else {}
        moved = [_publish(each, ahead.get(each.segment.pk), now=now, index=index) for each in subjects]
        self.lease.settled = True
        computation.delete()
        return TransitionSpan(
            tuple(subject.segment.pk for subject in subjects),
            after_id,
            sum(entered for entered, _ in moved),
            sum(left for _, left in moved),
        )

    def _subjects(self) -> list[_Subject]:
        """What is computed, and after it the live segments that name it, nearest first."""
        computation = self.lease.mine().select_related("segment").first()
        if computation is None:
            raise LostError
        main = computation.segment
        node = parse(computation.definition)
        new = {main.slug: node}
        meant = expand(node, own=main.slug, new=new)
        subjects = [_Subject(main, computation.number, computation.definition, node, meant, self._table(main))]
        for segment in users_of(main.slug):
            if segment.state == Segment.State.LIVE:
                own = parse(segment.definition)
                meant = expand(own, own=segment.slug, new=new)
                table = self._table(segment)
                subjects.append(_Subject(segment, segment.version, segment.definition, own, meant, table))
        return subjects

    def _table(self, segment: Segment) -> Sql:
        return Sql(f"evaluated_{self.lease.id}_{segment.pk}")

    def _ask(self, subject: _Subject, now: datetime) -> None:
        run(sql("DROP TABLE IF EXISTS {table}", table=subject.table))
        asked, states = self.packed.pop(subject.segment.pk, (None, None))
        with population_settings(timeout_seconds=RECOMPUTE_SECONDS), _watched():
            if states and subject.means(asked):
                run(sql(_ANSWERS, table=subject.table))
                states.write(subject.table.text)
            else:
                state = compile_state(plan_at(subject.expanded, now=now), load_dictionary(subject.expanded))
                run(sql("CREATE TEMPORARY TABLE {table} ON COMMIT DROP AS {state}", table=subject.table, state=state))
            run(sql("ANALYZE {table}", table=subject.table))

    def _catch_up(self, now: datetime) -> int:
        """Ask again of those who changed, or whose time has come; returns how many."""
        noted = fetch(sql(_TAKE_NOTED, computation=self.lease.id))
        changed = {profile_id for (ids,) in noted for profile_id in ids}
        most = len(changed)
        for subject in self.asked.values():
            due = fetch(sql("SELECT profile_id FROM {table} WHERE due <= {now}", table=subject.table, now=now))
            ids = sorted(changed | {row[0] for row in due})
            most = max(most, len(ids))
            if self.ahead and self.ahead.segment_id == subject.segment.pk:
                self.ahead.again.update(ids)
            for start in range(0, len(ids), PROFILES_AT_ONCE):
                self.lease.report("Catching up with what changed meanwhile", done=start, total=len(ids))
                _ask_again(subject, ids[start : start + PROFILES_AT_ONCE], now)
        return most


def _watched() -> AbstractContextManager[None]:
    """Should this process be killed, the server notices and stops its query."""
    return local_settings(client_connection_check_interval="2s")


_ANSWERS = "CREATE TEMPORARY TABLE {table} (profile_id bigint, holds boolean, due timestamptz) ON COMMIT DROP"
_TAKE_NOTED = "DELETE FROM segment_computation_noted WHERE computation_id = {computation} RETURNING profile_ids"


def _ask_again(subject: _Subject, profile_ids: Sequence[int], now: datetime) -> None:
    query = compile_state_of(plan_at(subject.expanded, now=now), load_dictionary(subject.expanded), list(profile_ids))
    with local_settings(statement_timeout=f"{EVALUATE_SECONDS}s", jit="off"):
        forget = "DELETE FROM {table} WHERE profile_id = ANY ({ids}::bigint[])"
        run(sql(forget, table=subject.table, ids=list(profile_ids)))
        insert = (
            "INSERT INTO {table} SELECT q.profile_id, q.holds, q.due FROM ({query}) AS q"
            " WHERE q.holds OR q.due IS NOT NULL"
        )
        run(sql(insert, table=subject.table, query=query))


# --- The difference -----------------------------------------------------------------------------------------

_GONE = """
WITH gone AS (
    DELETE FROM membership AS m
    WHERE m.segment_id = {segment}
      AND NOT EXISTS (SELECT FROM {table} AS e WHERE e.profile_id = m.profile_id AND e.holds)
    RETURNING m.profile_id
)
INSERT INTO transition (profile_id, segment_id, version, kind, at, cause)
SELECT gone.profile_id, {segment}, {version}, 'left', {now},
       CASE WHEN p.id IS NULL THEN 'merge' ELSE 'definition' END
FROM gone LEFT JOIN profile AS p ON p.id = gone.profile_id
ORDER BY gone.profile_id
"""

_CAME = """
WITH came AS (
    INSERT INTO membership (profile_id, segment_id, entered_at)
    SELECT e.profile_id, {segment}, {now} FROM {table} AS e
    WHERE e.holds
      AND NOT EXISTS (
        SELECT FROM membership AS m WHERE m.profile_id = e.profile_id AND m.segment_id = {segment}
      )
    ORDER BY e.profile_id
    RETURNING profile_id
)
INSERT INTO transition (profile_id, segment_id, version, kind, at, cause)
SELECT profile_id, {segment}, {version}, 'entered', {now}, 'definition' FROM came ORDER BY profile_id
"""

_DUE_GONE = """
DELETE FROM due AS d WHERE d.segment_id = {segment}
  AND NOT EXISTS (SELECT FROM {table} AS e WHERE e.profile_id = d.profile_id AND e.due = d.at)
"""
_DUE_CAME = """
INSERT INTO due (profile_id, segment_id, at)
SELECT e.profile_id, {segment}, e.due FROM {table} AS e
WHERE e.due IS NOT NULL
  AND NOT EXISTS (SELECT FROM due AS d WHERE d.profile_id = e.profile_id AND d.segment_id = {segment})
ORDER BY e.profile_id
"""


def _publish(subject: _Subject, ahead: Ahead | None, *, now: datetime, index: Index) -> tuple[int, int]:
    segment = subject.segment
    with population_settings(timeout_seconds=RECOMPUTE_SECONDS):
        moved = _write_difference(subject, now=now) if ahead is None else None
        if ahead:
            ahead.correct(now=now)
        count: int = fetch(sql("SELECT count(*) FROM {table} WHERE holds", table=subject.table))[0][0]
        run(sql("DROP TABLE {table}", table=subject.table))
    segment.definition, segment.version = subject.definition, subject.number
    Segment.objects.filter(pk=segment.pk).update(
        definition=segment.definition,
        version=segment.version,
        state=Segment.State.LIVE,
        error="",
        member_count=count,
        computed_at=now,
    )
    index(segment, subject.node)
    versions = SegmentVersion.objects.filter(segment=segment, number=subject.number, published_at=None)
    versions.update(published_at=now, outcome=SegmentVersion.Outcome.NONE)
    return moved or (count, 0)


def _write_difference(subject: _Subject, *, now: datetime) -> tuple[int, int]:
    """Returns how many entered and how many left."""
    values = {"segment": subject.segment.pk, "version": subject.number, "now": now, "table": subject.table}
    left, entered = run(sql(_GONE, **values)), run(sql(_CAME, **values))
    run(sql(_DUE_GONE, **values))
    run(sql(_DUE_CAME, **values))
    return entered, left
