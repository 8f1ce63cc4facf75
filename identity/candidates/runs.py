"""Long jobs of this room: asked for by anybody, done one after the other by whichever worker has time.

A session of PostgreSQL that holds an advisory lock is the one that works. It ends with the worker's process, so that a
killed worker leaves nothing behind but a row that says "running", which the next one begins again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from cdp.kernel.tasks import send_on_commit
from identity.candidates.models import MatchModel, MatchRun

LOCK = 0x6D72_756E  # "mrun"; any number that no other advisory lock of ours uses
ATTEMPTS = 3
TELL_SECONDS = 0.5
MAX_ERROR = 500
OPEN = (MatchRun.State.WAITING, MatchRun.State.RUNNING)

log = structlog.get_logger(__name__)


@transaction.atomic
def ask(
    kind: MatchRun.Kind,
    *,
    actor: Any,
    now: datetime,
    model: MatchModel | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> MatchRun:
    """Queue a job; one that waits already, for the same, is the one that is meant."""
    same = MatchRun.objects.filter(
        kind=kind, state=MatchRun.State.WAITING, model=model, arguments=dict(arguments or {})
    ).first()
    run = same or MatchRun.objects.create(
        kind=kind, model=model, arguments=dict(arguments or {}), asked_at=now, asked_by=actor
    )
    send_on_commit("cdp.match_runs")
    return run


class Progress:
    """Says on the row how far a job is, at most twice a second."""

    def __init__(self, run: MatchRun, clock: Callable[[], datetime]) -> None:
        self.run = run
        self.clock = clock
        self._told = 0.0

    def begin(self, phase: str, *, total: int = 0) -> None:
        self.run.phase, self.run.done, self.run.total = phase, 0, total
        self._tell()

    def advance(self, by: int = 1) -> None:
        self.run.done += by
        if time.monotonic() - self._told > TELL_SECONDS:
            self._tell()

    def count(self, **counts: Any) -> None:
        """Keep figures on the row; they are written with the next word."""
        self.run.counts |= counts

    def _tell(self) -> None:
        self._told = time.monotonic()
        self.run.save(update_fields=["phase", "done", "total", "counts"])


Job = Callable[[MatchRun, Progress], None]


def work(jobs: Mapping[str, Job], *, clock: Callable[[], datetime]) -> bool:
    """Do the oldest job that is open; false where there is none, or another worker is at it."""
    with _alone() as alone:
        run = MatchRun.objects.filter(state__in=OPEN).order_by("id").first() if alone else None
        if run is None:
            return False
        _do(run, jobs[run.kind], clock=clock)
        return True


def _do(run: MatchRun, job: Job, *, clock: Callable[[], datetime]) -> None:
    if run.attempts >= ATTEMPTS:
        _end(run, MatchRun.State.FAILED, now=clock(), error=f"Its worker was lost {ATTEMPTS} times.")
        return
    MatchRun.objects.filter(pk=run.pk).update(attempts=F("attempts") + 1)
    run.refresh_from_db()
    run.state, run.started_at, run.counts = MatchRun.State.RUNNING, clock(), {}
    run.save(update_fields=["state", "started_at", "counts"])
    began = time.monotonic()
    try:
        job(run, Progress(run, clock))
    except (OperationalError, InterfaceError):
        raise  # the database's failure, not the job's: it is begun again
    except Exception as error:
        log.exception("match_run_failed", run=run.pk)
        run.seconds = time.monotonic() - began
        _end(run, MatchRun.State.FAILED, now=clock(), error=str(error) or type(error).__name__)
        return
    run.seconds = time.monotonic() - began
    _end(run, MatchRun.State.DONE, now=clock())


def _end(run: MatchRun, state: MatchRun.State, *, now: datetime, error: str = "") -> None:
    run.state, run.finished_at, run.error = state, now, error[:MAX_ERROR]
    run.save(update_fields=["state", "finished_at", "error", "phase", "done", "total", "counts", "seconds"])


@contextmanager
def _alone() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        if alone and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
