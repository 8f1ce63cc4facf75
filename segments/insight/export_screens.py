"""The way to an export: what it is for, how many would be left out, and how far it is."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import check_access, requires
from consent.models import Purpose
from segments.insight import export
from segments.insight.columns import ENTERED, chosen_by, column, columns, offered
from segments.models import Segment

LOOKED_AT = 20_000


@require_GET
@requires(Scope.PROFILES_READ)
def dialog(request: HttpRequest, slug: str) -> HttpResponseBase:
    refused = check_access(request, scope=Scope.PII_READ)
    if refused:
        return refused
    segment = get_object_or_404(Segment, slug=slug)
    chosen = [column(ENTERED), *chosen_by(request.user)]
    keys = {one.key for one in chosen}
    others = [one for one in offered() if one.key not in keys]
    context = {
        "segment": segment,
        "purposes": Purpose.objects.order_by("name"),
        "choices": [(one, one.key in keys) for one in [*chosen, *others]],
        "key": uuid.uuid4().hex,
        "analysis": export.ANALYSIS,
    }
    return render(request, "segments/insight/export.html", context)


@require_GET
@requires(Scope.PROFILES_READ)
def check(request: HttpRequest, slug: str) -> HttpResponse:
    """How many members do not allow the purpose, before anything is taken out."""
    segment = get_object_or_404(Segment, slug=slug)
    purpose = Purpose.objects.filter(slug=request.GET.get("purpose", "")).first()
    context: dict[str, Any] = {"segment": segment, "purpose": purpose}
    context["is_analysis"] = request.GET.get("purpose") == export.ANALYSIS
    if purpose:
        looked_at, left_out = export.would_be_left_out(
            segment=segment, purpose=purpose, now=timezone.now(), most=LOOKED_AT
        )
        context |= {"looked_at": looked_at, "left_out": left_out, "allowed": looked_at - left_out}
        context["is_all"] = looked_at >= segment.member_count
    return render(request, "segments/insight/export_check.html", context)


@require_POST
@requires(Scope.PROFILES_READ)
def take(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The file."""
    refused = check_access(request, scope=Scope.PII_READ)
    if refused:
        return refused
    segment = get_object_or_404(Segment, slug=slug)
    posted = request.POST
    try:
        asked = export.terms(
            purpose=posted.get("purpose", ""),
            reason=posted.get("reason", ""),
            columns=columns(posted.getlist("column")),
        )
    except TributaryError as error:
        messages.error(request, f"Nothing was exported. {error.message}")
        return redirect("segments:detail", slug)
    key = own_key(request, posted.get("key", ""))
    return export.download(segment=segment, asked=asked, user=request.user, now=timezone.now(), key=key)


@require_GET
@requires(Scope.PROFILES_READ)
def progress(request: HttpRequest, key: str) -> HttpResponse:
    found = export.progress_of(own_key(request, key))
    return render(request, "segments/insight/export_progress.html", {"key": key, "progress": found})


def own_key(request: HttpRequest, key: str) -> str:
    """Nobody follows what another takes out."""
    return f"{request.user.pk}:{key[:40]}" if key.isalnum() else ""
