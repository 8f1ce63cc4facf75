"""The list of segments: folders, tags, search, and what is done to many at once."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import after_param, requires, take_page
from segments import lifecycle, organise, queries, undo
from segments.gallery import GALLERY
from segments.models import Segment

PAGE = 50
MOST_AT_ONCE = 500
NO_FOLDER = "-"


@requires(Scope.SEGMENTS_READ)
def segments(request: HttpRequest) -> HttpResponse:
    asked = {name: request.GET.get(name, "").strip()[:200] for name in ("q", "state", "folder", "tag")}
    after = after_param(request) or 0
    state = asked["state"] if asked["state"] in Segment.State.values else ""
    folder = {"": None, NO_FOLDER: ""}.get(asked["folder"], asked["folder"])
    found = organise.find(text=asked["q"], state=state, folder=folder, tag=asked["tag"])
    rows = list(found.select_related("computation", "draft").order_by("name", "pk")[after : after + PAGE + 1])
    page = take_page(queries.overview(now=timezone.now(), among=rows), key=lambda _: after + PAGE, size=PAGE)
    context = {
        **asked,
        "filtered": any(asked.values()),
        "states": Segment.State.choices,
        "folders": organise.folders(),
        "no_folder": NO_FOLDER,
        "tags": organise.tags_in_use(),
        "after": after,
        "page": page,
        "rows": [(row, [day.size for day in row.days]) for row in page],
        "nothing": not rows and not Segment.objects.exists(),
        "gallery": GALLERY,
    }
    return render(request, "segments/list.html", context)


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def bulk(request: HttpRequest) -> HttpResponse:
    """Move, tag or archive those that were ticked."""
    ids = [int(text) for text in request.POST.getlist("ids")[:MOST_AT_ONCE] if text.isdigit() and len(text) < 19]
    back = _back(request)
    if not ids:
        messages.error(request, "Tick some segments first.")
        return redirect(back)
    try:
        _do(request, request.POST.get("what", ""), ids)
    except TributaryError as error:
        messages.error(request, error.message)
    return redirect(back)


def _do(request: HttpRequest, what: str, ids: list[int]) -> None:
    folder, tag = request.POST.get("folder", ""), request.POST.get("tag", "")
    match what:
        case "move":
            before = organise.organise(segment_ids=ids, folder=folder)
            where = f"in the folder “{folder.strip()}”" if folder.strip() else "in no folder"
            undo.offer_places(request, f"{_many(len(before))} now {where}.", before)
        case "tag":
            before = organise.organise(segment_ids=ids, add=[tag])
            undo.offer_places(request, f"{_many(len(before))} now tagged “{tag.strip()}”.", before)
        case "untag":
            before = organise.organise(segment_ids=ids, remove=[tag])
            undo.offer_places(request, f"{_many(len(before))} now without the tag “{tag.strip()}”.", before)
        case "archive":
            _archive(request, ids)
        case _:
            messages.error(request, "Choose what to do with them.")


def _archive(request: HttpRequest, ids: list[int]) -> None:
    """Each on its own: one that is in use stays, and says by whom it is used."""
    archived, refused = [], []
    for id_ in ids:
        try:
            archived.append(lifecycle.archive(segment_id=id_, now=timezone.now()).pk)
        except TributaryError as error:
            refused.append(error.message)
    for message in refused[:5]:
        messages.error(request, message)
    if archived:
        undo.offer(request, f"{_many(len(archived))} now in the archive.", "archived", ids=archived)


def _many(count: int) -> str:
    return "1 segment is" if count == 1 else f"{count} segments are"


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def place(request: HttpRequest, slug: str) -> HttpResponse:
    """The folder and the tags of one segment."""
    found = get_object_or_404(Segment, slug=slug)
    tags = [tag for tag in request.POST.get("tags", "").split(",") if tag.strip()]
    try:
        before = organise.organise(segment_ids=[found.pk], folder=request.POST.get("folder", ""), tags=tags)
    except TributaryError as error:
        messages.error(request, error.message)
    else:
        undo.offer_places(request, "Folder and tags are saved.", before)
    return redirect("segments:detail", slug)


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def undo_last(request: HttpRequest, token: str) -> HttpResponse:
    try:
        done = undo.take_back(request, token)
    except TributaryError as error:
        messages.error(request, error.message)
    else:
        level, text = (
            (messages.SUCCESS, "Taken back.") if done else (messages.ERROR, "It is too late to take that back.")
        )
        messages.add_message(request, level, text)
    return redirect(_back(request))


def _back(request: HttpRequest) -> str:
    """The page where the button stood."""
    came_from = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(came_from, allowed_hosts={request.get_host()}):
        return came_from
    return reverse("segments:list")
