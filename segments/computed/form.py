"""The editor of a computed trait: fields in plain words, and the definition that they make."""

import json
from typing import Any

from django import forms

from cdp.kernel.forms import StyledForm
from segments.computed.definition import MOST_TIERS, WITHOUT_OF, Take
from segments.computed.operations import MAX_DESCRIPTION, MAX_LABEL

KINDS = (
    ("measure", "A number, date or value from events", "Total spend, last order, favourite category"),
    ("rfm", "RFM scores", "How recently, how often, how much: each 1 to 5 among everybody"),
    ("lifecycle", "A lifecycle stage", "New, active, dormant, churned"),
    ("tiers", "Tiers of another trait", "Gold, silver, bronze by total spend"),
)
MEASURES = (
    (Take.COUNT, "How often"),
    (Take.SUM, "The sum of a property"),
    (Take.AVG, "The average of a property"),
    (Take.MIN, "The lowest value of a property"),
    (Take.MAX, "The highest value of a property"),
    (Take.DISTINCT, "How many different values of a property"),
    (Take.DAYS, "On how many days"),
    (Take.MOST_FREQUENT, "The most frequent value of a property"),
    (Take.FIRST, "The first value of a property"),
    (Take.LAST, "The last value of a property"),
    (Take.FIRST_AT, "The date of the first"),
    (Take.LAST_AT, "The date of the last"),
)
WINDOWS = (
    ("", "Since ever"),
    ("7d", "The last 7 days"),
    ("30d", "The last 30 days"),
    ("90d", "The last 90 days"),
    ("365d", "The last 365 days"),
    ("other", "Another window, as it stands below"),
)
_COMMON = ("where", "window")
MADE_OF = ("event", "measure", "of", "window", "new", "active", "dormant", "trait", "tiers")
"""Fields that a kind needs, or has not at all."""


class ComputedForm(StyledForm):
    """Which fields count depends on the kind; the others are there, and hidden."""

    use_required_attribute = False

    label = forms.CharField(max_length=MAX_LABEL, label="Name", help_text="As people read it.")
    name = forms.SlugField(
        max_length=60, label="Name in segments", help_text="Small letters, digits, underscores. It stays for good."
    )
    description = forms.CharField(max_length=MAX_DESCRIPTION, required=False)
    kind = forms.ChoiceField(choices=[(value, label) for value, label, _ in KINDS])
    event = forms.CharField(
        required=False, max_length=400, label="Event", help_text="Several, divided by commas, count as one."
    )
    measure = forms.ChoiceField(choices=[(take.value, label) for take, label in MEASURES], required=False)
    of = forms.CharField(
        required=False,
        max_length=200,
        label="Property",
        help_text="Such as revenue, or products[].category for every product of an order.",
    )
    window = forms.ChoiceField(choices=WINDOWS, required=False, label="Over")
    new = forms.CharField(required=False, label="New for", help_text="After the first event: 30d, 8w.")
    active = forms.CharField(required=False, label="Active for", help_text="After the newest event.")
    dormant = forms.CharField(required=False, label="Dormant until", help_text="After it, they have churned.")
    trait = forms.CharField(required=False, label="Trait", help_text="A trait with a number, such as total_spend.")
    tiers = forms.CharField(
        required=False,
        label="Tiers",
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=f"One a line: from which number on, then the label. {MOST_TIERS} at most.",
    )
    otherwise = forms.CharField(required=False, label="Below all of them")
    more = forms.CharField(
        required=False,
        label="Only events where …",
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="Tests of properties as JSON, as in segments, and windows that are not in the list.",
    )

    def definition(self) -> dict[str, Any]:
        """What the fields say, whether or not it can be understood; the room's reader has the say."""
        said = self.data if not self.is_bound else self.cleaned_data
        kind = said.get("kind") or "measure"
        made: dict[str, Any] = {"kind": kind}
        if kind == "tiers":
            made |= {"trait": said.get("trait", ""), "tiers": read_tiers(said.get("tiers", ""))}
            return made | ({"otherwise": said["otherwise"]} if said.get("otherwise") else {})
        made |= {"event": read_events(said.get("event", ""))}
        if kind == "lifecycle":
            made |= {key: said.get(key, "") for key in ("new", "active", "dormant")}
        else:
            made |= {"window": {"last": said["window"]}} if said.get("window") not in (None, "", "other") else {}
        if kind == "measure":
            made["measure"] = said.get("measure") or "count"
        if kind == "rfm" or (kind == "measure" and made["measure"] not in WITHOUT_OF):
            made["of"] = said.get("of", "")
        return made | self._more(kind)

    def _more(self, kind: str) -> dict[str, Any]:
        text = self.cleaned_data.get("more", "").strip()
        if not text:
            return {}
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return {"where": text}  # the reader says what is wrong with it
        wanted = _COMMON[:1] if kind == "lifecycle" else _COMMON
        return {key: value for key, value in found.items() if key in wanted}


def read_events(text: str) -> str | list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    return names if len(names) > 1 else "".join(names)


def read_tiers(text: str) -> list[dict[str, Any]]:
    """`1000 Gold` a line; what is no number stays as it is, for the reader to refuse."""
    tiers = []
    for line in text.splitlines():
        bound, _, label = line.strip().partition(" ")
        if bound:
            tiers.append({"from": _number(bound), "label": label.strip()})
    return tiers


def _number(text: str) -> float | str:
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def initial_of(definition: dict[str, Any]) -> dict[str, Any]:
    """The fields that make this definition."""
    events = definition.get("event", "")
    window = definition.get("window") or {}
    listed = window.get("last", "") if window.get("last", "") in dict(WINDOWS) else ""
    more = {"where": definition["where"]} if definition.get("where") else {}
    if window and not listed:
        more["window"] = window
    return {
        **{key: definition.get(key, "") for key in ("kind", "measure", "of", "new", "active", "dormant", "trait")},
        "event": ", ".join(events) if isinstance(events, list) else events,
        "window": listed or ("other" if window else ""),
        "tiers": "\n".join(f"{one['from']} {one['label']}" for one in definition.get("tiers", ())),
        "otherwise": definition.get("otherwise") or "",
        "more": json.dumps(more, ensure_ascii=False) if more else "",
    }
