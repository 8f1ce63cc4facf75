"""Forms of this room: what a source promises, and what its values may be."""

import json
from typing import Any

from django import forms

from cdp.kernel.forms import StyledForm


class QualityForm(StyledForm):
    """The part `quality` of the settings of a source."""

    expected_minutes = forms.IntegerField(
        label="At least one event every … minutes",
        required=False,
        min_value=1,
        max_value=43_200,
        help_text="Silence for longer is an alert, and lowers the score. Empty: no promise.",
    )
    weekdays_only = forms.BooleanField(label="Only from Monday to Friday", required=False)
    open_from = forms.IntegerField(label="From hour", min_value=0, max_value=23, required=False)
    open_until = forms.IntegerField(
        label="Until hour", min_value=1, max_value=24, required=False, help_text="0 to 24 is all day."
    )
    outliers = forms.ChoiceField(
        label="Flag a number as an outlier when",
        choices=[
            ("both", "both tests say so"),
            ("z", "it is far from the average (z-score)"),
            ("iqr", "it is outside of the usual range (IQR)"),
            ("off", "never"),
        ],
    )
    max_z = forms.FloatField(
        label="Far from the average: more than … standard deviations", min_value=1, max_value=100, required=False
    )
    fence = forms.FloatField(
        label="Outside of the usual range: more than … interquartile ranges away",
        min_value=0.5,
        max_value=100,
        required=False,
    )
    alerts = forms.BooleanField(label="Alerts about this source", required=False)
    loads = forms.BooleanField(
        label="Messages name their load",
        required=False,
        help_text="Tally messages by <code>context.load.id</code>, to compare loads with what was sent.",
    )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        for name, usual in (("open_from", 0), ("open_until", 24), ("max_z", 4.0), ("fence", 3.0)):
            if values.get(name) is None and name not in self.errors:
                values[name] = usual
        if not self.errors and values["open_from"] >= values["open_until"]:
            self.add_error("open_until", "The day ends after it begins.")
        return values


class RuleForm(StyledForm):
    """What the values of one property may be."""

    event = forms.CharField(max_length=200, help_text="Identify for the traits of people.")
    path = forms.CharField(
        label="Property", max_length=200, help_text="Such as total, or products[].price inside of a list."
    )
    low = forms.FloatField(label="At least", required=False)
    high = forms.FloatField(label="At most", required=False)
    allowed = forms.CharField(
        label="One of",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One value a line. Numbers, true and false are read as such; put quotes around a text of digits.",
    )
    shortest = forms.IntegerField(label="Characters at least", required=False, min_value=0)
    longest = forms.IntegerField(label="Characters at most", required=False, min_value=0)

    def clean_allowed(self) -> list[Any]:
        return [_value_of(line.strip()) for line in self.cleaned_data["allowed"].splitlines() if line.strip()]


def as_lines(values: list[Any]) -> str:
    """A list of values as its field takes it."""
    return "\n".join(value if _value_of(str(value)) == value else json.dumps(value) for value in values)


def _value_of(text: str) -> Any:
    """A line as JSON where it is a plain value, else as the text that it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text
