"""Identity → Evaluation: how right matching is, on what evidence, and where to look. R: C2"""

import csv
from typing import Any

import msgspec
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from identity.candidates.live import live_by, load_settings
from identity.candidates.models import Label, MatchModel
from identity.candidates.store import load_records
from identity.evaluation import export, operations, queries, uploads
from identity.evaluation.contracts import FileReport, Mistake, ProfilesReport, Report
from identity.evaluation.errors import EvaluationError
from identity.evaluation.measure import leading
from identity.evaluation.models import MatchEvaluation
from identity.queries import get_profiles
from identity.review.contracts import Waterfall
from identity.review.queries import waterfall_of
from identity.viewing import mask_profile
from ingestion.dictionary.viewing import masker_for

WRITE = Scope.IDENTITY_WRITE
LISTS = {"wrong": "wrong", "missed": "missed"}


@requires(Scope.PROFILES_READ)
def overview(request: HttpRequest) -> HttpResponse:
    """The latest evaluation of all profiles, or what to do to have one."""
    evaluation = queries.latest()
    report = queries.report_of(evaluation) if evaluation is not None else None
    if evaluation is None or not isinstance(report, ProfilesReport):
        return render(request, "evaluation/overview.html", _frame())
    return render(request, "evaluation/overview.html", _frame() | profiles_context(request, evaluation, report))


@requires(Scope.PROFILES_READ)
def evaluation(request: HttpRequest, evaluation_id: int) -> HttpResponse:
    """An earlier one, or what became of a file."""
    row, report = _found(evaluation_id)
    if isinstance(report, FileReport):
        context = {"evaluation": row, "report": report, **_mistakes(request, report)}
        return render(request, "evaluation/file.html", _frame() | context)
    return render(request, "evaluation/overview.html", _frame() | profiles_context(request, row, report))


def _frame() -> dict[str, Any]:
    return {
        "run": queries.under_way(),
        "failure": queries.last_failure(),
        "versions": queries.versions(),
        "history": queries.earlier(kind=MatchEvaluation.Kind.PROFILES),
        "files": queries.earlier(kind=MatchEvaluation.Kind.FILE),
        "blind_url": reverse("review:blind"),
        "megabytes": uploads.MOST_BYTES // 1_000_000,
    }


def profiles_context(request: HttpRequest, row: MatchEvaluation, report: ProfilesReport) -> dict[str, Any]:
    fields = queries.weights_of(row.model)
    return {
        "evaluation": row,
        "report": report,
        "changes": queries.changes(report.labels, report.previous) if report.labels and report.previous else [],
        "curve_chart": queries.curve_chart(report.labels.curve) if report.labels else None,
        "histogram_chart": queries.histogram_chart(report.histogram),
        "sizes_chart": queries.sizes_chart(report.sizes),
        "unlinkables_chart": queries.unlinkables_chart(report),
        "likeliest": max((one.clusters for one in report.sizes if one.size == 1), default=0),
        "fields": [(field.field, [(one, queries.bar_of(one.weight)) for one in field.levels]) for field in fields],
        **_mistakes(request, report),
    }


def _mistakes(request: HttpRequest, report: Report) -> dict[str, Any]:
    """With the names of both profiles as this person may see them, and the way to the review queue."""
    pairs = [(one.one, one.other) for one in [*report.wrong, *report.missed]]
    lead = leading({id_ for pair in pairs for id_ in pair})
    masker = masker_for(request.user)
    profiles = {id_: mask_profile(view, masker) for id_, view in get_profiles(ids=set(lead.values())).items()}
    waiting = queries.candidate_ids(pairs)

    def lines(found: list[Mistake]) -> list[dict[str, Any]]:
        return [
            {
                "mistake": one,
                "one": profiles.get(lead[one.one]),
                "other": profiles.get(lead[one.other]),
                "candidate": waiting.get((min(one.one, one.other), max(one.one, one.other))),
            }
            for one in found
        ]

    return {"wrong": lines(report.wrong), "missed": lines(report.missed)}


@requires(Scope.PROFILES_READ)
def why(request: HttpRequest, evaluation_id: int, which: str, place: int) -> HttpResponse:
    """The waterfall of one mistake, by the model that was evaluated."""
    row, report = _found(evaluation_id)
    found: list[Mistake] = getattr(report, LISTS.get(which, ""), [])
    if place >= len(found):
        raise Http404("There is no such pair in this evaluation.")
    records = _records(found[place])
    waterfall = None
    if records is not None:
        live = live_by(load_settings(), row.model)
        explained = live.scorer.explain(*records)
        waterfall = waterfall_of(msgspec.to_builtins(explained), masker_for(request.user))
    return render(request, "evaluation/why.html", _bars(waterfall) | {"waterfall": waterfall})


def _bars(waterfall: Waterfall | None) -> dict[str, Any]:
    if waterfall is None:
        return {}
    return {
        "steps": [(step, queries.bar_of(step.weight)) for step in waterfall.steps],
        "prior_bar": queries.bar_of(waterfall.prior),
        "score_bar": queries.bar_of(waterfall.score),
    }


def _records(one: Mistake) -> tuple[Any, Any] | None:
    """As they were when somebody looked at them; else as they are."""
    label = Label.objects.filter(pk=one.label_id).first() if one.label_id else None
    if label is not None:
        return label.one, label.other
    records = load_records([one.one, one.other])
    return (records[one.one], records[one.other]) if one.one in records and one.other in records else None


@require_POST
@requires(Scope.PROFILES_READ, write=WRITE)
def start(request: HttpRequest) -> HttpResponse:
    """Evaluate the version that was chosen; the live one if none was."""
    chosen = request.POST.get("model", "")
    model = (
        get_object_or_404(MatchModel, pk=chosen)
        if chosen.isascii() and chosen.isdigit()
        else MatchModel.objects.filter(state=MatchModel.State.LIVE).first()
    )
    operations.evaluate_profiles(model=model, actor=request.user, now=timezone.now())
    return redirect("evaluation:overview")


@require_POST
@requires(Scope.PROFILES_READ, write=WRITE)
def upload(request: HttpRequest) -> HttpResponse:
    """Hold the profiles against a labelled file."""
    file = request.FILES.get("file")
    if file is None or isinstance(file, list):
        messages.error(request, "Choose a CSV file first.")
        return redirect("evaluation:overview")
    try:
        operations.evaluate_file(body=file.read(), name=file.name or "file", actor=request.user, now=timezone.now())
    except EvaluationError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The file is read. Its evaluation appears below in a moment.")
    return redirect("evaluation:overview")


@requires(Scope.PROFILES_READ)
def progress(request: HttpRequest) -> HttpResponse:
    """How far the evaluation is; the page is loaded anew once it is done."""
    run = queries.under_way()
    if run is None:
        return HttpResponseClientRefresh()
    return render(request, "evaluation/progress.html", {"run": run})


@requires(Scope.PROFILES_READ)
def table(_request: HttpRequest, evaluation_id: int, name: str) -> HttpResponse:
    """One table as CSV."""
    row, report = _found(evaluation_id)
    if name == "weights":
        head, lines = export.weights(queries.weights_of(row.model))
    elif name in export.TABLES and (name == "mistakes" or isinstance(report, ProfilesReport)):
        head, lines = export.TABLES[name](report)
    else:
        raise Http404("There is no such table.")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="evaluation-{row.pk}-{name}.csv"'
    writer = csv.writer(response)
    writer.writerow(head)
    writer.writerows(lines)
    return response


def _found(evaluation_id: int) -> tuple[MatchEvaluation, Report]:
    row = get_object_or_404(MatchEvaluation.objects.select_related("model", "run", "asked_by"), pk=evaluation_id)
    report = queries.report_of(row)
    if report is None:
        raise Http404("This evaluation is not done.")
    return row, report


app_name = "evaluation"
urlpatterns = [
    path("", overview, name="overview"),
    path("start/", start, name="start"),
    path("upload/", upload, name="upload"),
    path("progress/", progress, name="progress"),
    path("<int:evaluation_id>/", evaluation, name="evaluation"),
    path("<int:evaluation_id>/<slug:which>/<int:place>/", why, name="why"),
    path("<int:evaluation_id>/<slug:name>.csv", table, name="table"),
]
