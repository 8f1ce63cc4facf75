"""Celery's side of the pipeline: look for work until there is none, within a time that leaves room for others."""

import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from celery import current_app, shared_task
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone

import segments.computations
from activation.alerting import deliver as alerting
from cdp import pipeline
from cdp.kernel.tasks import nudge
from cdp.kernel.wake import Listener, awake
from identity.candidates import jobs as matching_jobs
from identity.duplicates import operations as duplicates
from identity.evaluation import operations as evaluation
from identity.kinds import run as kind_runs
from identity.survivorship import disputes, history, runs
from ingestion import partitions
from ingestion.models import Source
from ingestion.plans import trial, violations
from ingestion.quality import operations as quality
from ingestion.quality import scans, score, watch
from ingestion.quality.fold import fold_samples
from ingestion.quarantine import operations as quarantine
from ingestion.queries import drain_is_behind
from ingestion.trace import drops, left_out, refusals
from segments.computed import passes
from segments.computed.operations import estimate_due
from segments.contracts import TransitionSpan
from segments.manual import uploads

log = structlog.get_logger(__name__)

TURN_SECONDS = 10.0
SHORT_SECONDS = 0.5
"""A turn of evaluation: as long as there are changes, what time brings about must not wait for more than that."""
BLOCK_SECONDS = 2.0
STAY_SECONDS = 0.1
"""How long a worker of the pipeline stays for more where the next event may be on its way."""
REST_SECONDS = 0.02
REST_AFTER = range(50, 1_000)
"""A worker rests after so many: more than come by chance, and too few to be worth what a turn costs. Behind more than
that, others wait already.
"""
WAY_RATIO = 9
"""What only follows the drain rests so many times as long as it has worked, while the drain is behind."""
WAY_SECONDS = 6.0
TRIAL_IDLE = timedelta(seconds=15)


@shared_task(name="cdp.drain")
def drain() -> None:
    _stay(_drain_chunk, "cdp.drain")


@shared_task(name="cdp.evaluate")
def evaluate() -> None:
    _stay(lambda: _transitions(pipeline.evaluate(now=timezone.now())), "cdp.evaluate", seconds=SHORT_SECONDS)


@shared_task(name="cdp.wake")
def wake() -> None:
    awake("cdp.wake")
    _until_done(_wake, "cdp.wake")


@shared_task(name="cdp.sessions")
def sessions() -> None:
    awake("cdp.sessions")
    _until_done(_end_sessions, "cdp.sessions")


@shared_task(name="cdp.recompute")
def recompute(segment_id: int) -> None:
    """One at a time: whoever is at it takes what was asked for meanwhile too."""
    _transitions(pipeline.recompute(segment_id=segment_id, now=timezone.now(), clock=timezone.now))
    recompute_waiting()


@shared_task(name="cdp.recompute_waiting")
def recompute_waiting() -> None:
    """Versions whose own nudge was lost with a broker that was flushed or restarted, or whose worker was killed."""
    for segment_id in segments.computations.waiting(now=timezone.now()):
        _transitions(pipeline.recompute(segment_id=segment_id, now=timezone.now(), clock=timezone.now))


@shared_task(name="cdp.work_upload")
def work_upload(upload_id: int) -> None:
    """Look up whom a long list leads to, or apply it."""
    uploads.work(upload_id=upload_id, now=timezone.now())
    nudge("cdp.evaluate")


@shared_task(name="cdp.work_uploads_waiting")
def work_uploads_waiting() -> None:
    """Lists whose nudge or worker was lost."""
    for upload_id in uploads.waiting(idle_since=timezone.now() - TRIAL_IDLE):
        work_upload(upload_id)


@shared_task(name="cdp.compute_trait")
def compute_trait(trait_id: int) -> None:
    """Compute a trait for everybody; after a turn, leave the worker to others and come again."""
    end = time.monotonic() + TURN_SECONDS
    while pipeline.compute_trait(trait_id=trait_id, now=timezone.now()):
        if time.monotonic() > end:
            current_app.send_task("cdp.compute_trait", args=(trait_id,))
            return
    nudge("cdp.evaluate")


@shared_task(name="cdp.compute_traits_waiting")
def compute_traits_waiting() -> None:
    """Passes whose nudge or worker was lost, and bounds of scores that are a day old."""
    now = timezone.now()
    estimate_due(now=now)
    for trait_id in passes.waiting(idle_since=now - TRIAL_IDLE):
        compute_trait(trait_id)


@shared_task(name="cdp.deliver")
def deliver() -> None:
    awake("cdp.deliver")
    _until_done(lambda: pipeline.deliver(now=timezone.now()), "cdp.deliver")


@shared_task(name="cdp.try_plan")
def try_plan(trial_id: int) -> None:
    """Hold a tracking plan against stored events; after a turn, leave the worker to others and come again."""
    if trial.continue_trial(trial_id=trial_id, clock=timezone.now):
        current_app.send_task("cdp.try_plan", args=(trial_id,))


@shared_task(name="cdp.try_plans_waiting")
def try_plans_waiting() -> None:
    """Trials whose nudge or worker was lost."""
    for trial_id in trial.waiting_trials(idle_since=timezone.now() - TRIAL_IDLE):
        try_plan(trial_id)


@shared_task(name="cdp.decide_traits")
def decide_traits(run_id: int) -> None:
    """A pass over all profiles that tries or applies a trait's policy; after a turn, it asks for another."""
    end = time.monotonic() + TURN_SECONDS
    while pipeline.decide_traits(run_id=run_id, now=timezone.now()):
        nudge("cdp.evaluate")
        if time.monotonic() > end:
            current_app.send_task("cdp.decide_traits", args=(run_id,))
            return
    nudge("cdp.evaluate")


@shared_task(name="cdp.pack_traits")
def pack_traits() -> None:
    """Keep the columns of traits that questions about everybody read."""
    from identity.columns import build  # it needs NumPy, which other workers start sooner without

    end = time.monotonic() + TURN_SECONDS
    while build.take_step(now=timezone.now()) and time.monotonic() < end:
        pass


@shared_task(name="cdp.decide_traits_waiting")
def decide_traits_waiting() -> None:
    """Passes whose nudge or worker was lost."""
    for run_id in runs.waiting_runs(idle_since=timezone.now() - TRIAL_IDLE):
        decide_traits(run_id)


@shared_task(name="cdp.report_duplicates")
def report_duplicates() -> None:
    """How many people are in the base more than once."""
    awake("cdp.report_duplicates")
    duplicates.report_duplicates(now=timezone.now())


@shared_task(name="cdp.scan_disputes")
def scan_disputes() -> None:
    """Begin to count anew what sources disagree about."""
    disputes.start_scan(now=timezone.now())
    continue_disputes()


@shared_task(name="cdp.continue_disputes")
def continue_disputes() -> None:
    awake("cdp.continue_disputes")
    _until_done(lambda: disputes.take_step(now=timezone.now()), "cdp.continue_disputes")


@shared_task(name="cdp.run_kinds")
def run_kinds(run_id: int) -> None:
    """Try or carry out a change of an identifier kind; after a turn, leave the worker to others and come again."""
    if kind_runs.continue_run(run_id=run_id, clock=timezone.now):
        current_app.send_task("cdp.run_kinds", args=(run_id,))


@shared_task(name="cdp.run_kinds_waiting")
def run_kinds_waiting() -> None:
    """Runs whose nudge or worker was lost."""
    for run_id in kind_runs.waiting_runs(idle_since=timezone.now() - TRIAL_IDLE):
        run_kinds(run_id)


@shared_task(name="cdp.replay")
def replay() -> None:
    """What was asked for of the quarantine; where a worker was killed, the next one goes on from its last batch."""
    awake("cdp.replay")
    _until_done(_replay_batch, "cdp.replay")


@shared_task(name="cdp.match")
def match() -> None:
    """Profiles that changed are compared with their like, and what is sure enough is merged."""
    awake("cdp.match")
    _until_done(lambda: _giving_way(_match_changes), "cdp.match")


@shared_task(name="cdp.match_runs")
def match_runs() -> None:
    """Long jobs of matching, one after the other."""
    while matching_jobs.work(clock=timezone.now, others=evaluation.JOBS):
        nudge("cdp.evaluate")


@shared_task(name="cdp.match_schedule")
def match_schedule() -> None:
    matching_jobs.ask_due(now=timezone.now())


@shared_task(name="cdp.flush_refusals")
def flush_refusals() -> None:
    refusals.flush(now=timezone.now())


@shared_task(name="cdp.maintain")
def maintain() -> None:
    """Partitions made ahead and dropped behind; what is kept for a time only, deleted after it."""
    now = timezone.now()
    today = now.date()
    partitions.ensure_ahead(today=today)
    partitions.drop_old_seen_partitions()
    violations.forget_old(now=now, days=settings.INGESTION_VIOLATION_DAYS)
    quarantine.drop_expired(now=now)
    trial.forget_old(now=now)
    kind_runs.forget_old(now=now)
    drops.drop_expired(now=now)
    left_out.drop_expired(now=now)
    history.drop_expired(now=now)


@shared_task(name="cdp.build_blocks")
def build_blocks() -> None:
    """The columnar copy of the event log follows it."""
    from ingestion.blocks.operations import build_due  # it needs NumPy, too

    def build() -> int:
        return build_due(now=timezone.now(), seconds=BLOCK_SECONDS)

    _until_done(lambda: _giving_way(build), "cdp.build_blocks")


@shared_task(name="cdp.fold_quality")
def fold_quality() -> None:
    """Sampled events become the profiles of their sources."""
    _until_done(lambda: _giving_way(fold_samples), "cdp.fold_quality")


@shared_task(name="cdp.watch_quality")
def watch_quality() -> None:
    """Deviations become alerts, and what is owed about them is sent."""
    if watch.watch(now=timezone.now()):
        nudge("cdp.deliver_alerts")


@shared_task(name="cdp.deliver_alerts")
def deliver_alerts() -> None:
    awake("cdp.deliver_alerts")
    _until_done(lambda: alerting.deliver_alerts(now=timezone.now()), "cdp.deliver_alerts")


@shared_task(name="cdp.score_quality")
def score_quality() -> None:
    """The score of every source, kept by day."""
    for source in Source.objects.order_by("id"):
        score.save_score(source=source, now=timezone.now())


@shared_task(name="cdp.scan_quality")
def scan_quality() -> None:
    """Near-duplicates, and what is older than anybody looks at."""
    now = timezone.now()
    scans.scan_duplicates(now=now)
    quality.forget_old(now=now)


def _transitions(span: TransitionSpan) -> int:
    """Nudge the deliveries that were planned; how much was claimed says whether to look again."""
    if span.planned:
        nudge("cdp.deliver")
    return span.claimed


def _wake() -> int:
    """Computed traits first, so that what they lead to is asked in the same turn."""
    asked = pipeline.keep_computed(now=timezone.now())
    if asked:
        nudge("cdp.evaluate")
    return asked + _transitions(pipeline.wake(now=timezone.now()))


def _drain_chunk() -> int:
    drained = pipeline.drain(now=timezone.now(), committed=lambda: nudge("cdp.evaluate"))
    if drained.to_match:
        nudge("cdp.match")
    return max(drained.rows, drained.stored)


def _match_changes() -> bool:
    done = pipeline.match(now=timezone.now())
    if done.merged:
        nudge("cdp.evaluate")
    return done.more


def _replay_batch() -> bool:
    more = pipeline.replay(now=timezone.now())
    if more:
        nudge("cdp.evaluate")
    return more


def _end_sessions() -> int:
    looked_at = pipeline.end_sessions(now=timezone.now())
    if looked_at:
        nudge("cdp.evaluate")
    return looked_at


def _giving_way(step: Callable[[], int | bool]) -> int | bool:
    """Do what only follows the drain, and rest after it while requests wait there: they are wanted now.

    A lower priority does so much for this process alone, and nothing for the session of PostgreSQL that works for it.
    """
    began = time.monotonic()
    more = step()
    if more and drain_is_behind(now=timezone.now()):
        time.sleep(min(WAY_SECONDS, WAY_RATIO * (time.monotonic() - began)))
    return more


def _stay(step: Callable[[], int], name: str, *, seconds: float = TURN_SECONDS) -> None:
    """Work until there is nothing to do; who found something works on as soon as there are news, until none come."""
    end = time.monotonic() + seconds
    listener = Listener(name)
    worked = False

    def work_and_rest() -> int:
        nonlocal worked
        found = step()
        worked = worked or found > 0
        if found in REST_AFTER:
            time.sleep(REST_SECONDS)
        return found

    try:
        while True:
            awake(name)
            done = _work(work_and_rest, name, until=end)
            if not done or not worked or time.monotonic() > end or not listener.heard(seconds=STAY_SECONDS):
                break
    finally:
        missed = listener.close()
    if missed:
        awake(name)
    if missed or not done:
        nudge(name)


def _until_done(step: Callable[[], int | bool], name: str) -> None:
    """Repeat `step` until it finds nothing; after a turn, give others the worker and ask for another turn."""
    if not _work(step, name, until=time.monotonic() + TURN_SECONDS):
        nudge(name)


def _work(step: Callable[[], int | bool], name: str, *, until: float) -> bool:
    """Repeat `step`; false where there is more to do than the time allowed.

    Without a database, or with a full one, a line in the log is all: the rows stay, and beat asks again.
    """
    try:
        while step():
            if time.monotonic() > until:
                return False
    except (OperationalError, InterfaceError) as error:
        log.warning("database_unavailable", task=name, error=str(error))
    return True
