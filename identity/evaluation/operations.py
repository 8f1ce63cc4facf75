"""Asking for evaluations, and doing them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db import transaction

from identity.candidates import runs
from identity.candidates.models import MatchModel, MatchRun
from identity.candidates.runs import Job, Progress
from identity.evaluation import uploads
from identity.evaluation.contracts import Report
from identity.evaluation.measure import measure_profiles
from identity.evaluation.models import MatchEvaluation
from identity.evaluation.uploads import Row

KEPT = 50
"""Evaluations of each kind that are kept."""


@transaction.atomic
def evaluate_profiles(*, model: MatchModel | None, actor: Any, now: datetime) -> MatchEvaluation:
    """Have all profiles be matched by a version of the model and measured, in the background."""
    waiting = MatchEvaluation.objects.filter(
        kind=MatchEvaluation.Kind.PROFILES, model=model, run__state=MatchRun.State.WAITING
    ).first()
    return waiting or _ask(MatchEvaluation(kind=MatchEvaluation.Kind.PROFILES, model=model), actor=actor, now=now)


def evaluate_file(*, body: bytes, name: str, actor: Any, now: datetime) -> MatchEvaluation:
    """Have the profiles be held against a labelled CSV file, in the background. Raises EvaluationError."""
    return evaluate_rows(rows=uploads.read_upload(body), name=name, actor=actor, now=now)


@transaction.atomic
def evaluate_rows(*, rows: Sequence[Row], name: str, actor: Any, now: datetime) -> MatchEvaluation:
    """Have the profiles be held against what is known of source ids, in the background."""
    evaluation = MatchEvaluation(kind=MatchEvaluation.Kind.FILE, name=name[:200], upload=uploads.pack(rows))
    return _ask(evaluation, actor=actor, now=now)


def _ask(evaluation: MatchEvaluation, *, actor: Any, now: datetime) -> MatchEvaluation:
    evaluation.asked_at, evaluation.asked_by = now, actor
    evaluation.save()
    arguments = {"evaluation": evaluation.pk}
    evaluation.run = runs.ask(
        MatchRun.Kind.EVALUATE, actor=actor, now=now, model=evaluation.model, arguments=arguments
    )
    evaluation.save(update_fields=["run"])
    forget_old(evaluation.kind)
    return evaluation


def forget_old(kind: str) -> None:
    kept = MatchEvaluation.objects.filter(kind=kind).order_by("-id").values_list("id", flat=True)[:KEPT]
    MatchEvaluation.objects.filter(kind=kind).exclude(pk__in=list(kept)).delete()


def evaluate_job(run: MatchRun, progress: Progress) -> None:
    """The file that was uploaded is forgotten once it is measured: it names people."""
    evaluation = MatchEvaluation.objects.filter(pk=run.arguments["evaluation"]).first()
    if evaluation is None:
        return
    report: Report
    if evaluation.kind == MatchEvaluation.Kind.FILE:
        report = uploads.measure_file(uploads.unpack(bytes(evaluation.upload or b"")), progress=progress)
    else:
        report = measure_profiles(model=evaluation.model, progress=progress)
    evaluation.result, evaluation.upload = msgspec.to_builtins(report), None
    evaluation.finished_at = progress.clock()
    evaluation.save(update_fields=["result", "upload", "finished_at"])


JOBS: Mapping[str, Job] = {"evaluate": evaluate_job}
