"""The form of a kind."""

from typing import Any

from django import forms

from cdp.kernel.errors import TributaryError
from cdp.kernel.forms import StyledForm
from identity.kinds.normalisers import FIXED, NORMALISERS, REGIONS
from identity.kinds.rules import MOST, OTHERS, KindSettings

ICONS = (
    ("id", "Card"), ("user", "Person"), ("mail", "Letter"), ("phone", "Phone"), ("ghost-2", "Ghost"),
    ("device-mobile", "Mobile"), ("browser", "Browser"), ("credit-card", "Credit card"), ("star", "Star"),
    ("building-store", "Store"), ("database", "Database"), ("fingerprint", "Fingerprint"),
)  # fmt: skip
_OPTIONS = ("gmail_dots", "plus_tags", "country")


def _limit(label: str) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=1, max_value=MOST)


class KindForm(StyledForm):
    label = forms.CharField(max_length=60, required=False, help_text="What people read.")
    icon = forms.ChoiceField(choices=ICONS)
    normaliser = forms.ChoiceField(label="How values are spelt")
    gmail_dots = forms.BooleanField(label=NORMALISERS["email"].options["gmail_dots"], required=False)
    plus_tags = forms.BooleanField(label=NORMALISERS["email"].options["plus_tags"], required=False)
    country = forms.ChoiceField(
        label="Country of numbers that are sent without one",
        required=False,
        choices=[("", "None: such numbers are refused"), *((region, region) for region in REGIONS)],
    )
    limit_ever = _limit("Ever")
    limit_yearly = _limit("In 365 days")
    limit_monthly = _limit("In 30 days")
    limit_weekly = _limit("In 7 days")
    protected = forms.BooleanField(
        label="Never merge profiles that have different values",
        required=False,
        help_text="As a user id: two people who share a browser stay two.",
    )
    blocked = forms.CharField(
        label="Blocked values",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text="One a line; upper and lower case are one. <code>null</code>, <code>guest</code>, <code>-1</code>,"
        " zeros and their like are always blocked.",
    )
    patterns = forms.CharField(
        label="Blocked patterns",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One a line: <code>*</code> is anything, <code>?</code> one character, <code>#</code> one digit."
        " <code>kiosk-*</code>, <code>*@example.com</code>",
    )
    min_length = forms.IntegerField(label="Shortest length", min_value=1, max_value=254)
    min_distinct = forms.IntegerField(
        label="Fewest different letters and digits",
        min_value=1,
        max_value=36,
        help_text="3 refuses <code>1111-1111</code> and <code>121212</code>.",
    )
    enabled = forms.BooleanField(
        label="In use", required=False, help_text="Switched off, values of this kind lead to nobody."
    )

    def __init__(self, data: Any = None, *, settings: KindSettings) -> None:
        super().__init__(data, initial=_initial(settings))
        self.settings = settings
        fixed = FIXED.get(settings.name)
        self.fields["normaliser"].choices = [  # type: ignore[attr-defined]
            (one.name, one.label) for one in NORMALISERS.values() if fixed in {None, one.name}
        ]

    def read(self) -> KindSettings | None:
        """The settings as they stand in the form; None, with the errors in place, where they are none."""
        if not self.is_valid():
            return None
        found = self.cleaned_data
        known = NORMALISERS[found["normaliser"]].options
        return KindSettings(
            name=self.settings.name,
            label=found["label"],
            icon=found["icon"],
            normaliser=found["normaliser"],
            options={name: found[name] for name in _OPTIONS if name in known and found[name]},
            priority=self.settings.priority,
            limit_ever=found["limit_ever"],
            limit_yearly=found["limit_yearly"],
            limit_monthly=found["limit_monthly"],
            limit_weekly=found["limit_weekly"],
            blocked=tuple(found["blocked"].splitlines()),
            patterns=tuple(found["patterns"].splitlines()),
            min_length=found["min_length"],
            min_distinct=found["min_distinct"],
            enabled=found["enabled"],
            protected=found["protected"],
        )

    def show(self, error: TributaryError) -> None:
        """Put an error at the field that its path names."""
        parts = error.path.strip("/").split("/")
        name = parts[1] if parts[0] == "options" and len(parts) > 1 else parts[0]
        line = f" (line {int(parts[1]) + 1})" if len(parts) > 1 and parts[1].isdigit() else ""
        self.add_error(name if name in self.fields else None, error.message + line)


class NewKindForm(StyledForm):
    name = forms.CharField(
        max_length=30,
        label="Type of the external id",
        help_text="As it is sent in <code>context.externalIds</code>, such as <code>loyalty_card</code>.",
    )


def _initial(settings: KindSettings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in KindForm.base_fields if hasattr(settings, name)}
    values |= {name: settings.options.get(name) for name in _OPTIONS}
    values["blocked"], values["patterns"] = "\n".join(settings.blocked), "\n".join(settings.patterns)
    values["label"] = settings.label if settings.name != OTHERS else settings.label or "Other external ids"
    return values
