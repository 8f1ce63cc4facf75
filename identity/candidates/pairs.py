"""What a full pass found, as candidates: missing ones are added, others refreshed, those not found again closed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction

from identity import matching
from identity.candidates import queue
from identity.candidates.contracts import Pair
from identity.candidates.live import Live
from identity.candidates.reconcile import Reconciled, Verdicts, close_older, reconcile
from identity.candidates.runs import Progress

PAIRS_A_TIME = 5_000
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Found:
    """Pairs of profiles, why they are pairs, and which of them the linkage put together."""

    pairs: list[Pair]
    evidence: dict[tuple[int, int], str]
    together: set[tuple[int, int]]


def write_pairs(
    ids: Sequence[int], result: "matching.MatchResult", live: Live, progress: Progress, *, since: datetime | None
) -> dict[str, int]:
    """Some at a time, each in a transaction of its own; `since` this time all that is open was to be found again.

    One thread writes while the next pairs are explained: PostgreSQL and Python take about as long.
    """
    likely = _by_cluster(np.flatnonzero(result.probabilities >= live.settings.review_above), result)
    progress.begin("Writing pairs", total=len(likely))
    waiting = due = 0
    with ThreadPoolExecutor(1, thread_name_prefix="match-pairs") as writer:

        def write(found: _Found) -> Future[Reconciled]:
            return writer.submit(_write, found, live, now=progress.clock())

        try:
            for found, written in _one_ahead(_explained(ids, result, likely), write):
                waiting, due = waiting + written.waiting, due + written.due
                progress.advance(len(found.pairs))
        finally:
            writer.submit(_close)
    closed = close_older(since) if since is not None else 0
    return {"waiting": waiting, "due": due, "closed": closed}


def _close() -> None:
    """The connection of the thread that calls it."""
    connection.close()


def _one_ahead(
    steps: Iterator[_Found], write: Callable[[_Found], Future[Reconciled]]
) -> Iterator[tuple[_Found, Reconciled]]:
    """Makes one step while the one before is being written."""
    before: tuple[_Found, Future[Reconciled]] | None = None
    for step in steps:
        if before is not None:
            yield before[0], before[1].result()
        before = step, write(step)
    if before is not None:
        yield before[0], before[1].result()


def _by_cluster(likely: Numbers, result: "matching.MatchResult") -> Numbers:
    """Pairs of the same people together, so that each profile is looked up seldom, and theirs lie side by side."""
    one, other = result.pairs[likely].T
    return likely[np.lexsort((other, one, result.clusters[one]))]


def _explained(ids: Sequence[int], result: "matching.MatchResult", likely: Numbers) -> Iterator[_Found]:
    for start in range(0, len(likely), PAIRS_A_TIME):
        chosen = likely[start : start + PAIRS_A_TIME]
        places = result.pairs[chosen]
        keys = [(ids[one], ids[other]) for one, other in places.tolist()]
        keys = [(one, other) if one < other else (other, one) for one, other in keys]
        columns = (result.scores[chosen].tolist(), result.probabilities[chosen].tolist())
        pairs = [Pair(*key, score, chance) for key, score, chance in zip(keys, *columns, strict=True)]
        evidence = dict(zip(keys, result.waterfalls.explain(places), strict=True))
        same = result.clusters[places[:, 0]] == result.clusters[places[:, 1]]
        yield _Found(pairs, evidence, {keys[at] for at in np.flatnonzero(same).tolist()})


def _write(found: _Found, live: Live, *, now: datetime) -> Reconciled:
    with transaction.atomic():
        queue.wait_to_be_alone()
        return reconcile(
            found.pairs,
            touched=(),
            explain=lambda pairs: [found.evidence[pair.one, pair.other] for pair in pairs],
            people={},
            live=live,
            verdicts=Verdicts(together=found.together),
            now=now,
        )
