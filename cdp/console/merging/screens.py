"""The merges of a profile: why they happened, taking them back; merging by hand, splitting, what was said of pairs."""

from typing import Any

from django.contrib import messages as notices
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.console import customer
from cdp.console.merging import effects
from cdp.console.merging.words import told_merge
from cdp.console.profiles import frame_of
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires
from identity import queries as identities
from identity.contracts import Identifier, ProfileView
from identity.merging import operations, queries
from identity.merging.errors import MergeRefusedError
from identity.merging.split import split_profile
from identity.merging.viewing import mask_merge, mask_merge_preview, mask_undo_preview
from identity.models import Merge
from identity.viewing import mask_profile, mask_profiles
from ingestion.dictionary.viewing import masker_for

FOUND = 20


@requires(Scope.PROFILES_READ)
def merges(request: HttpRequest, profile_id: int) -> HttpResponse:
    """How a profile was put together, and what people have said of it and others."""
    view = _profile(profile_id)
    if view.id != profile_id:
        return redirect("merging:merges", view.id)
    masker = masker_for(request.user)
    sources = customer.source_names()
    context = frame_of(request, view, tab="merges") | {
        "merges": [told_merge(mask_merge(one, masker), sources) for one in queries.merges_of(view.id)],
        "constraints": queries.constraints_of(view.id),
        "origins": len(queries.origins_of([view.id])[view.id]),
        "can_split": sum(map(len, view.identifiers.values())) > 1,
    }
    return render(request, "merging/merges.html", context)


@requires(Scope.PROFILES_READ)
def find(request: HttpRequest, profile_id: int) -> HttpResponse:
    """Look for the profile to merge with."""
    view = _profile(profile_id)
    text = request.GET.get("q", "").strip()[:200]
    masker = masker_for(request.user)
    found = [one for one in identities.search(text=text, limit=FOUND + 1) if one.id != view.id] if text else []
    context = {"profile": mask_profile(view, masker), "q": text, "found": mask_profiles(found[:FOUND], masker)}
    return render(request, "merging/find.html", context)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def merge(request: HttpRequest, profile_id: int, other_id: int) -> HttpResponse:
    """Both side by side, and what would follow; by POST it happens."""
    if request.method == "POST":
        return _merge(request, profile_id, other_id)
    try:
        preview = operations.preview_merge(one=profile_id, other=other_id)
    except MergeRefusedError as error:
        raise Http404(error.message) from error
    found = None
    if not preview.refusals:
        found = effects.of_merge(
            survivor_id=preview.survivor.profile.id, absorbed_id=preview.absorbed.profile.id, now=timezone.now()
        )
    shown = mask_merge_preview(preview, masker_for(request.user))
    context = {"profile_id": profile_id, "other_id": other_id, "preview": shown, "effects": found}
    return render(request, "merging/merge.html", context)


def _merge(request: HttpRequest, profile_id: int, other_id: int) -> HttpResponse:
    user: Any = request.user
    reason = request.POST.get("reason", "").strip()[:200]
    try:
        if request.POST.get("decision") == "never":
            operations.forbid(one=profile_id, other=other_id, actor=user, reason=reason, now=timezone.now())
            notices.success(request, "Noted: nothing will merge these two.")
            return redirect("merging:merges", profile_id)
        made = operations.merge_profiles(
            one=profile_id,
            other=other_id,
            cause=Merge.Cause.PERSON,
            evidence={"reason": reason} if reason else {},
            actor=user,
            now=timezone.now(),
        )
    except MergeRefusedError as error:
        notices.error(request, error.message)
        return redirect("merging:merge", profile_id, other_id)
    notices.success(request, "Merged. You can take it back here at any time.")
    return redirect("merging:merges", made.survivor_id)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def undo(request: HttpRequest, merge_id: int) -> HttpResponse:
    """What either side would be; by POST the merge is taken back."""
    if request.method == "POST":
        return _undo(request, merge_id)
    try:
        preview = operations.preview_undo(merge_id=merge_id)
    except MergeRefusedError as error:
        if error.code == "not_found":
            raise Http404(error.message) from error
        return render(request, "merging/refused.html", {"error": error}, status=409)
    found = None
    if not preview.refusals:
        found = effects.of_undo(
            merge_id=merge_id,
            profile_id=preview.kept.profile.id,
            restored_id=preview.restored.profile.id,
            now=timezone.now(),
        )
    shown = mask_undo_preview(preview, masker_for(request.user))
    told = told_merge(shown.merge, customer.source_names())
    return render(request, "merging/undo.html", {"preview": shown, "merge": told, "effects": found})


def _undo(request: HttpRequest, merge_id: int) -> HttpResponse:
    user: Any = request.user
    try:
        parting = operations.undo_merge(
            merge_id=merge_id,
            actor=user,
            never_again=request.POST.get("never_again") == "on",
            now=timezone.now(),
        )
    except MergeRefusedError as error:
        notices.error(request, error.message)
        return redirect("console:profiles")
    notices.success(request, f"Taken back: profile {parting.restored_id} lives by itself again.")
    return redirect("merging:merges", parting.profile_id)


@requires(Scope.PROFILES_READ, write=Scope.IDENTITY_WRITE)
def split(request: HttpRequest, profile_id: int) -> HttpResponse:
    """Choose the identifiers that leave."""
    view = _profile(profile_id)
    masker = masker_for(request.user)
    if request.method == "POST":
        return _split(request, view, _chosen(request, view))
    lines = [
        (f"{kind}~{place}", kind, value)
        for kind, values in mask_profile(view, masker).identifiers.items()
        for place, value in enumerate(values)
    ]
    return render(request, "merging/split.html", {"profile": mask_profile(view, masker), "lines": lines})


def _chosen(request: HttpRequest, view: ProfileView) -> list[Identifier]:
    """By their places, since a person may see them masked; a place that is gone chooses nothing."""
    found = []
    for key in request.POST.getlist("identifier"):
        kind, _, place = key.rpartition("~")
        values = view.identifiers.get(kind, [])
        if place.isascii() and place.isdigit() and int(place) < len(values):
            found.append((kind, values[int(place)]))
    return found


def _split(request: HttpRequest, view: ProfileView, chosen: list[Identifier]) -> HttpResponse:
    user: Any = request.user
    try:
        parting = split_profile(profile_id=view.id, identifiers=chosen, actor=user, now=timezone.now())
    except MergeRefusedError as error:
        notices.error(request, error.message)
        return redirect("merging:split", view.id)
    notices.success(request, f"Split: profile {parting.restored_id} has what was chosen.")
    return redirect("merging:merges", parting.profile_id)


@requires(Scope.IDENTITY_WRITE)
@require_POST
def lift(request: HttpRequest, profile_id: int, one: int, other: int) -> HttpResponse:
    try:
        operations.lift(one=one, other=other)
        notices.success(request, "Lifted. Messages and matching may decide about these two again.")
    except MergeRefusedError as error:
        notices.error(request, error.message)
    return redirect("merging:merges", profile_id)


app_name = "merging"
urlpatterns = [
    path("<int:profile_id>/merges/", merges, name="merges"),
    path("<int:profile_id>/merge/", find, name="find"),
    path("<int:profile_id>/merge/<int:other_id>/", merge, name="merge"),
    path("<int:profile_id>/split/", split, name="split"),
    path("<int:profile_id>/constraints/<int:one>/<int:other>/lift/", lift, name="lift"),
    path("merges/<int:merge_id>/undo/", undo, name="undo"),
]


def _profile(profile_id: int) -> ProfileView:
    view = identities.get_profile(profile_id=profile_id)
    if view is None:
        raise Http404("There is no profile with this id.")
    return view
