"""Watching every source: what deviates becomes an alert, once, and stays one until it is really over.

A check gives findings; `reconcile` turns them into rows. An alert opens when a value passes its threshold, and is
resolved after `HEALTHY_CHECKS` checks in a row found the value below `CALM` of the threshold, so that one that wavers
at the line sends no stream of messages. What is owed to the channels is written in the same transaction.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from ingestion.models import HourlyCount, Source
from ingestion.quality import queries
from ingestion.quality.judge import robust_z
from ingestion.quality.models import Alert, AlertChannel, AlertDelivery, AlertRule, HourShape, Property, Volume

CALM = 0.8
HEALTHY_CHECKS = 2
MAX_FINDINGS = 10
"""Of one kind and source at a time: where everything changes at once, ten alerts say so as well as a hundred."""

WEEKS = 4
MIN_EARLIER = 5
MIN_MESSAGES = 20
MIN_EVENTS = 50

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RuleKind:
    """A kind of alert as it comes: what it says, and the threshold with its unit."""

    kind: str
    label: str
    text: str
    threshold: float
    unit: str


KINDS: Mapping[str, RuleKind] = {
    each.kind: each
    for each in (
        RuleKind(
            "volume",
            "Unusual volume",
            "The last full hour brought far more or fewer events than the same hour of earlier days.",
            5.0,
            "robust standard deviations",
        ),
        RuleKind(
            "freshness",
            "Silence",
            "A source that promised events in its settings has been silent for longer.",
            1.0,
            "times the promised silence",
        ),
        RuleKind(
            "errors",
            "Bad messages",
            "Too many of the last hour's messages were quarantined or broke a value rule.",
            0.05,
            "share of messages",
        ),
        RuleKind(
            "duplicates", "Duplicates", "Too many of the last hour's messages had been sent before.", 0.10, "share"
        ),
        RuleKind(
            "nulls",
            "Missing values",
            "A property is missing far more often than in the week before.",
            0.20,
            "rise of the share that is missing",
        ),
        RuleKind("new", "New property", "An event brings a property that it never had.", 1.0, "property"),
        RuleKind(
            "vanished", "Vanished property", "A property that events usually had is gone for a day.", 1.0, "property"
        ),
        RuleKind(
            "balance",
            "Messages unaccounted for",
            "What was acknowledged is not what was stored, doubled, refused and waiting together.",
            1.0,
            "messages",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Finding:
    """How far something is out, on the scale of its kind's threshold, and what to say of it."""

    subject: str
    level: float
    message: str
    value: float | None = None
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind of alert as this deployment wants it."""

    kind: RuleKind
    enabled: bool
    threshold: float


def wanted_rules() -> dict[str, Wanted]:
    changed = {rule.kind: rule for rule in AlertRule.objects.all()}
    return {
        name: Wanted(kind, changed[name].enabled, changed[name].threshold)
        if name in changed
        else Wanted(kind, enabled=True, threshold=kind.threshold)
        for name, kind in KINDS.items()
    }


def watch(*, now: datetime) -> int:
    """Check every active source; returns how many alerts opened or were resolved."""
    rules = wanted_rules()
    return sum(watch_source(source=source, rules=rules, now=now) for source in Source.objects.order_by("id"))


def watch_source(*, source: Source, rules: Mapping[str, Wanted], now: datetime) -> int:
    silenced = source.state == Source.State.PAUSED or not queries.quality_settings(source).alerts
    changed = 0
    for name, rule in rules.items():
        quiet = silenced or not rule.enabled
        findings = [] if quiet else sorted(_CHECKS[name](source, now), key=lambda one: -one.level)[:MAX_FINDINGS]
        changed += reconcile(source=source, rule=rule, findings=findings, quiet=quiet, now=now)
    return changed


def reconcile(*, source: Source, rule: Wanted, findings: Iterable[Finding], now: datetime, quiet: bool = False) -> int:
    """Open, continue and resolve the alerts of one kind. `quiet`: nobody wants them, so they end without a message."""
    by_subject = {finding.subject: finding for finding in findings}
    changed = 0
    with transaction.atomic():
        open_ones = Alert.objects.select_for_update().filter(source=source, kind=rule.kind.kind)
        for alert in open_ones.exclude(state=Alert.State.RESOLVED).order_by("id"):
            finding = by_subject.pop(alert.subject, None)
            changed += _continue(alert, finding, rule, quiet=quiet, now=now)
        for finding in by_subject.values():
            if finding.level >= rule.threshold:
                changed += _open(source, rule, finding, now=now)
    return changed


def _open(source: Source, rule: Wanted, finding: Finding, *, now: datetime) -> int:
    """The unique constraint decides between two workers that find the same."""
    made = Alert.objects.bulk_create(
        [
            Alert(
                source=source,
                kind=rule.kind.kind,
                subject=finding.subject[:420],
                message=finding.message[:500],
                value=finding.value,
                usual=finding.usual,
                opened_at=now,
                last_seen_at=now,
            )
        ],
        ignore_conflicts=True,
    )
    alert = Alert.objects.filter(
        source=source, kind=rule.kind.kind, subject=made[0].subject, opened_at=now, state=Alert.State.OPEN
    ).first()
    if alert is None:
        return 0
    _owe(alert, AlertDelivery.Event.OPENED, now=now)
    return 1


def _continue(alert: Alert, finding: Finding | None, rule: Wanted, *, quiet: bool, now: datetime) -> int:
    if finding is not None and finding.level >= rule.threshold:
        alert.message, alert.value, alert.usual = finding.message[:500], finding.value, finding.usual
        alert.last_seen_at, alert.healthy_checks = now, 0
    elif finding is None or finding.level < CALM * rule.threshold:
        alert.healthy_checks += 1
    ended = quiet or alert.healthy_checks >= HEALTHY_CHECKS
    if ended:
        alert.state, alert.resolved_at = Alert.State.RESOLVED, now
    alert.save()
    if ended and not quiet and rule.kind.kind != "new":
        _owe(alert, AlertDelivery.Event.RESOLVED, now=now)
    return int(ended)


def acknowledge(*, alert: Alert, actor: str) -> None:
    """Somebody has seen it; it goes on until it is over."""
    Alert.objects.filter(pk=alert.pk, state=Alert.State.OPEN).update(
        state=Alert.State.ACKNOWLEDGED, acknowledged_by=actor[:150]
    )


def set_rule(*, kind: str, enabled: bool, threshold: float) -> None:
    AlertRule.objects.update_or_create(kind=kind, defaults={"enabled": enabled, "threshold": threshold})


def _owe(alert: Alert, event: str, *, now: datetime) -> None:
    """One message to each channel; a resolution only to those that heard of the beginning."""
    channels = AlertChannel.objects.filter(enabled=True)
    if event == AlertDelivery.Event.RESOLVED:
        channels = channels.filter(deliveries__alert=alert, deliveries__event=AlertDelivery.Event.OPENED)
    AlertDelivery.objects.bulk_create(
        [
            AlertDelivery(alert=alert, channel=channel, event=event, next_attempt_at=now, created_at=now)
            for channel in channels.distinct().order_by("id")
        ],
        ignore_conflicts=True,
    )


# --- The checks ---------------------------------------------------------------------------------------------


def check_volume(source: Source, now: datetime) -> list[Finding]:
    """The last full hour against the same hour of earlier days; with enough weeks, of the same day of the week.

    The total of the source first; if that is as usual, each event that is usually frequent enough to judge.
    """
    hour = queries.whole_hour(now) - _HOUR
    if queries.is_waiting(source_id=source.pk, before=hour + _HOUR):  # not all of it is counted yet
        return []
    rows = Volume.objects.filter(source=source, hour__in=[hour - _DAY * back for back in range(WEEKS * 7 + 1)])
    by_name: dict[str, dict[datetime, int]] = defaultdict(dict)
    for name, at, events in rows.values_list("name__name", "hour", "events"):
        by_name[name][at] = events
    began = Volume.objects.filter(source=source).order_by("hour").values_list("hour", flat=True).first()
    if began is None:
        return []
    total: dict[datetime, int] = defaultdict(int)
    for counts in by_name.values():
        for at, events in counts.items():
            total[at] += events
    findings = _odd_volume("", total, hour, began)
    if findings and findings[0].level >= KINDS["volume"].threshold:
        return findings
    each = [found for name, counts in by_name.items() for found in _odd_volume(name, counts, hour, began)]
    return findings + each


def _odd_volume(name: str, counts: Mapping[datetime, int], hour: datetime, began: datetime) -> list[Finding]:
    days = [hour - _DAY * back for back in range(1, WEEKS * 7 + 1) if hour - _DAY * back >= began]
    weekly = [counts.get(at, 0) for at in days if at.weekday() == hour.weekday()]
    daily = [counts.get(at, 0) for at in days[:14]]
    if len(daily) < MIN_EARLIER:
        return []
    found, value = _closest(counts.get(hour, 0), daily, weekly), counts.get(hour, 0)
    z, usual = found
    if max(value, usual) < MIN_EVENTS:
        return []
    what = f"“{name}”" if name else "events"
    more = "more" if value > usual else "fewer"
    message = (
        f"{value:,} {what} between {hour:%H:%M} and {hour + _HOUR:%H:%M} UTC, far {more} than the usual {usual:,.0f}."
    )
    return [Finding(name, abs(z), message, float(value), usual)]


def _closest(value: int, daily: Sequence[int], weekly: Sequence[int]) -> tuple[float, float]:
    """What fits either the days or the same days of the week is usual."""
    choices = [daily] + ([weekly] if len(weekly) >= 3 else [])
    judged = [(robust_z(value, earlier), float(sorted(earlier)[len(earlier) // 2])) for earlier in choices]
    return min(judged, key=lambda pair: abs(pair[0]))


def check_freshness(source: Source, now: datetime) -> list[Finding]:
    found = queries.freshness(source=source, now=now)
    if found.expected_minutes is None or found.silent is None:
        return []
    minutes = found.silent / timedelta(minutes=1)
    message = f"No event for {minutes:,.0f} minutes; at least one in {found.expected_minutes:,} was promised."
    return [Finding("", minutes / found.expected_minutes, message, minutes, float(found.expected_minutes))]


def check_errors(source: Source, now: datetime) -> list[Finding]:
    outcomes = _last_hour(source, now)
    flagged = sum(
        Volume.objects.filter(source=source, hour__gte=queries.whole_hour(now) - _HOUR).values_list(
            "flagged", flat=True
        )
    )
    bad = outcomes.get(HourlyCount.Outcome.QUARANTINED, 0) + flagged
    return _rate("", bad, sum(outcomes.values()), "of the last hours’ messages were quarantined or broke a value rule")


def check_duplicates(source: Source, now: datetime) -> list[Finding]:
    outcomes = _last_hour(source, now)
    doubled = outcomes.get(HourlyCount.Outcome.DUPLICATE, 0)
    of = doubled + outcomes.get(HourlyCount.Outcome.STORED, 0)
    return _rate("", doubled, of, "of the last hours’ messages had been sent before")


def _last_hour(source: Source, now: datetime) -> dict[str, int]:
    """The last full hour and the one that runs."""
    return queries.outcome_totals(source_id=source.pk, since=now - _HOUR)


def _rate(subject: str, part: int, of: int, what: str) -> list[Finding]:
    if of < MIN_MESSAGES or not part:
        return []
    return [Finding(subject, part / of, f"{part:,} of {of:,} ({100 * part / of:.1f}%) {what}.", part / of)]


@dataclass(slots=True)
class _Shape:
    """The hours of an event added up: looked at, and events with a value by path."""

    seen: int
    present: dict[str, int]


def _shapes(source: Source, since: datetime, until: datetime) -> dict[str, _Shape]:
    rows = HourShape.objects.filter(source=source, hour__gt=since, hour__lte=until)
    found: dict[str, _Shape] = {}
    for name, seen, shape in rows.values_list("name__name", "seen", "shape"):
        whole = found.setdefault(name, _Shape(0, defaultdict(int)))
        whole.seen += seen
        for path, (present, _, _) in shape.items():
            whole.present[path] += present
    return found


def check_nulls(source: Source, now: datetime) -> list[Finding]:
    """The last day against the week before it, where both saw enough."""
    lately, before = _shapes(source, now - _DAY, now), _shapes(source, now - _DAY * 8, now - _DAY)
    findings = []
    for name, old in before.items():
        new = lately.get(name)
        if new is None or new.seen < MIN_EVENTS or old.seen < MIN_EVENTS:
            continue
        for path, present in old.present.items():
            was, now_is = 1 - present / old.seen, 1 - new.present.get(path, 0) / new.seen
            if now_is > was and new.present.get(path, 0):
                message = (
                    f"“{path}” of “{name}” is missing in {100 * now_is:.0f}% of events, before in {100 * was:.0f}%."
                )
                findings.append(Finding(_subject(name, path), now_is - was, message, now_is, was))
    return findings


def check_new(source: Source, now: datetime) -> list[Finding]:
    """Properties first seen within a day, of events known for longer; the alert ends by itself a day later."""
    rows = Property.objects.filter(source=source)
    known = {row.name_id: row.first_seen_at for row in rows.filter(path="")}
    began = min(known.values(), default=now)
    findings = []
    for row in rows.filter(first_seen_at__gt=now - _DAY).select_related("name"):
        older = began if row.path == "" else known.get(row.name_id, now)
        if now - older > queries.NEW_FOR:
            what = f"The property “{row.path}” of “{row.name.name}”" if row.path else f"The event “{row.name.name}”"
            findings.append(Finding(_subject(row.name.name, row.path), 1.0, f"{what} was never seen before."))
    return findings


def check_vanished(source: Source, now: datetime) -> list[Finding]:
    """Properties that half the events of a week had, and none of the last day's."""
    lately, before = _shapes(source, now - _DAY, now), _shapes(source, now - _DAY * 8, now - _DAY)
    return [
        Finding(_subject(name, path), 1.0, f"“{path}” of “{name}” is gone: none of the last day’s events had it.")
        for name, old in before.items()
        if name in lately and lately[name].seen >= queries.GONE_EVENTS
        for path, present in old.present.items()
        if present >= max(old.seen / 2, queries.GONE_EVENTS) and not lately[name].present.get(path)
    ]


def check_balance(source: Source, now: datetime) -> list[Finding]:
    """The closed hours of the last day that the door's count covers whole."""
    began = queries.counted_since(source_id=source.pk)
    if began is None:
        return []
    rows = queries.balance(source_id=source.pk, since=now - _DAY)
    wrong = [row for row in rows if row.difference and began < row.hour < queries.whole_hour(now)]
    if not wrong:
        return []
    total = sum(abs(row.difference) for row in wrong)
    first = f"{wrong[-1].hour:%d %b %H:%M}"
    message = f"{total:,} messages of {len(wrong)} hours are not accounted for; the first hour is {first} UTC."
    return [Finding("", float(total), message, float(total))]


def _subject(name: str, path: str) -> str:
    return f"{name} · {path}" if path else name


_CHECKS: Mapping[str, Callable[[Source, datetime], list[Finding]]] = {
    "volume": check_volume,
    "freshness": check_freshness,
    "errors": check_errors,
    "duplicates": check_duplicates,
    "nulls": check_nulls,
    "new": check_new,
    "vanished": check_vanished,
    "balance": check_balance,
}


def alert_body(alert: Alert, *, event: str, url: str) -> dict[str, Any]:
    """What a webhook says of an alert: docs/how-to/alerts.md."""
    return {
        "type": f"alert.{event}",
        "data": {
            "id": alert.pk,
            "source": alert.source.slug,
            "kind": alert.kind,
            "subject": alert.subject,
            "state": alert.state,
            "message": alert.message,
            "value": alert.value,
            "usual": alert.usual,
            "opened_at": alert.opened_at.isoformat(),
            "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            "url": url,
        },
    }
