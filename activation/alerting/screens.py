"""Screens under /alerts/: what is and was wrong, who is told of it, and from when on."""

import re
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_POST

from activation.alerting import operations
from activation.errors import ActivationError
from cdp.kernel.access.roles import Scope
from cdp.kernel.forms import StyledForm
from cdp.kernel.screens import after_param, requires, take_page
from ingestion.quality import watch
from ingestion.quality.models import Alert, AlertChannel

PAGE = 50


class ChannelForm(StyledForm):
    """A new channel; of the last two fields, the one that its kind needs."""

    name = forms.CharField(max_length=100, help_text="Such as Data team, or On call.")
    kind = forms.ChoiceField(choices=AlertChannel.Kind.choices)
    recipients = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="For e-mail: addresses, one a line or with commas between.",
    )
    url = forms.CharField(
        label="Address", max_length=500, required=False, help_text="For a webhook: where to send the signed POST."
    )

    def clean_recipients(self) -> list[str]:
        return [address for address in re.split(r"[\s,;]+", self.cleaned_data["recipients"]) if address]


class RuleForm(StyledForm):
    """One kind of alert."""

    enabled = forms.BooleanField(required=False)
    threshold = forms.FloatField(min_value=0.0001, max_value=1_000_000)


@requires(Scope.EVENTS_READ)
def alerts(request: HttpRequest) -> HttpResponse:
    """What is wrong now, and what was."""
    going_on = Alert.objects.exclude(state=Alert.State.RESOLVED).select_related("source")
    past = Alert.objects.filter(state=Alert.State.RESOLVED).select_related("source")
    after = after_param(request)
    if after is not None:
        past = past.filter(pk__lt=after)
    page = take_page(past.order_by("-id")[: PAGE + 1], key=lambda alert: alert.pk, size=PAGE)
    context = {
        "open": [] if after else [(alert, _label(alert)) for alert in going_on[:200]],
        "past": [(alert, _label(alert)) for alert in page],
        "page": page,
        "after": after,
        "has_channel": AlertChannel.objects.filter(enabled=True).exists(),
    }
    return render(request, "alerts/list.html", context)


def _label(alert: Alert) -> str:
    kind = watch.KINDS.get(alert.kind)
    return kind.label if kind else alert.kind


@requires(Scope.EVENTS_READ)
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """One alert, and what was sent about it."""
    found = get_object_or_404(Alert.objects.select_related("source"), pk=pk)
    context = {
        "alert": found,
        "kind": watch.KINDS.get(found.kind),
        "label": _label(found),
        "deliveries": found.deliveries.select_related("channel").order_by("id"),
    }
    return render(request, "alerts/alert.html", context)


@require_POST
@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    watch.acknowledge(alert=get_object_or_404(Alert, pk=pk), actor=str(request.user))
    messages.success(request, "Marked as seen. It ends by itself once all is well again.")
    return redirect("alerts:alert", pk)


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def channels(request: HttpRequest) -> HttpResponse:
    """Who is told, and how."""
    form = ChannelForm(request.POST or None)
    if form.is_bound and form.is_valid():
        try:
            made, secret = operations.create_channel(
                user=request.user, now=timezone.now(), **_for_kind(form.cleaned_data)
            )
        except ActivationError as error:
            field = {"config": "url"}.get(error.path.split("/")[1], error.path.split("/")[1]) if error.path else None
            form.add_error(field if field in form.fields else None, error.message)
        else:
            return _channels(request, ChannelForm(), made=made, secret=secret)
    return _channels(request, form, status=422 if form.is_bound else 200)


def _for_kind(values: dict[str, Any]) -> dict[str, Any]:
    unused = "url" if values["kind"] == AlertChannel.Kind.EMAIL else "recipients"
    return {name: value for name, value in values.items() if name != unused}


def _channels(
    request: HttpRequest, form: ChannelForm, *, made: AlertChannel | None = None, secret: str = "", status: int = 200
) -> HttpResponse:
    """The secret of a channel that was made just now is shown here and nowhere else."""
    context = {
        "channels": AlertChannel.objects.all(),
        "form": form,
        "made": made,
        "secret": secret,
        "has_mail": bool(settings.EMAIL_HOST),
        "needs_mail": AlertChannel.objects.filter(kind=AlertChannel.Kind.EMAIL, enabled=True).exists(),
    }
    response = render(request, "alerts/channels.html", context, status=status)
    if secret:
        response["Cache-Control"] = "no-store"
    return response


@require_POST
@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def try_channel(request: HttpRequest, pk: int) -> HttpResponse:
    channel = get_object_or_404(AlertChannel, pk=pk)
    problem = operations.send_test(channel=channel, now=timezone.now())
    if problem is None:
        messages.success(request, f"A test went out to “{channel}”.")
    else:
        messages.error(request, f"The test did not go out: {problem.message}")
    return redirect("alerts:channels")


@require_POST
@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def change_channel(request: HttpRequest, pk: int) -> HttpResponse:
    channel = get_object_or_404(AlertChannel, pk=pk)
    if request.POST.get("do") == "delete":
        operations.delete_channel(channel=channel)
        messages.success(request, f"“{channel}” is removed.")
    else:
        enabled = request.POST.get("do") == "enable"
        operations.set_channel_state(channel=channel, enabled=enabled)
        messages.success(request, f"“{channel}” is {'told again' if enabled else 'not told any more'}.")
    return redirect("alerts:channels")


@requires(Scope.EVENTS_READ, write=Scope.SOURCES_WRITE)
def rules(request: HttpRequest) -> HttpResponse:
    """Which deviations are alerts. A POST carries one kind."""
    posted = request.POST.get("kind") if request.method == "POST" else None
    rows = []
    for kind, wanted in watch.wanted_rules().items():
        initial = {"enabled": wanted.enabled, "threshold": wanted.threshold}
        form = RuleForm(request.POST if posted == kind else None, initial=initial, prefix=kind)
        if form.is_bound and form.is_valid():
            watch.set_rule(kind=kind, **form.cleaned_data)
            messages.success(request, f"{wanted.kind.label}: saved.")
            return redirect("alerts:rules")
        rows.append((wanted, form))
    return render(request, "alerts/rules.html", {"rows": rows}, status=422 if posted else 200)


app_name = "alerts"
urlpatterns = [
    path("", alerts, name="list"),
    path("<int:pk>/", alert, name="alert"),
    path("<int:pk>/seen/", acknowledge, name="acknowledge"),
    path("channels/", channels, name="channels"),
    path("channels/<int:pk>/test/", try_channel, name="test"),
    path("channels/<int:pk>/", change_channel, name="channel"),
    path("rules/", rules, name="rules"),
]
