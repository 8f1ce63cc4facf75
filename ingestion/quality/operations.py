"""Writes of this room: value rules, the word of a person on a flagged value, loads, housekeeping."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import connection, transaction

from ingestion.models import EventName, Source
from ingestion.operations import bump_rules, change_settings
from ingestion.quality.errors import QualityError
from ingestion.quality.fold import history_of
from ingestion.quality.models import (
    Alert,
    DaySummary,
    FlaggedValue,
    HourShape,
    Load,
    LoadTally,
    QualityScore,
    Receipt,
    ValueRule,
    Volume,
)
from ingestion.quality.rules import limits_of
from ingestion.settings import settings_of

MAX_OPEN_FLAGS = 500
"""Of a source; the oldest beyond are let go."""
KEEP_DECIDED = timedelta(days=90)
KEEP_HOURS = timedelta(days=35)
KEEP_DAYS = timedelta(days=180)
MAX_ALLOWED = 200
_CHECKSUM = re.compile(r"[0-9a-f]{16}")


# --- Value rules --------------------------------------------------------------------------------------------


def set_rule(
    *,
    source: Source,
    event: str,
    path: str,
    low: float | None = None,
    high: float | None = None,
    allowed: Sequence[Any] = (),
    shortest: int | None = None,
    longest: int | None = None,
    actor: str = "",
    now: datetime,
) -> ValueRule:
    """Make the rule of a property, or replace it. Workers follow with their next chunk.

    Raises:
        QualityError: the rule says nothing, or contradicts itself.
    """
    _check_rule(event=event, path=path, low=low, high=high, allowed=allowed, shortest=shortest, longest=longest)
    limits = {"low": low, "high": high, "allowed": list(allowed), "shortest": shortest, "longest": longest}
    with transaction.atomic():
        rule, _ = ValueRule.objects.update_or_create(
            source=source,
            event=event,
            path=path,
            defaults={**limits, "changed_at": now, "changed_by": actor[:150]},
            create_defaults={**limits, "changed_at": now, "changed_by": actor[:150], "created_at": now},
        )
        bump_rules(source_id=source.pk)
    return rule


def remove_rule(*, rule: ValueRule) -> None:
    with transaction.atomic():
        rule.delete()
        bump_rules(source_id=rule.source_id)


def _check_rule(
    *,
    event: str,
    path: str,
    low: float | None,
    high: float | None,
    allowed: Sequence[Any],
    shortest: int | None,
    longest: int | None,
) -> None:
    if not event:
        raise QualityError("Name the event.", code="event_missing", path="/event")
    if not path:
        raise QualityError("Name the property.", code="property_missing", path="/path")
    if low is None and high is None and not allowed and shortest is None and longest is None:
        raise QualityError("Say what is right: a range, a list, or a length.", code="rule_empty", path="/low")
    _check_order(low, high, path="/high")
    _check_order(shortest, longest, path="/longest")
    if len(allowed) > MAX_ALLOWED:
        raise QualityError(f"A list holds up to {MAX_ALLOWED} values.", code="list_too_long", path="/allowed")
    for index, value in enumerate(allowed):
        if not isinstance(value, str | int | float | bool):
            message = "Texts, numbers, true and false can be listed."
            raise QualityError(message, code="value_invalid", path=f"/allowed/{index}")


def _check_order(least: float | None, greatest: float | None, *, path: str) -> None:
    if not all(math.isfinite(limit) for limit in (least, greatest) if limit is not None):
        raise QualityError("A limit is a finite number.", code="limit_invalid", path=path)
    if least is not None and greatest is not None and least > greatest:
        raise QualityError("The least is above the greatest.", code="range_empty", path=path)


# --- Review -------------------------------------------------------------------------------------------------


def decide_flag(*, flag: FlaggedValue, fine: bool, actor: str, now: datetime) -> None:
    """A person's word on one value."""
    state = FlaggedValue.State.FINE if fine else FlaggedValue.State.WRONG
    FlaggedValue.objects.filter(pk=flag.pk).update(state=state, decided_at=now, decided_by=actor[:150])


def accept_for_good(*, flag: FlaggedValue, actor: str, now: datetime) -> ValueRule | None:
    """Such values are fine from now on: the rule of the property is widened, or made from what was seen so far.

    None where there is no rule, and the value is no number that one could be made of.
    """
    rule = ValueRule.objects.filter(source_id=flag.source_id, event=flag.event, path=flag.path).first()
    with transaction.atomic():
        decide_flag(flag=flag, fine=True, actor=actor, now=now)
        limits = _widened(rule, flag.value) if rule else _range_seen(flag)
        if limits is None:
            return rule
        made = set_rule(source=flag.source, event=flag.event, path=flag.path, actor=actor, now=now, **limits)
        _settle_like(flag, made, actor=actor, now=now)
    return made


def _widened(rule: ValueRule, value: Any) -> dict[str, Any]:
    low, high, shortest, longest = rule.low, rule.high, rule.shortest, rule.longest
    if _is_number(value):
        low = None if low is None else min(low, value)
        high = None if high is None else max(high, value)
    if isinstance(value, str):
        shortest = None if shortest is None else min(shortest, len(value))
        longest = None if longest is None else max(longest, len(value))
    allowed = [*rule.allowed, value] if rule.allowed and value not in rule.allowed else rule.allowed
    return {"low": low, "high": high, "allowed": allowed, "shortest": shortest, "longest": longest}


def _range_seen(flag: FlaggedValue) -> dict[str, Any] | None:
    name_id = EventName.objects.filter(name=flag.event).values_list("pk", flat=True).first()
    value: Any = flag.value
    if name_id is None or not _is_number(value):
        return None
    day = flag.received_at.astimezone(UTC).date()
    seen = history_of(source_id=flag.source_id, name_id=name_id, until=day).properties.get(flag.path)
    known: list[float] = [seen.numbers.low, seen.numbers.high] if seen and seen.numbers.count else []
    values = [float(value), *known]
    return {"low": min(values), "high": max(values)}


def _settle_like(flag: FlaggedValue, rule: ValueRule, *, actor: str, now: datetime) -> None:
    """The others that wait and that the rule now allows are fine as well."""
    limits = limits_of(rule)
    waiting = FlaggedValue.objects.filter(
        source_id=flag.source_id, state=FlaggedValue.State.OPEN, event=flag.event, path=flag.path
    )
    fine = [other.pk for other in waiting if not limits.problem(other.value)]
    FlaggedValue.objects.filter(pk__in=fine).update(
        state=FlaggedValue.State.FINE, decided_at=now, decided_by=actor[:150]
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- Loads --------------------------------------------------------------------------------------------------


def state_load(*, source: Source, key: str, count: int, checksum: str = "", now: datetime) -> Load:
    """What a sender says of a load; said again, it replaces what was said. From now on loads are tallied."""
    if checksum and not _CHECKSUM.fullmatch(checksum):
        raise QualityError("The checksum is 16 hexadecimal digits.", code="checksum_invalid", path="/checksum")
    wanted = settings_of(source.settings)
    with transaction.atomic():
        if not wanted.quality.loads:
            quality = msgspec.structs.replace(wanted.quality, loads=True)
            change_settings(source=source, settings=msgspec.structs.replace(wanted, quality=quality))
        load, _ = Load.objects.update_or_create(
            source=source, key=key, defaults={"count": count, "checksum": checksum, "stated_at": now}
        )
    return load


# --- Housekeeping -------------------------------------------------------------------------------------------


def forget_old(*, now: datetime) -> None:
    """Keep what is looked at: a month of hours, half a year of days, and a bounded queue of open flags."""
    hours, days = now - KEEP_HOURS, now - KEEP_DAYS
    HourShape.objects.filter(hour__lt=hours).delete()
    for model in (Volume, Receipt):
        model.objects.filter(hour__lt=days).delete()
    for dated in (DaySummary, QualityScore):
        dated.objects.filter(day__lt=days.date()).delete()
    LoadTally.objects.filter(last_at__lt=days).delete()
    Load.objects.filter(stated_at__lt=days).delete()
    Alert.objects.filter(state=Alert.State.RESOLVED, resolved_at__lt=days).delete()
    FlaggedValue.objects.exclude(state=FlaggedValue.State.OPEN).filter(decided_at__lt=now - KEEP_DECIDED).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM quality_flag WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
            " (PARTITION BY source_id ORDER BY id DESC) AS place FROM quality_flag WHERE state = 'open') o"
            " WHERE place > %s)",
            [MAX_OPEN_FLAGS],
        )
