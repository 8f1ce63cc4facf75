"""Screens of manual segments: upload a list, look at it, apply it, take it back; add and remove by hand; freeze."""

import csv
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRefresh

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from identity import queries as identity
from identity.kinds.rules import fresh
from ingestion.dictionary.viewing import masker_for
from segments import people
from segments.manual import operations, uploads
from segments.manual.models import Upload, UploadLine
from segments.manual.operations import PROFILE, Named
from segments.models import Segment

FOUND = 8
OUTCOMES = (
    ("found", "Found", "They will be in."),
    ("duplicate", "Named again", "The same person as a line above; once is enough."),
    ("unknown", "Unknown", "No profile has such an identifier."),
    ("ambiguous", "Ambiguous", "The columns of the line lead to different people; it is left out."),
    ("invalid", "Nothing to look up", "No column has an identifier that can be read."),
)


@requires(Scope.SEGMENTS_WRITE)
def new(request: HttpRequest) -> HttpResponse:
    """A manual segment, with a list at once if there is one."""
    problem = None
    if request.method == "POST":
        user: Any = request.user
        try:
            segment = operations.create_manual(
                name=request.POST.get("name", ""),
                description=request.POST.get("description", ""),
                user=user,
                now=timezone.now(),
            )
        except TributaryError as error:
            problem = error
        else:
            return _take(request, segment) if request.FILES.get("file") else redirect("segments:detail", segment.slug)
    context = {"problem": problem, "name": request.POST.get("name", "")}
    return render(request, "segments/manual/new.html", context, status=422 if problem else 200)


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def upload(request: HttpRequest, slug: str) -> HttpResponse:
    return _take(request, get_object_or_404(Segment, slug=slug))


def _take(request: HttpRequest, segment: Segment) -> HttpResponse:
    file = request.FILES.get("file")
    user: Any = request.user
    if file is None:
        messages.error(request, "Choose a file.")
        return redirect("segments:detail", segment.slug)
    try:
        taken = uploads.take_upload(
            segment_id=segment.pk, file_name=file.name or "", body=file.read(), user=user, now=timezone.now()
        )
    except TributaryError as error:
        messages.error(request, error.message)
        return redirect("segments:detail", segment.slug)
    return redirect("segments:upload-page", segment.slug, taken.pk)


@requires(Scope.PROFILES_READ, write=Scope.SEGMENTS_WRITE)
def upload_page(request: HttpRequest, slug: str, upload_id: int) -> HttpResponse:
    """A list at whatever step it is; a POST takes it to the next."""
    found = _upload(slug, upload_id)
    if request.method == "POST":
        return _step(request, found)
    context = _upload_context(request, found) | {"kinds": [*sorted(k for k in fresh().settings if k != "*"), PROFILE]}
    return render(request, "segments/manual/upload.html", context)


@requires(Scope.PROFILES_READ)
def upload_status(request: HttpRequest, slug: str, upload_id: int) -> HttpResponse:
    found = _upload(slug, upload_id)
    if found.state not in {Upload.State.MATCHING, Upload.State.APPLYING}:
        return HttpResponseClientRefresh()
    return render(request, "segments/manual/upload_status.html", _upload_context(request, found))


def _step(request: HttpRequest, found: Upload) -> HttpResponse:
    now, slug = timezone.now(), found.segment.slug
    try:
        match request.POST.get("action"):
            case "match":
                uploads.start_matching(upload_id=found.pk, kinds=request.POST.getlist("kind"), now=now)
            case "apply":
                uploads.start_applying(
                    upload_id=found.pk,
                    mode=request.POST.get("mode", ""),
                    create_unknown="create_unknown" in request.POST,
                    now=now,
                )
            case "undo":
                gone, back = uploads.undo(upload_id=found.pk, now=now)
                messages.success(request, f"Taken back: {gone:,} taken out, {back:,} put back.")
            case "discard":
                uploads.discard(upload_id=found.pk)
                return redirect("segments:detail", slug)
    except TributaryError as error:
        messages.error(request, error.message)
    return redirect("segments:upload-page", slug, found.pk)


def _upload_context(request: HttpRequest, found: Upload) -> dict[str, Any]:
    masker = masker_for(request.user)
    some = UploadLine.objects.filter(upload=found, outcome="found").order_by("number")[:FOUND]
    ids = [line.origin_id for line in some if line.origin_id is not None]
    return {
        "segment": found.segment,
        "upload": found,
        "outcomes": [(key, label, why, found.counts.get(key, 0)) for key, label, why in OUTCOMES],
        "modes": Upload.Mode.choices,
        "some": people.describe([identity.canonical_id(id_) for id_ in ids], masker=masker),
    }


@requires(Scope.PROFILES_READ)
def unknown(request: HttpRequest, slug: str, upload_id: int) -> StreamingHttpResponse:  # noqa: ARG001 - a view's
    """The lines that lead to nobody, as CSV."""
    found = _upload(slug, upload_id)
    names = [column["name"] for column in found.columns if column["kind"]]
    answer = StreamingHttpResponse(_csv(found, names), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="unknown-{found.pk}.csv"'
    return answer


class _Echo:
    def write(self, text: str) -> str:
        return text


def _csv(found: Upload, names: list[str]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo())
    kinds = [column["kind"] for column in found.columns if column["kind"]]
    yield writer.writerow(["line", *names])
    lines = UploadLine.objects.filter(upload=found, outcome__in=["unknown", "invalid", "ambiguous"]).order_by("number")
    for number, said in lines.values_list("number", "said").iterator(chunk_size=2_000):
        values = dict(said)
        yield writer.writerow([number, *(_harmless(values.get(kind, "")) for kind in kinds)])


def _harmless(text: str) -> str:
    """Spreadsheets take a cell that begins so for a formula."""
    return f"'{text}" if text[:1] in {"=", "@", "\t", "\r"} else text


@requires(Scope.PROFILES_READ)
def find(request: HttpRequest, slug: str) -> HttpResponse:
    """A fragment: people that a search finds, to be put in."""
    found = get_object_or_404(Segment, slug=slug)
    text = request.GET.get("q", "").strip()[:200]
    views = identity.search(text=text, limit=FOUND) if text else []
    shown = people.describe([view.id for view in views], masker=masker_for(request.user))
    ids = [person.id for person in shown]
    inside = set(found.memberships.filter(profile_id__in=ids).values_list("profile_id", flat=True))
    context = {"segment": found, "q": text, "people": [(person, person.id in inside) for person in shown]}
    return render(request, "segments/manual/found.html", context)


@require_POST
@requires(Scope.PROFILES_READ, write=Scope.SEGMENTS_WRITE)
def change(request: HttpRequest, slug: str) -> HttpResponse:
    """Put one person in, or take one out."""
    found = get_object_or_404(Segment, slug=slug)
    one = [Named(PROFILE, request.POST.get("profile", ""))]
    name = (people.describe([int(one[0].value)], masker=masker_for(request.user))[0].name
            if operations.is_number(one[0].value) else "Nobody")  # fmt: skip
    try:
        if request.POST.get("action") == "remove":
            operations.remove_members(segment_id=found.pk, people=one)
            messages.success(request, f"{name} is taken out.")
        else:
            operations.add_members(segment_id=found.pk, people=one, now=timezone.now())
            messages.success(request, f"{name} is put in.")
    except TributaryError as error:
        messages.error(request, error.message)
    return redirect("segments:detail", slug)


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def freeze(request: HttpRequest, slug: str) -> HttpResponse:
    """A manual segment of those who are in now."""
    source = get_object_or_404(Segment, slug=slug)
    user: Any = request.user
    now = timezone.now()
    try:
        name = request.POST.get("name") or f"{source.name[:90]}, {now:%-d %b %Y}"
        made = operations.freeze(source=source, name=name, user=user, now=now)
    except TributaryError as error:
        messages.error(request, error.message)
        return redirect("segments:detail", slug)
    messages.success(request, f"“{made.name}” keeps who is in “{source.name}” now.")
    return redirect("segments:detail", made.slug)


def _upload(slug: str, upload_id: int) -> Upload:
    rows = Upload.objects.select_related("segment", "created_by").defer("body")
    return get_object_or_404(rows, pk=upload_id, segment__slug=slug)
