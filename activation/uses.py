"""The destinations that hear of a segment, for whoever wants to delete or archive it."""

from collections.abc import Iterable

from django.urls import reverse

from activation.models import Subscription
from segments.models import Segment
from segments.users import Use


def uses_of_segment(segment: Segment) -> Iterable[Use]:
    found = Subscription.objects.filter(segment=segment).select_related("destination").order_by("destination__name")
    for subscription in found:
        heard = ((subscription.on_enter, "entries"), (subscription.on_exit, "exits"))
        told = " and ".join(what for hears, what in heard if hears)
        address = reverse("destinations:detail", args=[subscription.destination.slug])
        yield Use("destination", subscription.destination.name, address, f"hears of {told}" if told else "")
