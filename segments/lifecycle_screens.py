"""The buttons over the life of a segment."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from segments import lifecycle
from segments.models import Segment


@require_POST
@requires(Scope.SEGMENTS_READ, write=Scope.SEGMENTS_WRITE)
def cancel(request: HttpRequest, slug: str) -> HttpResponse:
    user: Any = request.user
    found = get_object_or_404(Segment, slug=slug)
    try:
        lifecycle.cancel(segment_id=found.pk, user=user, now=timezone.now())
    except TributaryError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Cancelled. What was typed is kept as a draft.")
    return redirect("segments:detail", slug)
