"""Reads of this room, for its screens, its API and the drain."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Sum

from cdp.kernel.ids import message_uuid
from ingestion.models import Source
from ingestion.plans.contracts import GroupView, Sample
from ingestion.plans.models import PlanTrial, PlanVersion, ViolationCount, ViolationGroup, ViolationSample
from ingestion.quarantine.models import QuarantinedMessage

State = PlanVersion.State


def live_document(*, source_id: int) -> Any:
    """The document that messages of this source are held against, None where it has no plan."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT v.document FROM tracking_plan_version v JOIN tracking_plan p ON p.id = v.plan_id"
            " WHERE p.source_id = %s AND v.state = 'live'",
            [source_id],
        )
        row = cursor.fetchone()
    return None if row is None else json.loads(row[0])


def live(*, source: Source) -> PlanVersion | None:
    return PlanVersion.objects.filter(plan__source=source, state=State.LIVE).first()


def draft(*, source: Source) -> PlanVersion | None:
    return PlanVersion.objects.filter(plan__source=source, state=State.DRAFT).first()


def current(*, source: Source) -> PlanVersion | None:
    """What somebody would go on editing: the draft, else the live version, else the last one."""
    rows = PlanVersion.objects.filter(plan__source=source)
    return draft(source=source) or live(source=source) or rows.order_by("-number").first()


def versions(*, source: Source) -> list[PlanVersion]:
    """Those that were published, newest first."""
    rows = PlanVersion.objects.filter(plan__source=source).exclude(state=State.DRAFT)
    return list(rows.select_related("created_by").order_by("-number"))


def version(*, source: Source, number: int) -> PlanVersion | None:
    return PlanVersion.objects.filter(plan__source=source, number=number).first()


def newest_trial(*, source: Source) -> PlanTrial | None:
    return PlanTrial.objects.filter(plan__source=source).order_by("-id").first()


# --- Violations ---------------------------------------------------------------------------------------------


def violation_groups(*, source: Source, since: datetime, kind: str = "", limit: int = 500) -> list[GroupView]:
    """Groups with messages since then, the most frequent first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT g.id, g.event, g.kind, g.path, g.action, c.messages, g.first_seen_at, g.last_seen_at"
            " FROM plan_violation_group g JOIN ("
            "   SELECT c.group_id, sum(c.messages)::bigint AS messages FROM plan_violation_count c"
            "   JOIN plan_violation_group g ON g.id = c.group_id"
            "   WHERE g.source_id = %(source)s AND c.hour >= %(since)s GROUP BY 1) c ON c.group_id = g.id"
            " WHERE %(kind)s IN ('', g.kind) ORDER BY c.messages DESC, g.id LIMIT %(limit)s",
            {"source": source.pk, "since": since, "kind": kind, "limit": limit},
        )
        return [GroupView(*row) for row in cursor.fetchall()]


def violations_by_hour(*, source: Source, since: datetime) -> list[tuple[datetime, str, int]]:
    """Hour, kind and number of messages; a message with two violations of a kind counts for each group."""
    rows = ViolationCount.objects.filter(group__source=source, hour__gte=since)
    totals = rows.values_list("hour", "group__kind").annotate(total=Sum("messages")).order_by("hour", "group__kind")
    return [(hour, kind, total) for hour, kind, total in totals]


def samples(*, group: ViolationGroup) -> list[Sample]:
    """The newest messages of a group, with what is left of them in the event log or in quarantine."""
    rows = list(ViolationSample.objects.filter(group=group).order_by("-received_at", "-id"))
    stored = _stored_properties(group.source_id, rows)
    held = _held_payloads(group.source_id, [row.message_id for row in rows if row.ts is None])
    return [
        Sample(
            message_id=row.message_id,
            received_at=row.received_at,
            text=row.text,
            payload=stored.get(row.message_id, held.get(row.message_id)),
            quarantined=row.ts is None,
        )
        for row in rows
    ]


def trial_examples(*, source: Source, examples: Sequence[dict[str, str]]) -> list[Sample]:
    """The events that a trial noted, with their properties."""
    places = {one["id"]: datetime.fromisoformat(one["at"]) for one in examples}
    found = _properties_at(source.pk, places)
    return [
        Sample(one["id"], places[one["id"]], one["text"], found.get(one["id"]), quarantined=False) for one in examples
    ]


def _stored_properties(source_id: int, rows: Sequence[ViolationSample]) -> dict[str, Any]:
    asked = {
        str(message_uuid(source_id=source_id, message_id=row.message_id)): row for row in rows if row.ts is not None
    }
    found = _properties_at(source_id, {id_: row.ts for id_, row in asked.items() if row.ts is not None})
    return {asked[id_].message_id: properties for id_, properties in found.items()}


def _properties_at(source_id: int, places: Mapping[str, datetime]) -> dict[str, Any]:
    """Of events by id and time, which together are where they stand in the log."""
    if not places:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id::text, e.properties FROM event e JOIN unnest(%s::timestamptz[], %s::uuid[]) AS asked(ts, id)"
            " ON e.ts = asked.ts AND e.id = asked.id WHERE e.source_id = %s",
            [list(places.values()), list(places), source_id],
        )
        return {id_: _loaded(text) for id_, text in cursor.fetchall()}


def _held_payloads(source_id: int, message_ids: Sequence[str]) -> dict[str, Any]:
    if not message_ids:
        return {}
    keys = [message_uuid(source_id=source_id, message_id=message_id) for message_id in message_ids]
    rows = QuarantinedMessage.objects.filter(source_id=source_id, key__in=keys)
    return {row.message_id: _loaded(bytes(row.payload).decode("utf-8", "replace")) for row in rows}


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 300 else digits)
    except (ValueError, RecursionError):
        return {"unreadable": text[:1_000]}


def values_seen(*, group: ViolationGroup) -> list[Any]:
    """What stood at the place of a group in its newest messages, to widen the plan by."""
    found: list[Any] = []
    for sample in samples(group=group):
        payload = sample.payload or {}
        fields = payload.get("properties", payload.get("traits")) if sample.quarantined else payload
        found += _at(fields, [_plain(step) for step in group.path.split("/")[1:]])
    return found


def _at(value: Any, steps: Sequence[str]) -> list[Any]:
    if not steps:
        return [value]
    if isinstance(value, list) and steps[0] == "*":
        return [inner for item in value for inner in _at(item, steps[1:])]
    if isinstance(value, dict) and steps[0] in value:
        return _at(value[steps[0]], steps[1:])
    return []


def _plain(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def names_seen(*, source: Source, since: datetime, limit: int = 200) -> list[str]:
    """Names of track events of this source, the most frequent first, to choose from."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.name FROM (SELECT name_id, count(*) AS number FROM event WHERE ts > %s AND source_id = %s"
            "   GROUP BY 1 ORDER BY 2 DESC LIMIT %s) c"
            " JOIN event_name n ON n.id = c.name_id WHERE n.type IN ('track', 'page', 'screen')"
            " ORDER BY c.number DESC",
            [since, source.pk, limit],
        )
        return [name for (name,) in cursor.fetchall()]
