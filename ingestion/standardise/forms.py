"""The form of a rule: where, what kind, and the options of that kind."""

import csv
import io
import zoneinfo
from collections.abc import Mapping
from typing import Any

import phonenumbers
import pycountry
from django import forms

from cdp.kernel.forms import StyledForm
from ingestion.standardise.models import StandardRule
from ingestion.standardise.operations import RuleError
from ingestion.standardise.rules import MOVES, RuleSpec
from ingestion.standardise.values import KINDS, words
from ingestion.standardise.values.numbers import unit_names

MAX_CSV = 1_000_000
KIND_CHOICES = [
    ("Give values one spelling", [(kind.name, kind.label) for kind in KINDS.values()]),
    ("Bring fields into one schema", list(MOVES.items())),
]
_HEADINGS = frozenset({"from", "value", "values", "old", "seen", "source"})
_DECIMAL = [("", "As it shows; unclear ones are flagged"), (",", "Comma: 1.234,50"), (".", "Point: 1,234.50")]


class RuleForm(StyledForm):
    of = forms.ChoiceField(
        label="The field is a", choices=[("properties", "property of events"), ("traits", "trait of people")]
    )
    event = forms.ChoiceField(label="Of the event", required=False)
    field = forms.CharField(
        max_length=200,
        label="Field",
        help_text="Nested: <code>address.city</code>. Every item of a list: <code>products[].price</code>.",
        widget=forms.TextInput(attrs={"list": "seen-fields", "autocomplete": "off", "spellcheck": "false"}),
    )
    kind = forms.ChoiceField(label="What to do", choices=KIND_CHOICES)
    on_failure = forms.ChoiceField(label="A value that cannot be read", choices=StandardRule.OnFailure.choices)

    def __init__(self, *args: Any, events: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = str(self.data.get("event") or self.initial.get("event") or "")
        names = sorted({*events, chosen} - {""})
        self.fields["event"].choices = [("", "every event"), *((name, name) for name in names)]  # type: ignore[attr-defined]


class OptionsForm(StyledForm):
    """The options of one kind. `options` are what `RuleSpec.options` keeps: only what differs from the defaults."""

    @classmethod
    def initial_of(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return dict(options)

    def options(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", None, ())}


def _countries() -> list[tuple[str, str]]:
    known = {entry.alpha_2: getattr(entry, "common_name", entry.name) for entry in pycountry.countries}
    regions = sorted(known.get(code, code) + f"\0{code}" for code in phonenumbers.SUPPORTED_REGIONS)
    return [("", "None: numbers must begin with +"), *((pair.split("\0")[1], pair.split("\0")[0]) for pair in regions)]


class PhoneForm(OptionsForm):
    region = forms.ChoiceField(label="Numbers without a country code are of", choices=_countries, required=False)


class DateForm(OptionsForm):
    order = forms.ChoiceField(
        label="01/02/2024 is",
        required=False,
        choices=[
            ("", "unclear: flag it"),
            ("day_first", "1 February (day first)"),
            ("month_first", "January 2 (month first)"),
        ],
    )
    output = forms.ChoiceField(
        label="Becomes",
        choices=[
            ("as_given", "a date or a time, as it came"),
            ("date", "always a date"),
            ("datetime", "always a time"),
        ],
    )
    timezone = forms.ChoiceField(
        label="Times without a zone are of",
        required=False,
        choices=lambda: [("", "no zone"), *((name, name) for name in sorted(zoneinfo.available_timezones()))],
    )
    epoch = forms.ChoiceField(
        label="Numbers are",
        required=False,
        choices=[("", "no dates"), ("s", "seconds since 1970"), ("ms", "milliseconds since 1970")],
    )
    formats = forms.CharField(
        label="Further formats",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One a line, tried first: <code>%d%m%y</code> reads 311224.",
    )

    @classmethod
    def initial_of(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**options, "formats": "\n".join(options.get("formats", ()))}

    def options(self) -> dict[str, Any]:
        lines = [line.strip() for line in self.cleaned_data["formats"].splitlines() if line.strip()]
        found = super().options() | {"formats": lines}
        return {name: value for name, value in found.items() if value and (name, value) != ("output", "as_given")}


class LanguageForm(OptionsForm):
    keep_region = forms.BooleanField(label="Keep the region: de-AT stays de-AT", required=False, initial=True)


class NumberForm(OptionsForm):
    decimal = forms.ChoiceField(label="Decimal mark", choices=_DECIMAL, required=False)
    decimals = forms.IntegerField(label="Round to places", required=False, min_value=0, max_value=10)


class MoneyForm(NumberForm):
    decimals = forms.IntegerField(label="Round to places", required=False, min_value=0, max_value=10, initial=2)
    currency = forms.CharField(
        label="Currency",
        required=False,
        max_length=3,
        help_text="Such as EUR: amounts in another one are flagged. Nothing is converted.",
    )

    def options(self) -> dict[str, Any]:
        return {"decimals": None} | super().options()


def _units() -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, dimension in unit_names():
        groups.setdefault(dimension.title(), []).append((name, name))
    return list(groups.items())


class QuantityForm(NumberForm):
    unit = forms.ChoiceField(label="Convert to", choices=_units, help_text="A number without a unit is in it already.")
    decimals = forms.IntegerField(label="Round to places", required=False, min_value=0, max_value=10, initial=3)
    field_order = ["unit"]

    def options(self) -> dict[str, Any]:
        return {"decimals": None} | super().options()


class BooleanForm(OptionsForm):
    yes = forms.CharField(
        label="Words for yes", widget=forms.Textarea(attrs={"rows": 2}), initial=", ".join(words.YES)
    )
    no = forms.CharField(label="Words for no", widget=forms.Textarea(attrs={"rows": 2}), initial=", ".join(words.NO))

    @classmethod
    def initial_of(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: ", ".join(found) for name, found in options.items()}

    def options(self) -> dict[str, Any]:
        split = {
            name: [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]
            for name, text in self.cleaned_data.items()
        }
        defaults = {"yes": list(words.YES), "no": list(words.NO)}
        return {name: found for name, found in split.items() if found != defaults[name]}


class TextForm(OptionsForm):
    case = forms.ChoiceField(
        label="Capitals",
        choices=[
            ("keep", "as they are"),
            ("lower", "all small"),
            ("upper", "ALL CAPITALS"),
            ("title", "Every Word Begins With One"),
            ("sentence", "Only the first letter"),
        ],
    )


class MappingForm(OptionsForm):
    """The table comes as pairs of inputs, or as lines of text where it is long; a file adds to it."""

    unknown = forms.ChoiceField(
        label="A value that the table does not have",
        choices=[("keep", "stays as it is"), ("flag", "stays and is flagged"), ("null", "is emptied")],
    )
    case_sensitive = forms.BooleanField(label="Capitals matter", required=False)

    def table(self) -> dict[str, str]:
        """What was typed and uploaded.

        Raises:
            RuleError: for a file or line that cannot be read.
        """
        data: Any = self.data
        pairs = zip(data.getlist(self.add_prefix("from")), data.getlist(self.add_prefix("to")), strict=False)
        table = {old.strip(): new.strip() for old, new in pairs if old.strip() and new.strip()}
        table |= read_csv(data.get(self.add_prefix("lines"), ""))
        upload = self.files.get(self.add_prefix("csv"))
        if upload is not None:
            if (upload.size or 0) > MAX_CSV:
                raise RuleError("The file is larger than 1 MB.", code="csv_too_large", path="/options/table")
            table |= read_csv(upload.read())
        return table

    def options(self) -> dict[str, Any]:
        found = {"table": self.table(), "unknown": self.cleaned_data["unknown"]}
        return found | ({"case_sensitive": True} if self.cleaned_data["case_sensitive"] else {})


class MoveForm(OptionsForm):
    to = forms.CharField(
        max_length=200,
        label="To the field",
        help_text="Filled where it is empty. A field of a list stays in it: <code>products[].price</code>.",
        widget=forms.TextInput(attrs={"list": "seen-fields", "autocomplete": "off", "spellcheck": "false"}),
    )


OPTION_FORMS: dict[str, type[OptionsForm]] = {
    "phone": PhoneForm,
    "date": DateForm,
    "language": LanguageForm,
    "number": NumberForm,
    "money": MoneyForm,
    "quantity": QuantityForm,
    "boolean": BooleanForm,
    "text": TextForm,
    "mapping": MappingForm,
    "rename": MoveForm,
    "copy": MoveForm,
}


def options_form(
    kind: str, *, data: Any = None, files: Any = None, options: Mapping[str, Any] | None = None
) -> OptionsForm:
    """The form for a kind: bound to what was posted, or filled with `options`."""
    form = OPTION_FORMS.get(kind, OptionsForm)
    return form(data, files, prefix="o", initial=form.initial_of(options or {}))


def read_rule(form: RuleForm, options: OptionsForm) -> RuleSpec | None:
    """The rule that two valid forms describe; None where one is not."""
    if not (form.is_valid() and options.is_valid()):
        return None
    values = form.cleaned_data
    event = "" if values["of"] == "traits" else values["event"]
    return RuleSpec(**values | {"event": event, "field": values["field"].strip(), "options": options.options()})


def read_csv(content: str | bytes) -> dict[str, str]:
    """Two columns: a value as it comes, and the one that it stands for. Comma, semicolon or tab; a heading may be.

    Raises:
        RuleError: with the number of the line that cannot be read.
    """
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise RuleError("Save the file as CSV in UTF-8.", code="csv_not_utf8", path="/options/table") from None
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    table: dict[str, str] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].casefold() in _HEADINGS):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            message = f"Line {number} needs two columns: a value, and the one that it stands for."
            raise RuleError(message, code="csv_line_invalid", path="/options/table")
        table[cells[0]] = cells[1]
    return table


def write_csv(table: Mapping[str, str | None]) -> str:
    """The same, to edit as text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows((old, new or "") for old, new in table.items() if new)
    return out.getvalue()
