"""Who is in: membership, transitions, due times and the count, always written together.

1. `evaluate_changes` asks the segments that a change can touch, of the profiles that changed.
2. `wake_due` asks the same where only time has passed.
3. `segments.publishing` asks the definition of a new version of the whole population.

All three hold the rows of the segments they write to, so that per segment they are serial: each sees everything
that was committed before it got the row, and nothing is lost between them. Locks are taken in one order (changes,
computations, segments by id, the rest), so they cannot deadlock.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from django.db import transaction

from segments.asking.answers import States
from segments.asking.questions import Questions
from segments.changes import spread_account_changes
from segments.computations import note
from segments.computed import evaluate as computed
from segments.consents import changed_consents
from segments.contracts import TransitionSpan
from segments.engine import fetch, local_settings, reason_of
from segments.models import Segment, Transition
from segments.news import News
from segments.sql import Sql, sql
from segments.states import Live, SegmentFailedError, hold_live, read_live, states_of
from segments.touched import Asked, Change, claim, of_consent, touched

EVALUATE_SECONDS = 30
MAX_ERROR = 500
SEGMENTS_AT_ONCE = 250  # so many rows of answers are held at once

Cause = Transition.Cause

log = structlog.get_logger(__name__)


# --- Some profiles, the segments that can have changed for them ---------------------------------------------


def evaluate_changes(*, now: datetime, limit: int = 2_000) -> TransitionSpan:
    """Claim up to `limit` changes and ask the segments that they can touch; what is due of these is asked with it."""
    with transaction.atomic():
        spread_account_changes()
        changes = claim(limit)
        changes += [of_consent(change) for change in changed_consents()]  # after: it knows of all that was claimed
        if not changes:
            return TransitionSpan((), 0, 0, 0)
        note({profile_id for change in changes for profile_id in change.profile_ids})
        asked = touched([*changes, *_computed(changes, now)])
        segments = hold_live(asked.questions.segments.tolist())
        span = _evaluate(segments, asked, now)
        # Under a steady stream of changes their segments are seldom free for `wake_due`.
        span = span.then(_wake(segments, fetch(_due(now=now, limit=limit)), now=now))
        return replace(span, claimed=sum(len(change.profile_ids) for change in changes))


def who_holds(*, profile_ids: Collection[int], now: datetime) -> dict[int, set[int]]:
    """By the id of a live segment, those of these profiles for whom it holds as they are now; nothing is written.

    A segment that fails holds for nobody, as far as can be told.
    """
    segments = read_live()
    questions = Questions.of([([segment.id for segment in segments], profile_ids)])
    found: dict[int, set[int]] = {segment.id: set() for segment in segments}
    for some, states, _ in _answers(segments, Asked(questions), now):
        for segment, holds in zip(some, states.holds, strict=True):
            found[segment.id] = set(questions.profiles[holds].tolist())
    return found


def wake_due(*, now: datetime, limit: int = 2_000) -> TransitionSpan:
    """Ask again where an answer can have changed by now; segments that somebody else holds are left to them."""
    with transaction.atomic():
        waiting = [row[0] for row in fetch(sql(_DUE_SEGMENTS, pairs=_due(now=now, limit=limit)))]
        if not waiting:
            return TransitionSpan((), 0, 0, 0)
        segments = hold_live(waiting, skip_held=True)
        held = sql("d.segment_id = ANY ({ids}::bigint[])", ids=[segment.id for segment in segments])
        return _wake(segments, fetch(_due(now=now, limit=limit, among=held)), now=now)


def _wake(held: Sequence[Live], due: Iterable[tuple[int, int]], *, now: datetime) -> TransitionSpan:
    """Ask again what is due of these segments."""
    people: defaultdict[int, list[int]] = defaultdict(list)
    ids = {segment.id for segment in held}
    for segment_id, profile_id in due:
        if segment_id in ids:
            people[segment_id].append(profile_id)
    if not people:
        return TransitionSpan((), 0, 0, 0)
    questions = Questions.of(([segment_id], due_ones) for segment_id, due_ones in people.items())
    asked = Asked(questions, otherwise=Cause.TIME)
    return replace(_evaluate([each for each in held if each.id in people], asked, now), claimed=len(questions))


def _computed(changes: Sequence[Change], now: datetime) -> list[Change]:
    """What follows of these changes for computed traits, as changes that segments follow in their turn."""
    names: defaultdict[frozenset[str], list[int]] = defaultdict(list)
    for profile_id, traits in computed.follow(changes, now=now).items():
        names[frozenset(traits)].append(profile_id)
    return [
        Change(ids, [], sorted(traits), merged=False, created=False, accounts=[], purposes=[])
        for traits, ids in names.items()
    ]


_DUE = """
SELECT d.segment_id, d.profile_id FROM due AS d JOIN segments_segment AS s ON s.id = d.segment_id
WHERE d.at <= {now} AND s.state = 'live' AND {among}
ORDER BY d.at LIMIT {limit}
"""


_DUE_SEGMENTS = "SELECT DISTINCT segment_id FROM ({pairs}) AS w"


def _due(*, now: datetime, limit: int, among: Sql | None = None) -> Sql:
    return sql(_DUE, now=now, among=among or Sql("true"), limit=limit)


def _evaluate(segments: Sequence[Live], asked: Asked, now: datetime) -> TransitionSpan:
    """Ask each of these segments of its profiles and write what is new; one that fails does not stop the others."""
    after_id = last_transition_id()
    news = News({segment.id: segment.version for segment in segments}, now)
    for _, states, about in _answers(segments, asked, now, failed=_mark_failed):
        news.compare(about, states)
    entered, left = news.write()
    return TransitionSpan(tuple(segment.id for segment in segments), after_id, entered, left)


def _answers(
    segments: Sequence[Live], asked: Asked, now: datetime, failed: Callable[[SegmentFailedError], None] | None = None
) -> Iterator[tuple[list[Live], States, Asked]]:
    """Some segments after the other with their answers and the questions; those that fail are left out."""
    for start in range(0, len(segments), SEGMENTS_AT_ONCE):
        remaining = list(segments[start : start + SEGMENTS_AT_ONCE])
        while remaining:
            about = asked.to(segment.id for segment in remaining)
            try:
                with transaction.atomic(), local_settings(statement_timeout=f"{EVALUATE_SECONDS}s", jit="off"):
                    states = states_of(remaining, about.questions, now=now)
            except SegmentFailedError as failure:
                if failed:
                    failed(failure)
                remaining = [segment for segment in remaining if segment.id != failure.segment_id]
            else:
                yield remaining, states, about
                break


# --- Failures -----------------------------------------------------------------------------------------------


def _mark_failed(failure: SegmentFailedError) -> None:
    segment_id, reason = failure.segment_id, reason_of(failure.reason, seconds=EVALUATE_SECONDS)
    log.error("segment_failed", segment=segment_id, error=reason)
    Segment.objects.filter(pk=segment_id).update(state=Segment.State.FAILED, error=reason.strip()[:MAX_ERROR])


def last_transition_id() -> int:
    found: int = fetch(Sql("SELECT coalesce(max(id), 0) FROM transition"))[0][0]
    return found
