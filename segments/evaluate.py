"""Who is in: membership, transitions, due times and the count, always written together.

1. `evaluate_changes` asks the segments that a change can touch, of the profiles that changed, and along with them of
   those for whom an answer of these segments is due.
2. `wake_due` asks the same where only time has passed.
3. `segments.publishing` asks the definition of a new version of the whole population.

All three hold the rows of the segments they write to, so that per segment they are serial: each sees everything
that was committed before it got the row, and nothing is lost between them. Locks are taken in one order (changes,
computations, segments by id, the rest), so they cannot deadlock.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from django.db import transaction

from cdp.kernel.prepared import Prepared, array, rows_after, set_local
from segments.asking.answers import States
from segments.asking.questions import Questions
from segments.computations import note
from segments.computed import evaluate as computed
from segments.consents import changed_consents
from segments.contracts import TransitionSpan
from segments.engine import fetch, local_settings, reason_of
from segments.models import Segment
from segments.news import News
from segments.sql import Sql
from segments.states import Live, SegmentFailedError, hold_live, is_of_the_segment, read_live, states_of
from segments.touched import Asked, Change, claim, of_consent, touched

EVALUATE_SECONDS = 30
MAX_ERROR = 500
SEGMENTS_AT_ONCE = 250  # so many rows of answers are held at once

log = structlog.get_logger(__name__)


# --- Some profiles, the segments that can have changed for them ---------------------------------------------


def evaluate_changes(*, now: datetime, limit: int = 2_000) -> TransitionSpan:
    """Claim up to `limit` changes and ask the segments that they can touch; what is due of these is asked with it."""
    with transaction.atomic(savepoint=False):
        changes = claim(limit)
        changes += [of_consent(change) for change in changed_consents()]  # after: it knows of all that was claimed
        if not changes:
            return TransitionSpan((), 0, 0, 0)
        note({profile_id for change in changes for profile_id in change.profile_ids})
        asked = touched([*changes, *_computed(changes, now)])
        segments = hold_live(asked.questions.segments.tolist())
        # Under a steady stream of changes their segments are seldom free for `wake_due`.
        due = _due([segment.id for segment in segments], now=now, limit=limit)
        span = _evaluate(segments, asked.and_due(due), now)
        return replace(span, claimed=sum(len(change.profile_ids) for change in changes))


def who_holds(*, profile_ids: Collection[int], now: datetime) -> dict[int, set[int]]:
    """By the id of a live segment, those of these profiles for whom it holds as they are now; nothing is written.

    A segment that fails holds for nobody, as far as can be told.
    """
    segments = read_live()
    questions = Questions.of([([segment.id for segment in segments], profile_ids)])
    found: dict[int, set[int]] = {segment.id: set() for segment in segments}
    with local_settings(**_LIMITS):
        for some, states, _ in _answers(segments, Asked(questions), now):
            for segment, holds in zip(some, states.holds, strict=True):
                found[segment.id] = set(questions.profiles[holds].tolist())
    return found


def wake_due(*, now: datetime, limit: int = 2_000) -> TransitionSpan:
    """Ask again where an answer can have changed by now; segments that somebody else holds are left to them."""
    with transaction.atomic(savepoint=False):
        waiting = [row[0] for row in _WAITING.rows(now)]
        segments = hold_live(waiting, skip_held=True) if waiting else []
        due = _due([segment.id for segment in segments], now=now, limit=limit)
        if not due:
            return TransitionSpan((), 0, 0, 0)
        span = _evaluate(segments, Asked(Questions.of([])).and_due(due), now)
        return replace(span, claimed=len(due))


# A segment's earliest comes first in its index, so that those who wait are looked up however many others there are.
_WAITING = Prepared(
    "due_waiting",
    ["timestamptz"],
    """
SELECT s.id FROM segments_segment AS s CROSS JOIN LATERAL (
    SELECT FROM due AS d WHERE d.segment_id = s.id AND d.at <= $1 ORDER BY d.at LIMIT 1
) AS d WHERE s.state = 'live'
""",
)
_DUE = Prepared(
    "due_now",
    ["bigint[]", "timestamptz", "bigint"],
    """
WITH waiting AS MATERIALIZED (
    SELECT s.id FROM unnest($1) AS s(id) CROSS JOIN LATERAL (
        SELECT FROM due AS d WHERE d.segment_id = s.id AND d.at <= $2 ORDER BY d.at LIMIT 1
    ) AS d
)
SELECT s.id, d.profile_id FROM waiting AS s CROSS JOIN LATERAL (
    SELECT d.profile_id FROM due AS d WHERE d.segment_id = s.id AND d.at <= $2 ORDER BY d.at
    LIMIT (SELECT 1 + $3 / greatest(count(*), 1) FROM waiting)
) AS d
""",
)


def _due(segment_ids: Sequence[int], *, now: datetime, limit: int) -> list[tuple[int, int]]:
    """Segments and profiles whose answers can have changed by now: each of these segments has an equal share.

    From here on, no statement of this transaction takes for ever.
    """
    if not segment_ids:
        return []
    rows = rows_after([set_local(**_LIMITS)], _DUE.of(array(segment_ids), now, limit))
    return [(row[0], row[1]) for row in rows]


_LIMITS = {"statement_timeout": f"{EVALUATE_SECONDS}s", "jit": "off"}


def _computed(changes: Sequence[Change], now: datetime) -> list[Change]:
    """What follows of these changes for computed traits, as changes that segments follow in their turn."""
    names: defaultdict[frozenset[str], list[int]] = defaultdict(list)
    for profile_id, traits in computed.follow(changes, now=now).items():
        names[frozenset(traits)].append(profile_id)
    return [
        Change(ids, [], sorted(traits), merged=False, created=False, accounts=[], purposes=[])
        for traits, ids in names.items()
    ]


def _evaluate(segments: Sequence[Live], asked: Asked, now: datetime) -> TransitionSpan:
    """Ask each of these segments of its profiles and write what is new; one that fails does not stop the others."""
    news = News({segment.id: segment.version for segment in segments}, now)
    for _, states, about in _answers(segments, asked, now, failed=_mark_failed):
        news.compare(about, states)
    written = news.write()
    ids = tuple(segment.id for segment in segments)
    return TransitionSpan(ids, written.after_id, written.entered, written.left)


def _answers(
    segments: Sequence[Live], asked: Asked, now: datetime, failed: Callable[[SegmentFailedError], None] | None = None
) -> Iterator[tuple[list[Live], States, Asked]]:
    """Some segments after the other with their answers and the questions; those that fail are left out."""
    for start in range(0, len(segments), SEGMENTS_AT_ONCE):
        remaining, alone = list(segments[start : start + SEGMENTS_AT_ONCE]), False
        while remaining:
            about = asked.to(segment.id for segment in remaining)
            try:
                with transaction.atomic():
                    states = states_of(remaining, about.questions, now=now, alone=alone)
            except SegmentFailedError as failure:
                if failed:
                    failed(failure)
                remaining = [segment for segment in remaining if segment.id != failure.segment_id]
            except Exception as error:
                if alone or not is_of_the_segment(error):
                    raise
                alone = True
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
