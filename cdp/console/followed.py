"""What followed a message: the segments that its person entered or left just after, and what was sent."""

from datetime import timedelta

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.utils.dateparse import parse_datetime

import activation.queries
import identity.queries
import segments.queries
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import requires

JUST_AFTER = timedelta(minutes=1)
DELIVERIES = 50


@requires(Scope.SEGMENTS_READ)
def followed(request: HttpRequest, profile_id: int) -> HttpResponse:
    """A fragment; `since` is when the message was received."""
    since = parse_datetime(request.GET.get("since", "")[:40])
    if since is None or since.tzinfo is None:
        return HttpResponseBadRequest("since must be an instant with its time zone.")
    until = since + JUST_AFTER
    leading = identity.queries.canonical_id(profile_id)
    moves = segments.queries.moves_of_profile(profile_id=leading, since=since, until=until)
    sent = [
        one
        for one in activation.queries.deliveries(profile_id=leading, limit=DELIVERIES)
        if since <= one.created_at <= until
    ]
    return render(request, "console/followed.html", {"moves": moves, "sent": sent})
