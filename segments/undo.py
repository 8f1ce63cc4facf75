"""What somebody did last in the lists of segments, kept in the session so that a toast can take it back."""

import secrets
from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from segments import lifecycle, operations
from segments.models import Draft, Segment, SegmentVersion
from segments.organise import Place, put_back

KEY = "segments:undo"


def offer(request: HttpRequest, text: str, kind: str, **how: Any) -> None:
    """Say what was done, with a button that takes it back."""
    token = secrets.token_urlsafe(8)
    request.session[KEY] = {"token": token, "kind": kind, **how}
    messages.success(request, text, extra_tags=reverse("segments:undo", args=[token]))


def offer_places(request: HttpRequest, text: str, before: dict[int, Place]) -> None:
    offer(request, text, "places", places={str(id_): asdict(place) for id_, place in before.items()})


def take_back(request: HttpRequest, token: str) -> bool:
    """False where something else was done since, or it was taken back already."""
    kept = request.session.get(KEY)
    if not kept or kept["token"] != token:
        return False
    del request.session[KEY]
    user: Any = request.user
    _UNDO[kept["kind"]](kept, user)
    return True


def _places(kept: dict[str, Any], _user: Any) -> None:
    put_back({int(id_): Place(place["folder"], tuple(place["tags"])) for id_, place in kept["places"].items()})


def _archived(kept: dict[str, Any], user: Any) -> None:
    for id_ in Segment.objects.filter(pk__in=kept["ids"]).values_list("pk", flat=True):
        lifecycle.unarchive(segment_id=id_, user=user, now=timezone.now())


def _restored(kept: dict[str, Any], user: Any) -> None:
    """Back to the version that was live; one that is still on its way is taken off it."""
    before = SegmentVersion.objects.get(segment_id=kept["id"], number=kept["number"])
    operations.update_segment(segment_id=kept["id"], definition=before.definition, user=user, now=timezone.now())


def _discarded(kept: dict[str, Any], user: Any) -> None:
    given = {name: kept["draft"][name] for name in ("name", "description", "definition")}
    lifecycle.save_draft(segment_id=kept["id"], user=user, now=timezone.now(), **given)
    Draft.objects.filter(segment_id=kept["id"]).update(base_version=kept["draft"]["base_version"])


_UNDO = {"places": _places, "archived": _archived, "restored": _restored, "discarded": _discarded}
