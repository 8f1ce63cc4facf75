"""The product's story on one page.

    accept(request)         one durable row in the inbox per HTTP request, then 200      (ingestion.http)
    drain()                 claim inbox rows -> decode -> consent at the door -> the source's rules -> spell
                            identifiers -> enrich -> de-duplicate -> resolve identities -> sort into sessions
                            -> append events, merge traits -> note what changed
    evaluate(changes)       the segments those changes can touch, for those profiles
    end_sessions()          the visits in which nothing has happened for long enough
    keep_computed()         traits that follow from events, where only time has passed; `evaluate` keeps the others
    wake(due)               the same evaluation where only time has passed
    match()                 who changed is compared with those alike; a person is asked, or both are merged
    replay()                messages of the quarantine, mended, through the same drain
    plan(transitions)       one delivery per subscription that consent allows
    deliver(deliveries)     ask consent again, send, record the attempt, schedule the next

Every step moves rows from one table to the next in one transaction, so a step that is killed has not happened.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

import activation.operations
import identity.candidates.operations
import identity.candidates.queue
import identity.candidates.turn
import segments.computations
import segments.operations
from cdp.chunk import NOTHING, Drained, changes_of
from cdp.drain import ATTEMPTS, drain_chunk, persistently, replay_batch
from cdp.kernel.garbage import collecting_later
from identity.contracts import Resolution
from identity.survivorship import runs
from ingestion import event_log
from ingestion.sessions import operations as sessions
from segments.changes import ProfileChange, note_changes
from segments.computed import evaluate as computed
from segments.computed import passes
from segments.contracts import TransitionSpan

CHUNK_CHANGES = 2_000
CHUNK_SESSIONS = 2_000
CHUNK_DUE = 2_000
CHUNK_DELIVERIES = 500
CHUNK_REPLAYED = 500


def drain(*, now: datetime, max_events: int | None = None, committed: Callable[[], None] | None = None) -> Drained:
    """Take one chunk out of the inbox, in one transaction. Nothing claimed: all zeros.

    It is about `max_events` messages; not given, as many as suit what waits.
    A message that PostgreSQL itself refuses fails the chunk; the chunk is then taken apart until that message
    stands alone and can be quarantined. `committed` is called as soon as something was taken, before the live view.
    """
    return persistently(lambda: drain_chunk(now=now, max_events=max_events, committed=committed), now=now)


def replay(*, now: datetime, limit: int = CHUNK_REPLAYED) -> bool:
    """Take one batch of a replay through the drain; false where no replay waits.

    The messages are stored and struck off in one transaction: a killed worker's batch has not happened.
    """
    return persistently(lambda: replay_batch(now=now, limit=limit), now=now)


def evaluate(*, now: datetime, limit: int = CHUNK_CHANGES) -> TransitionSpan:
    """Answer what changed: the segments it can touch, for those profiles; plan what follows from it."""
    with collecting_later(), transaction.atomic():
        span = segments.operations.evaluate_changes(now=now, limit=limit)
        return _with_deliveries(span, now=now)


def keep_computed(*, now: datetime, limit: int = CHUNK_DUE) -> int:
    """Computed traits that time alone has changed; returns how many were asked. Segments follow by `evaluate`."""
    with transaction.atomic():
        return computed.wake(now=now, limit=limit)


def compute_trait(*, trait_id: int, now: datetime) -> bool:
    """Compute a trait for some more profiles, aside, and at last put it in place; returns whether more follow."""
    return passes.take_step(trait_id=trait_id, now=now)


def wake(*, now: datetime, limit: int = CHUNK_DUE) -> TransitionSpan:
    """Answer what time alone has changed."""
    segments.operations.follow_consents()
    with transaction.atomic():
        span = segments.operations.wake_due(now=now, limit=limit)
        return _with_deliveries(span, now=now)


def decide_traits(*, run_id: int, now: datetime) -> bool:
    """Choose the values of a trait again, by another policy, for some more profiles; returns whether more follow."""
    with transaction.atomic():
        step = runs.take_step(run_id=run_id, now=now)
        note_changes(
            ProfileChange(profile_id, events=NOTHING, traits=frozenset(names), merged=False, created=False)
            for profile_id, names in step.changed.items()
        )
    return step.more


class Matching(NamedTuple):
    """What a turn of matching leaves."""

    more: bool
    """More is left to do, unless another worker is at it."""
    merged: bool = False
    """Two became one."""


def match(*, now: datetime) -> Matching:
    """Merge the next two that matching is sure of, where a person has switched that on; where none wait, compare
    profiles that changed with those that look alike.
    """
    done = identity.candidates.turn.match_changes(now=now)
    if done.merge_first:
        merged = identity.candidates.operations.merge_due(now=now)
        return Matching(merged, merged)
    return Matching(done.claimed > 0 and (done.more or done.due > 0 or not identity.candidates.queue.is_empty()))


def end_sessions(*, now: datetime, limit: int = CHUNK_SESSIONS) -> int:
    """End the sessions in which nothing has happened for long enough; returns how many were looked at."""
    for _ in range(ATTEMPTS):
        try:
            with transaction.atomic():
                looked_at, ended, origins = sessions.end_due(now=now, limit=limit)
                event_log.append(ended, origins=origins)
                note_changes(changes_of(ended, Resolution(), {}))
                return looked_at
        except event_log.UnpreparedError as unprepared:
            event_log.prepare(unprepared.events, now=now)
    return 0


def recompute(*, segment_id: int, now: datetime, clock: Callable[[], datetime] | None = None) -> TransitionSpan:
    """Compute the version of a segment that is on its way, aside, and publish it; nothing where none waits.

    By `clock` it is published later than `now`: what changed in between counts. One at a time, so that the workers
    that evaluate are not all busy with it.
    """
    segments.operations.follow_consents()
    lease = segments.computations.claim(segment_id=segment_id, now=now, slots=1)
    if lease is None:
        return TransitionSpan((), 0, 0, 0)
    with segments.computations.keep_alive(lease), transaction.atomic():
        span = segments.operations.compute(lease, clock=clock or (lambda: now))
        return _with_deliveries(span, now=now)


def _with_deliveries(span: TransitionSpan, *, now: datetime) -> TransitionSpan:
    return replace(span, planned=activation.operations.plan(span, now=now))


def deliver(*, now: datetime, limit: int = CHUNK_DELIVERIES) -> int:
    """Send what is due; returns how many deliveries were tried."""
    return activation.operations.deliver_due(now=now, limit=limit)
