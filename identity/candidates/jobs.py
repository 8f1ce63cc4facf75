"""What the long jobs of this room do, and when they are due."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings as deployment
from django.db import transaction

from identity.candidates import operations, runs
from identity.candidates.full import full_pass
from identity.candidates.live import ESTIMATE_FROM, load_settings
from identity.candidates.models import Candidate, MatchRun
from identity.candidates.runs import Job, Progress
from identity.candidates.versions import estimate_job, preview_job
from identity.models import Profile

IDS_A_TIME = 500
FULL_PASS_APART = timedelta(hours=20)


def accept_job(run: MatchRun, progress: Progress) -> None:
    """Every waiting pair of at least the threshold, the surest first; each is merged in a transaction of its own."""
    waiting = Candidate.objects.filter(
        state=Candidate.State.WAITING, refusal="", probability__gte=run.arguments["threshold"]
    )
    progress.begin("Merging", total=waiting.count())
    ids = list(waiting.order_by("-probability", "id").values_list("id", flat=True))
    accepted = 0
    for id_ in ids:
        accepted += operations.accept_in_batch(candidate_id=id_, run=run, now=progress.clock())
        progress.count(accepted=accepted)
        progress.advance()
    progress.count(accepted=run.candidates.count(), left=len(ids) - accepted)


def undo_job(run: MatchRun, progress: Progress) -> None:
    """Whatever a batch merged and nobody has taken back since, the last first."""
    batch = Candidate.objects.filter(batch_id=run.arguments["batch"], state=Candidate.State.ACCEPTED)
    progress.begin("Taking back", total=batch.count())
    undone = 0
    for candidate in batch.order_by("-decided_at", "-id").iterator(chunk_size=IDS_A_TIME):
        operations.undo_decision(candidate=candidate, actor=run.asked_by, now=progress.clock())
        undone += 1
        progress.count(undone=undone)
        progress.advance()
    progress.count(undone=undone)


JOBS: Mapping[str, Job] = {
    MatchRun.Kind.FULL: full_pass,
    MatchRun.Kind.ESTIMATE: estimate_job,
    MatchRun.Kind.PREVIEW: preview_job,
    MatchRun.Kind.ACCEPT: accept_job,
    MatchRun.Kind.UNDO: undo_job,
}


def work(*, clock: Callable[[], datetime], others: Mapping[str, Job] | None = None) -> bool:
    """Do the oldest job that is open; false where there is none, or another worker is at it.

    `others` are jobs of rooms that build on this one.
    """
    return runs.work({**JOBS, **(others or {})}, clock=clock)


@transaction.atomic
def ask_due(*, now: datetime) -> None:
    """Ask for what the schedule says: a full pass at its hour, and a new draft of the model once in a while."""
    settings = load_settings()
    local = now.astimezone(ZoneInfo(deployment.TIME_ZONE))
    if local.hour == settings.full_pass_hour and not _asked_since(MatchRun.Kind.FULL, now - FULL_PASS_APART):
        runs.ask(MatchRun.Kind.FULL, actor=None, now=now)
    due = now - timedelta(days=settings.estimate_days)
    if not _asked_since(MatchRun.Kind.ESTIMATE, due) and Profile.objects.count() >= ESTIMATE_FROM:
        runs.ask(MatchRun.Kind.ESTIMATE, actor=None, now=now)


def _asked_since(kind: MatchRun.Kind, since: datetime) -> bool:
    return MatchRun.objects.filter(kind=kind, asked_at__gt=since).exists()
