"""Writes: the rules of a source, each change taking effect with the next chunk that is drained."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from cdp.kernel.errors import TributaryError
from ingestion.models import Source
from ingestion.operations import bump_rules
from ingestion.standardise import paths
from ingestion.standardise.models import StandardRule
from ingestion.standardise.rules import RuleSpec, compile_rule
from ingestion.standardise.values import BadOptionsError

MAX_RULES = 200
MAX_EVENT = 200
KEPT_AFTER_DELETION = timedelta(days=1)


class RuleError(TributaryError):
    """A rule that cannot be: the code says why, the path where."""

    code = "rule_invalid"


def check_rule(rule: RuleSpec, *, at: str = "") -> None:
    """Refuse a rule that could not be applied; `at` is where it stands in what was sent."""
    if rule.of == "traits" and rule.event:
        raise RuleError("A rule for traits names no event.", code="event_unexpected", path=f"{at}/event")
    if len(rule.event) > MAX_EVENT:
        raise RuleError(f"An event name has up to {MAX_EVENT} characters.", code="event_too_long", path=f"{at}/event")
    try:
        paths.split(rule.field)
        compile_rule(rule)
    except BadOptionsError as error:
        raise RuleError(error.message, code=error.code, path=at + error.path) from None


@transaction.atomic
def add_rule(*, source: Source, rule: RuleSpec, now: datetime) -> StandardRule:
    """Append a rule to those of the source."""
    check_rule(rule)
    _hold(source)
    living = StandardRule.objects.filter(source=source, deleted_at=None)
    if living.count() >= MAX_RULES:
        raise RuleError(f"A source has up to {MAX_RULES} rules.", code="too_many_rules")
    last = living.aggregate(last=Max("position"))["last"] or 0
    row = StandardRule.objects.create(source=source, position=last + 1, created_at=now, **_fields(rule))
    _changed(source, now=now)
    return row


@transaction.atomic
def change_rule(*, row: StandardRule, rule: RuleSpec, now: datetime) -> None:
    check_rule(rule)
    for name, value in _fields(rule).items():
        setattr(row, name, value)
    row.save()
    _changed(row.source, now=now)


@transaction.atomic
def switch_rule(*, row: StandardRule, enabled: bool, now: datetime) -> None:
    row.enabled = enabled
    row.save(update_fields=["enabled"])
    _changed(row.source, now=now)


@transaction.atomic
def move_rule(*, row: StandardRule, up: bool, now: datetime) -> None:
    """Have a rule applied before the one above it, or after the one below; at the end it stays."""
    _hold(row.source)
    rows = list(StandardRule.objects.filter(source=row.source, deleted_at=None))
    place = next(index for index, one in enumerate(rows) if one.pk == row.pk)
    other = place - 1 if up else place + 1
    if 0 <= other < len(rows):
        rows[place], rows[other] = rows[other], rows[place]
    for index, one in enumerate(rows, start=1):
        one.position = index
    StandardRule.objects.bulk_update(rows, ["position"])
    _changed(row.source, now=now)


@transaction.atomic
def delete_rule(*, row: StandardRule, now: datetime) -> None:
    row.deleted_at = now
    row.save(update_fields=["deleted_at"])
    _changed(row.source, now=now)


@transaction.atomic
def restore_rule(*, row: StandardRule, now: datetime) -> None:
    """Bring a deleted rule back to where it stood."""
    row.deleted_at = None
    row.save(update_fields=["deleted_at"])
    _changed(row.source, now=now)


@transaction.atomic
def replace_rules(*, source: Source, rules: Sequence[RuleSpec], now: datetime) -> None:
    """All rules of a source at once, in their order; the old ones can be brought back one by one."""
    if len(rules) > MAX_RULES:
        raise RuleError(f"A source has up to {MAX_RULES} rules.", code="too_many_rules", path="/rules")
    for index, rule in enumerate(rules):
        check_rule(rule, at=f"/rules/{index}")
    _hold(source)
    StandardRule.objects.filter(source=source, deleted_at=None).update(deleted_at=now)
    StandardRule.objects.bulk_create(
        StandardRule(source=source, position=index, created_at=now, **_fields(rule))
        for index, rule in enumerate(rules, start=1)
    )
    _changed(source, now=now)


def _fields(rule: RuleSpec) -> dict[str, object]:
    return {
        "of": rule.of,
        "event": rule.event,
        "field": rule.field,
        "kind": rule.kind,
        "options": rule.options,
        "on_failure": rule.on_failure,
        "enabled": rule.enabled,
    }


def _hold(source: Source) -> None:
    """One change of a source's rules at a time."""
    Source.objects.select_for_update().get(pk=source.pk)


def _changed(source: Source, *, now: datetime) -> None:
    StandardRule.objects.filter(source=source, deleted_at__lt=now - KEPT_AFTER_DELETION).delete()
    bump_rules(source_id=source.pk)
