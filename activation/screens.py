"""The screens of destinations and deliveries."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from activation import operations, queries
from activation.contracts import DeliveryRow
from activation.destinations import get_kind
from activation.errors import ActivationError
from activation.forms import DestinationForm, SubscriptionChangeForm, SubscriptionForm, activation_purposes, free_slug
from activation.models import Delivery, Destination, Subscription
from activation.verification import SNIPPETS
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import after_param, requires, take_page
from ingestion.dictionary.viewing import masker_for
from segments import people
from segments.models import Segment

PAGE = 50
RECENT = 10
DAY = timedelta(hours=24)

read = requires(Scope.SEGMENTS_READ)
write = requires(Scope.ACTIVATION_WRITE)


# --- Destinations -------------------------------------------------------------------------------------------


@read
def destinations(request: HttpRequest) -> HttpResponse:
    context = {
        "rows": [(row, _percent(row.success_rate)) for row in queries.destinations_overview(now=timezone.now())],
        "segment": Segment.objects.filter(slug=request.GET.get("segment", "")).first(),
    }
    return render(request, "destinations/list.html", context)


@write
def new(request: HttpRequest) -> HttpResponse:
    kind = get_kind("webhook")
    form = DestinationForm(request.POST or None, kind=kind)
    if form.is_valid():
        name = form.cleaned_data["name"]
        found, secret = operations.create_destination(
            slug=free_slug(name), name=name, kind=kind.kind, config=form.settings
        )
        return _show_secret(request, found, secret, rotated=False)
    context = {"form": form, "kind": kind}
    return render(request, "destinations/new.html", context, status=422 if form.is_bound else 200)


@write
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Destination, slug=slug)
    kind = get_kind(found.kind)
    form = DestinationForm(request.POST or None, kind=kind, initial={"name": found.name, **found.config})
    if form.is_valid():
        operations.update_destination(destination=found, name=form.cleaned_data["name"], config=form.settings)
        messages.success(request, "Saved. What waits goes to the new settings.")
        return redirect("destinations:detail", slug)
    context = {"form": form, "kind": kind, "destination": found}
    return render(request, "destinations/edit.html", context, status=422 if form.is_bound else 200)


@read
def destination(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Destination, slug=slug)
    if getattr(request, "htmx", False):
        lines = _described(request, queries.deliveries(destination=slug, limit=RECENT))
        return render(request, "destinations/recent.html", {"destination": found, "lines": lines})
    chosen = request.GET.get("segment", "")
    form = SubscriptionForm(destination=found, initial={"segment": chosen, "on_enter": True})
    return _show_destination(request, found, form)


def _show_destination(
    request: HttpRequest, found: Destination, form: SubscriptionForm, *, status: int = 200
) -> HttpResponse:
    now = timezone.now()
    overview = queries.destination_overview(slug=found.slug, now=now)
    context = {
        "destination": found,
        "overview": overview,
        "is_held": bool(overview and overview.held_until and overview.held_until > now),
        "success": _percent(overview.success_rate if overview else None),
        "subscriptions": list(found.subscriptions.select_related("segment", "purpose").order_by("segment__name")),
        "form": form,
        "purposes": list(activation_purposes()),
        "has_segments": Segment.objects.exists(),
        "lines": _described(request, queries.deliveries(destination=found.slug, limit=RECENT)),
        "chart": _tries_chart(found, now=now),
        "snippets": SNIPPETS,
    }
    return render(request, "destinations/detail.html", context, status=status)


def _percent(rate: float | None) -> str:
    """Rounded down, so that 100% means that nothing failed."""
    return "–" if rate is None else f"{int(rate * 1_000) / 10:g}%"


def _tries_chart(found: Destination, *, now: datetime) -> dict[str, Any]:
    """Tries per hour of the last day, the quiet hours included."""
    last = now.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=back) for back in reversed(range(24))]
    tried = {row.hour: row for row in queries.hourly_deliveries(since=hours[0], destination_id=found.pk)}
    return {
        "x": [hour.isoformat() for hour in hours],
        "series": [
            {"name": "Taken", "data": [tried[h].succeeded if h in tried else 0 for h in hours], "colour": "green"},
            {"name": "Failed", "data": [tried[h].failed if h in tried else 0 for h in hours], "colour": "red"},
        ],
        "time": "hour",
        "axis": "Hour",
    }


@require_POST
@write
def test(request: HttpRequest, slug: str) -> HttpResponse:
    """Send one message and show the answer."""
    found = get_object_or_404(Destination, slug=slug)
    try:
        result = operations.send_test(destination=found, now=timezone.now())
    except ActivationError as error:
        return render(request, "destinations/test_result.html", {"problem": error.message})
    return render(request, "destinations/test_result.html", {"result": result})


@require_POST
@write
def pause(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Destination, slug=slug)
    operations.pause_destination(destination=found, reason=f"Paused by {request.user}.")
    messages.success(request, "Paused. What is owed waits here until you resume.")
    return redirect("destinations:detail", slug)


@require_POST
@write
def resume(request: HttpRequest, slug: str) -> HttpResponse:
    operations.enable_destination(destination=get_object_or_404(Destination, slug=slug))
    messages.success(request, "Sending again, beginning with what has waited.")
    return redirect("destinations:detail", slug)


@require_POST
@write
def rotate(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Destination, slug=slug)
    return _show_secret(request, found, operations.rotate_secret(destination=found, now=timezone.now()), rotated=True)


def _show_secret(request: HttpRequest, found: Destination, secret: str, *, rotated: bool) -> HttpResponse:
    """The one page that shows a secret: the answer to the request that made it."""
    note = "Keep it now: it is stored encrypted and is not shown again."
    if rotated:
        note += " For 24 hours messages carry a signature of the old secret too, so you can change over without a gap."
    context = {
        "destination": found,
        "secret": secret,
        "rotated": rotated,
        "note": note,
        "segment": request.GET.get("segment", ""),
        "snippets": SNIPPETS,
    }
    response = render(request, "destinations/secret.html", context)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@write
def delete(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Destination, slug=slug)
    operations.delete_destination(destination=found)
    messages.success(request, f"“{found.name}” is deleted.")
    return redirect("destinations:list")


# --- Subscriptions ------------------------------------------------------------------------------------------


@require_POST
@write
def subscribe(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Destination, slug=slug)
    form = SubscriptionForm(request.POST, destination=found)
    if form.is_valid():
        try:
            made = operations.subscribe(destination=found, **form.cleaned_data)
        except ActivationError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"{found.name} hears of “{made.segment.name}” from now on.")
            return redirect(f"{reverse('destinations:detail', args=[slug])}#subscriptions")
    return _show_destination(request, found, form, status=422)


@require_POST
@write
def change_subscription(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    found = get_object_or_404(Subscription, pk=pk, destination__slug=slug)
    form = SubscriptionChangeForm(request.POST)
    if form.is_valid():
        try:
            operations.update_subscription(subscription=found, **form.cleaned_data)
        except ActivationError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, "Saved.")
    return redirect(f"{reverse('destinations:detail', args=[slug])}#subscriptions")


@require_POST
@write
def unsubscribe(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    found = get_object_or_404(Subscription.objects.select_related("segment"), pk=pk, destination__slug=slug)
    operations.unsubscribe(subscription=found, now=timezone.now())
    messages.success(request, f"It does not hear of “{found.segment.name}” any more.")
    return redirect(f"{reverse('destinations:detail', args=[slug])}#subscriptions")


# --- Deliveries ---------------------------------------------------------------------------------------------


@read
def deliveries(request: HttpRequest) -> HttpResponse:
    asked = {name: request.GET.get(name, "") for name in ("state", "destination", "segment")}
    profile = after_param(request, "profile")
    after = after_param(request)
    found = queries.deliveries(
        **{name: value or None for name, value in asked.items()},
        profile_id=profile,
        before=after,
        limit=PAGE + 1,
    )
    page = take_page(found, key=lambda row: row.id, size=PAGE)
    context = {
        **asked,
        "profile": profile or "",
        "filtered": any(asked.values()) or profile is not None,
        "states": Delivery.State.choices,
        "destinations": list(Destination.objects.values_list("slug", "name")),
        "segments": list(Segment.objects.values_list("slug", "name")),
        "lines": _described(request, page.items),
        "next": page.next,
        "after": after,
    }
    return render(request, "destinations/deliveries.html", context)


def _described(request: HttpRequest, rows: Sequence[DeliveryRow]) -> list[tuple[DeliveryRow, people.Person]]:
    """Each delivery with the person it is about, by name only for those who may see profiles."""
    user: Any = request.user
    if not user.may(Scope.PROFILES_READ):
        return [(row, people.Person(row.profile_id, f"Profile {row.profile_id}")) for row in rows]
    return list(zip(rows, people.describe((row.profile_id for row in rows), masker=masker_for(user)), strict=True))


@read
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    found = queries.delivery(delivery_id=pk)
    if found is None:
        raise Http404("There is no such delivery.")
    [(row, person)] = _described(request, [found.row])
    user: Any = request.user
    context = {
        "row": row,
        "person": person,
        "payload": masker_for(user).message(found.payload) if user.may(Scope.PROFILES_READ) else None,
        "consent_record_id": found.consent_record_id,
        "attempts": found.attempts,
        "is_due": row.next_attempt_at is not None and row.next_attempt_at <= timezone.now(),
        "snippets": SNIPPETS,
    }
    return render(request, "destinations/delivery.html", context)


@require_POST
@write
def replay(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(Delivery, pk=pk)
    try:
        operations.replay_delivery(delivery_id=pk, now=timezone.now())
    except ActivationError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "It is being sent again, as the same message.")
    return redirect("destinations:delivery", pk)


@require_POST
@write
def replay_dead(request: HttpRequest, slug: str) -> HttpResponse:
    count = operations.replay_dead(destination=get_object_or_404(Destination, slug=slug), now=timezone.now())
    messages.success(request, f"{count:,} deliveries are being sent again.")
    return redirect("destinations:detail", slug)
