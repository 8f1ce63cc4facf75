"""Forms of the destination screens."""

from typing import Any

from django import forms
from django.utils.text import slugify

from activation.destinations import DestinationKind
from activation.models import Destination
from cdp.kernel.errors import TributaryError
from cdp.kernel.forms import StyledForm, style
from consent.models import Purpose
from segments.models import Segment

ADDRESSES_IN_USE = frozenset({"new"})
MAX_NAME = 100
MAX_SLUG = 60


class DestinationForm(forms.Form):
    """Name and, below it, the settings that the kind asks for."""

    name = forms.CharField(max_length=MAX_NAME, help_text="What people here call it.")

    def __init__(self, *args: Any, kind: DestinationKind, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.fields |= kind.settings_form().fields
        style(self)

    def clean(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().clean() or {}
        settings = {name: value for name, value in fields.items() if name != "name"}
        if not self.errors:
            try:
                self.kind.clean(settings)
            except TributaryError as error:
                field = error.path.removeprefix("/config/")
                self.add_error(field if field in self.fields else None, error.message)
        return fields

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name != "name"}


def free_slug(name: str) -> str:
    """The name as a slug, with a number where that one is taken."""
    base = slugify(name)[: MAX_SLUG - 5].strip("-_") or "destination"
    taken = set(Destination.objects.filter(slug__startswith=base).values_list("slug", flat=True)) | ADDRESSES_IN_USE
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)


class SubscriptionForm(StyledForm):
    """Which segment a destination hears of, and of which people."""

    segment = forms.ModelChoiceField(Segment.objects.none(), empty_label="Choose a segment")
    purpose = forms.ModelChoiceField(
        Purpose.objects.none(),
        required=False,
        empty_label="None: everybody is sent",
        help_text="Only people whose consent covers this purpose are sent.",
    )
    on_enter = forms.BooleanField(label="when somebody enters", required=False, initial=True)
    on_exit = forms.BooleanField(label="when somebody leaves", required=False)

    def __init__(self, *args: Any, destination: Destination, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        heard = destination.subscriptions.values("segment_id")
        segment: Any = self.fields["segment"]
        segment.queryset = Segment.objects.exclude(pk__in=heard).exclude(state__in=Segment.AT_REST)
        segment.to_field_name = "slug"
        purpose: Any = self.fields["purpose"]
        purpose.queryset = activation_purposes()


class SubscriptionChangeForm(forms.Form):
    """The same for a subscription that stands, whose segment stays."""

    on_enter = forms.BooleanField(required=False)
    on_exit = forms.BooleanField(required=False)
    enabled = forms.BooleanField(required=False)
    purpose = forms.ModelChoiceField(Purpose.objects.none(), required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        purpose: Any = self.fields["purpose"]
        purpose.queryset = activation_purposes()


def activation_purposes() -> Any:
    return Purpose.objects.filter(kind=Purpose.Kind.ACTIVATION).order_by("name")
