"""Sending what is due, without letting one destination cost another anything.

A run is a loop in one thread that alone talks to the database; the sends are in threads of their own, a few per
destination (a lane). Each turn of the loop: 1. claim what is due, as much as each lane has room for; 2. ask
consent again; 3. hand out what is allowed; 4. collect what came back, write it, and note each destination's health.
Lanes that are slow only fill themselves; the others are claimed for again at every turn.
"""

import queue
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from activation.destinations import DestinationKind, get_kind, kinds
from activation.destinations.base import Message, Target
from activation.egress import Answer
from activation.errors import DestinationError, SecretsUnreadableError
from activation.health import note_health
from activation.models import Delivery, Destination
from activation.people import decide_all
from activation.queue import Claim, Try, claim_due, hold_back, ready_destinations, release, write_tries
from activation.retry import Breaker, RetrySchedule
from activation.signing import unseal
from consent.contracts import Decision

SCHEDULE = RetrySchedule()
BREAKER = Breaker()
READ_AHEAD = 4
"""Claims per place of a healthy lane: what waits here is sent without another turn of the loop."""
FRESH_FOR = 5.0
"""Seconds after which what was claimed and not begun goes back, to be asked about again."""
SLOW_AFTER = 1.0
"""Seconds after which a send under way counts as slow: a run that is over waits for it, and serves others."""
IDLE_WAIT = 0.1
GATHER_WAIT = 0.01
UNSUBSCRIBED = "unsubscribed"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a send came to. `answer` and `error` are both absent where it was not begun in time."""

    claim: Claim
    at: datetime
    seconds: float
    answer: Answer | None = None
    error: DestinationError | None = None

    @property
    def was_sent(self) -> bool:
        return self.answer is not None or self.error is not None


class Clock:
    """The caller's `now`, going on."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._started = time.monotonic()

    def now(self) -> datetime:
        return self._now + timedelta(seconds=time.monotonic() - self._started)


@dataclass(slots=True)
class Lane:
    """The sends to one destination."""

    destination: Destination
    kind: DestinationKind
    target: Target
    threads: ThreadPoolExecutor
    under_way: dict[int, float] = field(default_factory=dict)

    def places(self) -> int:
        """How many more may be claimed: a healthy lane reads ahead, a failing one tries a single send."""
        width = BREAKER.places(failures=self.destination.failures, concurrency=self.kind.concurrency)
        if self.destination.failures == 0 and not self.is_slow():
            width *= READ_AHEAD
        return width - len(self.under_way)

    def is_slow(self) -> bool:
        oldest = next(iter(self.under_way.values()), None)
        return oldest is not None and time.monotonic() - oldest > SLOW_AFTER


def deliver_due(*, now: datetime, limit: int = 10_000) -> int:
    """Send what is due, until nothing is or `limit` were sent; the number of tries made.

    Past the limit it waits for what is under way, and meanwhile goes on serving the other destinations.
    """
    run = _Run(clock=Clock(now), limit=limit)
    try:
        return run.work()
    finally:
        run.close()


class _Run:
    def __init__(self, *, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._claimed = 0
        self._tried = 0
        self._lanes: dict[int, Lane] = {}
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._records: dict[int, int | None] = {}

    def work(self) -> int:
        while True:
            was_busy = self._under_way() > 0
            claims = self._claim()
            if not claims and not was_busy:
                return self._tried
            self._hand_out(claims)
            self._collect()

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.threads.shutdown(wait=False, cancel_futures=True)
        for kind in kinds().values():
            kind.rest()

    def _claim(self) -> list[Claim]:
        now = self._clock.now()
        lanes = self._open_lanes(now)
        if self._claimed >= self._limit and not any(lane.is_slow() for lane in self._lanes.values()):
            return []
        room = {id_: lane.places() for id_, lane in lanes.items() if lane.places() > 0}
        if self._claimed < self._limit:
            claims = _claim_within(room, self._limit - self._claimed, now=now)
        else:
            claims = claim_due(places={id_: free for id_, free in room.items() if not lanes[id_].is_slow()}, now=now)
        self._claimed += len(claims)
        return claims

    def _open_lanes(self, now: datetime) -> dict[int, Lane]:
        """The lanes that may be sent to now, with the settings and the health that the database has now."""
        return {
            destination.pk: lane
            for destination in ready_destinations(now=now)
            if (lane := self._lane(destination, now)) is not None
        }

    def _lane(self, destination: Destination, now: datetime) -> Lane | None:
        kind = get_kind(destination.kind)
        try:
            secrets = tuple(secret.text for secret in unseal(destination.secrets) if secret.signs(now))
        except SecretsUnreadableError as error:
            log.warning("secrets_unreadable", destination=destination.slug, problem=error.message)
            return None
        target = Target(id=destination.pk, config=destination.config, secrets=secrets)
        lane = self._lanes.get(destination.pk)
        if lane is None:
            threads = ThreadPoolExecutor(kind.concurrency, thread_name_prefix=f"send-{destination.slug}")
            lane = self._lanes[destination.pk] = Lane(destination, kind, target, threads)
        lane.destination, lane.target = destination, target
        return lane

    def _hand_out(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        asked = {claim.id: (claim.profile_id, claim.purpose_id) for claim in claims if claim.subscription_id}
        decisions = decide_all(asked, now=self._clock.now())
        refused = [entry for claim in claims if (entry := _refusal(claim, decisions.get(claim.id)))]
        hold_back(refused, now=self._clock.now())
        held = {claim.id for claim, _, _ in refused}
        for claim in claims:
            if claim.id not in held:
                self._start(claim, decisions[claim.id].record_id)

    def _start(self, claim: Claim, record_id: int | None) -> None:
        lane = self._lanes[claim.destination_id]
        begin_before = time.monotonic() + FRESH_FOR
        lane.under_way[claim.id] = time.monotonic()
        self._records[claim.id] = record_id
        lane.threads.submit(self._send, lane.kind, lane.target, claim, begin_before)

    def _send(self, kind: DestinationKind, target: Target, claim: Claim, begin_before: float) -> None:
        """In a thread of the lane; every way out of here puts an outcome."""
        at, started = self._clock.now(), time.monotonic()
        answer, error = None, None
        if started <= begin_before:
            try:
                answer = kind.send(Message(id=str(claim.message_id), body=claim.body), to=target, now=at)
            except DestinationError as failure:
                error = failure
            except Exception as failure:  # a kind with a fault must not leave its delivery hanging
                log.exception("send_failed", destination=target.id, delivery=claim.id)
                error = DestinationError(f"{type(failure).__name__}: {failure}")
        self._outcomes.put(Outcome(claim, at, time.monotonic() - started, answer, error))

    def _collect(self) -> None:
        outcomes = self._gather()
        if not outcomes:
            return
        for outcome in outcomes:
            del self._lanes[outcome.claim.destination_id].under_way[outcome.claim.id]
        sent = [outcome for outcome in outcomes if outcome.was_sent]
        release([outcome.claim for outcome in outcomes if not outcome.was_sent])
        write_tries([self._try(outcome) for outcome in sent])
        self._tried += len(sent)
        for destination, theirs in self._by_destination(sent):
            note_health(destination, theirs, breaker=BREAKER, horizon=SCHEDULE.horizon, now=self._clock.now())

    def _gather(self) -> list[Outcome]:
        """What came back, once some has: a moment's wait makes one write of many."""
        if not self._under_way():
            return []
        try:
            outcomes = [self._outcomes.get(timeout=IDLE_WAIT)]
        except queue.Empty:
            return []
        time.sleep(GATHER_WAIT)
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        return outcomes

    def _try(self, outcome: Outcome) -> Try:
        record_id = self._records.pop(outcome.claim.id, None)
        return judge(outcome, record_id=record_id, chance=random.random(), now=self._clock.now())  # noqa: S311

    def _by_destination(self, outcomes: Iterable[Outcome]) -> list[tuple[Destination, list[Outcome]]]:
        found: dict[int, list[Outcome]] = {}
        for outcome in outcomes:
            found.setdefault(outcome.claim.destination_id, []).append(outcome)
        return [(self._lanes[id_].destination, theirs) for id_, theirs in found.items()]

    def _under_way(self) -> int:
        return sum(len(lane.under_way) for lane in self._lanes.values())


def _refusal(claim: Claim, decision: Decision | None) -> tuple[Claim, str, int | None] | None:
    """Why this may not be sent. Whose subscription is gone has nobody to answer for the purpose any more."""
    if decision is None:
        return claim, UNSUBSCRIBED, None
    return None if decision.allowed else (claim, decision.reason.value, decision.record_id)


def judge(outcome: Outcome, *, record_id: int | None, chance: float, now: datetime) -> Try:
    """What becomes of the delivery: delivered, tried again later, or given up."""
    claim, error = outcome.claim, outcome.error
    state, next_attempt_at = Delivery.State.DELIVERED, None
    if error is not None:
        wait = None
        if not error.permanent:
            wait = SCHEDULE.next_delay(tries=claim.tries + 1, chance=chance, retry_after=error.retry_after)
        state = Delivery.State.DEAD if wait is None else Delivery.State.PENDING
        next_attempt_at = None if wait is None else now + wait
    return Try(
        claim=claim,
        at=outcome.at,
        duration_ms=round(outcome.seconds * 1_000),
        state=state,
        status=_status(outcome),
        error=_printable(error.message) if error else "",
        response=_printable(error.response if error else outcome.answer.text if outcome.answer else ""),
        next_attempt_at=next_attempt_at,
        finished_at=None if state is Delivery.State.PENDING else now,
        record_id=record_id,
    )


def _status(outcome: Outcome) -> int | None:
    if outcome.error is not None:
        return outcome.error.status
    return outcome.answer.status if outcome.answer else None


def _printable(text: str) -> str:
    """PostgreSQL's text takes every character but NUL."""
    return text.replace("\0", "\ufffd")


def _claim_within(room: Mapping[int, int], total: int, *, now: datetime) -> list[Claim]:
    """Claim at most `total`; where those who were offered a place had nothing due, the others are."""
    while room:
        offered = _share(room, total)
        claims = claim_due(places=offered, now=now)
        if claims:
            return claims
        room = {id_: free for id_, free in room.items() if not offered[id_]}
    return []


def _share(room: Mapping[int, int], total: int) -> dict[int, int]:
    """Cut the room down to `total` places, evenly: no destination takes another's."""
    if sum(room.values()) <= total:
        return dict(room)
    shared = dict.fromkeys(room, 0)
    while total > 0 and any(shared[id_] < room[id_] for id_ in room):
        for id_ in room:
            if total > 0 and shared[id_] < room[id_]:
                shared[id_] += 1
                total -= 1
    return shared
