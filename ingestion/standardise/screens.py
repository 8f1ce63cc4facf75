"""The tab "Standardise" of a source: its rules, the fields that ask for one, and the editor with its preview."""

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from cdp.kernel.access.roles import Scope
from cdp.kernel.errors import TributaryError
from cdp.kernel.screens import requires
from ingestion.dictionary.masking import Masker
from ingestion.dictionary.viewing import masker_for
from ingestion.models import Source
from ingestion.standardise import forms, operations, queries
from ingestion.standardise.models import StandardRule
from ingestion.standardise.rules import MOVES, RuleSpec
from ingestion.standardise.values import KINDS

ROWS_SHOWN = 150
LABELS = {name: kind.label for name, kind in KINDS.items()} | MOVES


@requires(Scope.EVENTS_READ)
def standardise(request: HttpRequest, slug: str) -> HttpResponse:
    """The rules in their order, and the fields of recent events with a suggestion where one helps."""
    source = get_object_or_404(Source, slug=slug)
    rules = queries.rules_of(source)
    seen = queries.seen_fields(source=source, now=timezone.now())
    ruled = {(row.of, row.field) for row in rules}
    masker = masker_for(request.user)
    fields = [_seen_row(source, one, masker, ruled=(one.of, one.field) in ruled) for one in seen]
    context = {
        "source": source,
        "suggested": [row for row in fields if row["suggestion"] and not row["ruled"]],
        "fields": fields,
        **_rules(rules),
    }
    return render(request, "standardise/rules.html", context)


def _rules(rules: list[StandardRule], deleted: StandardRule | None = None) -> dict[str, Any]:
    rows = [{"rule": row, "label": LABELS.get(row.kind, row.kind), "detail": _detail(row)} for row in rules]
    return {"rules": rows, "deleted": deleted}


def _detail(rule: StandardRule) -> str:
    """The options in a few words."""
    options = dict(rule.options)
    if rule.kind in MOVES:
        return f"to {options.get('to', '')}"
    if rule.kind == "mapping":
        return f"{len(options.get('table', {})):,} values; others: {options.get('unknown', 'keep')}"
    found = {name: value for name, value in options.items() if value not in (None, "")}
    return ", ".join(f"{name.replace('_', ' ')}: {_words(value)}" for name, value in found.items())


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value).replace("_", " ")


def _seen_row(source: Source, seen: queries.SeenField, masker: Masker, *, ruled: bool) -> dict[str, Any]:
    query = {"of": seen.of, "event": seen.event, "field": seen.field}
    if seen.suggestion:
        query |= {"kind": seen.suggestion.kind, "options": json.dumps(seen.suggestion.options)}
    return {
        "seen": seen,
        "values": [(_shown(masker, seen, value), count) for value, count in seen.shown],
        "ruled": ruled,
        "suggestion": seen.suggestion,
        "label": LABELS[seen.suggestion.kind] if seen.suggestion else "",
        "url": f"{reverse('sources:standardise-new', args=[source.slug])}?{urlencode(query)}",
    }


def _shown(masker: Masker, seen: queries.SeenField, value: Any) -> Any:
    return masker.value("trait" if seen.of == "traits" else "property", seen.event, seen.field, value)


# --- The editor ---------------------------------------------------------------------------------------------


@requires(Scope.SOURCES_WRITE)
def new(request: HttpRequest, slug: str) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    asked = request.GET
    initial = {name: asked[name] for name in ("of", "event", "field", "kind") if asked.get(name)}
    return _edit(request, source, None, initial=initial, options=_json(asked.get("options", "")))


@requires(Scope.SOURCES_WRITE)
def edit(request: HttpRequest, slug: str, rule_id: int) -> HttpResponse:
    source = get_object_or_404(Source, slug=slug)
    row = get_object_or_404(StandardRule, source=source, pk=rule_id, deleted_at=None)
    initial = {name: getattr(row, name) for name in ("of", "event", "field", "kind", "on_failure")}
    return _edit(request, source, row, initial=initial, options=row.options)


def _edit(
    request: HttpRequest,
    source: Source,
    row: StandardRule | None,
    *,
    initial: dict[str, Any],
    options: dict[str, Any],
) -> HttpResponse:
    now = timezone.now()
    posted = request.method == "POST"
    form = _rule_form(request if posted else None, source, initial=initial)
    kind = _kind(request.POST.get("kind") if posted else initial.get("kind"))
    option_form = forms.options_form(
        kind, data=request.POST if posted else None, files=request.FILES or None, options=options
    )
    if posted and (saved := _save(source, row, form, option_form)):
        messages.success(request, f"{LABELS[saved.kind]} of {saved.field}: it acts on events from now on.")
        return redirect("sources:standardise", source.slug)
    context = {
        "source": source,
        "row": row,
        "form": form,
        "fields": sorted({seen.field for seen in queries.seen_fields(source=source, now=now)}),
        **_options(source, kind, form, option_form, options=options),
    }
    return render(request, "standardise/edit.html", context, status=422 if posted else 200)


def _save(
    source: Source, row: StandardRule | None, form: forms.RuleForm, option_form: forms.OptionsForm
) -> RuleSpec | None:
    """Store the rule; None, with the errors in their forms, where it cannot be."""
    now = timezone.now()
    try:
        rule = forms.read_rule(form, option_form)
        if rule is None:
            return None
        if row is None:
            operations.add_rule(source=source, rule=rule, now=now)
        else:
            operations.change_rule(row=row, rule=_switched_as(rule, row), now=now)
    except TributaryError as error:
        _place(error, form, option_form)
        return None
    return rule


def _switched_as(rule: RuleSpec, row: StandardRule) -> RuleSpec:
    """The form does not say whether the rule is on: it stays as it is."""
    return RuleSpec(rule.field, rule.kind, rule.of, rule.event, rule.options, rule.on_failure, row.enabled)


def _place(error: TributaryError, form: forms.RuleForm, option_form: forms.OptionsForm) -> None:
    """Show an error at the field that its path names."""
    parts = error.path.strip("/").split("/")
    if parts[0] == "options" and len(parts) > 1 and parts[1] in option_form.fields:
        option_form.add_error(parts[1], error.message)
    else:
        form.add_error(parts[0] if parts[0] in form.fields else None, error.message)


@requires(Scope.SOURCES_WRITE)
@require_POST
def options(request: HttpRequest, slug: str) -> HttpResponse:
    """The options of the kind that is chosen now, with what is typed already."""
    source = get_object_or_404(Source, slug=slug)
    kind = _kind(request.POST.get("kind"))
    form = _rule_form(request, source, initial={})
    changed_kind = request.POST.get("o-kind") != kind
    option_form = forms.options_form(kind, data=None if changed_kind else request.POST, files=request.FILES or None)
    return render(request, "standardise/options.html", _options(source, kind, form, option_form, options={}))


@requires(Scope.SOURCES_WRITE)
@require_POST
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """What the rule, as it stands in the form, does to the newest events."""
    source = get_object_or_404(Source, slug=slug)
    form = _rule_form(request, source, initial={})
    kind = _kind(request.POST.get("kind"))
    option_form = forms.options_form(kind, data=request.POST, files=request.FILES or None)
    context: dict[str, Any] = {"source": source, "of": request.POST.get("of")}
    try:
        rule = forms.read_rule(form, option_form)
        if rule is not None:
            operations.check_rule(rule)
            context["found"] = queries.preview(source=source, rule=rule, now=timezone.now())
    except TributaryError as error:
        context["problem"] = error.message
    return render(request, "standardise/preview.html", context)


def _rule_form(request: HttpRequest | None, source: Source, *, initial: dict[str, Any]) -> forms.RuleForm:
    events = queries.event_names_of(source=source, now=timezone.now())
    return forms.RuleForm(request.POST if request else None, initial=initial, events=events)


def _options(
    source: Source, kind: str, form: forms.RuleForm, option_form: forms.OptionsForm, *, options: dict[str, Any]
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "kind": kind,
        "option_form": option_form,
        "example": KINDS[kind].example if kind in KINDS else "",
    }
    if isinstance(option_form, forms.MappingForm):
        context |= _table(source, form, option_form, options)
    return context


def _table(
    source: Source, form: forms.RuleForm, option_form: forms.MappingForm, options: dict[str, Any]
) -> dict[str, Any]:
    """The lines of the table, and the values that came and are not in it."""
    table: dict[str, str | None] = options.get("table", {})
    if option_form.is_bound:
        try:
            table = dict(option_form.table())
        except TributaryError as error:
            option_form.add_error(None, error.message)
    values = form.data if form.is_bound else form.initial
    where = str(values.get("field", "")).strip()
    rule = RuleSpec(
        field=where,
        kind="mapping",
        of="traits" if values.get("of") == "traits" else "properties",
        event="" if values.get("of") == "traits" else str(values.get("event", "")),
        options={"table": table},
    )
    try:
        operations.check_rule(rule)
        unmapped = queries.unmapped_values(source=source, rule=rule, now=timezone.now())
    except TributaryError:
        unmapped = []
    return {
        "table": list(table.items()) if len(table) <= ROWS_SHOWN else [],
        "lines": forms.write_csv(table) if len(table) > ROWS_SHOWN else "",
        "table_size": len(table),
        "unmapped": unmapped,
        "unmapped_total": sum(count for _, count in unmapped),
    }


def _kind(name: Any) -> str:
    return name if name in LABELS else "email"


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- One click -----------------------------------------------------------------------------------------------


@requires(Scope.SOURCES_WRITE)
@require_POST
def act(request: HttpRequest, slug: str, rule_id: int, action: str) -> HttpResponse:
    """Move, switch, delete or restore a rule; answers with the list of rules."""
    source = get_object_or_404(Source, slug=slug)
    row = get_object_or_404(StandardRule, source=source, pk=rule_id)
    now = timezone.now()
    if action in {"up", "down"}:
        operations.move_rule(row=row, up=action == "up", now=now)
    elif action in {"on", "off"}:
        operations.switch_rule(row=row, enabled=action == "on", now=now)
    elif action == "delete":
        operations.delete_rule(row=row, now=now)
    else:
        operations.restore_rule(row=row, now=now)
    if not getattr(request, "htmx", False):
        return redirect("sources:standardise", slug)
    context = {"source": source, **_rules(queries.rules_of(source), row if action == "delete" else None)}
    return render(request, "standardise/rule_list.html", context)


urlpatterns = [
    path("<slug:slug>/standardise/", standardise, name="standardise"),
    path("<slug:slug>/standardise/new/", new, name="standardise-new"),
    path("<slug:slug>/standardise/options/", options, name="standardise-options"),
    path("<slug:slug>/standardise/preview/", preview, name="standardise-preview"),
    path("<slug:slug>/standardise/<int:rule_id>/", edit, name="standardise-edit"),
    *(
        path(f"<slug:slug>/standardise/<int:rule_id>/{action}/", act, {"action": action}, name=f"standardise-{action}")
        for action in ("up", "down", "on", "off", "delete", "restore")
    ),
]
