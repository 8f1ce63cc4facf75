"""Sessions whose events lie with two profiles since these parted: each side's are woven anew from its own events.

Only sessions that can still change have rows. Older ones keep what the log says of them: their `session_id` then
stands on events of two people, and Session Started and Session Ended are with whoever had the first event.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from django.db import connection

from ingestion import event_log
from ingestion.contracts import NOBODY, Incoming
from ingestion.enrich.contracts import Agent, Came, Origin, Place
from ingestion.messages import VALUE_PROPERTIES
from ingestion.sessions import rows
from ingestion.sessions.operations import ENDED, OURS, STARTED, ended_of, started_of, timeouts_of
from ingestion.sessions.weave import Session, event_id, id_text, weave

Members = dict[int, list[tuple[Incoming, int | None]]]
"""By profile, events with their origins where these are not the profile itself."""


def part_shared(profile_ids: Collection[int]) -> None:
    """Weave anew the sessions that these profiles, which were one a moment ago, have in common.

    The caller has moved the events and the rows, and holds both profiles.
    """
    # 1. Which are shared, and their events. 2. What was said of them is taken back. 3. Each side's own sessions.
    known = {id_text(one.id): one for one in rows.read_all(profile_ids)}
    members = _members(profile_ids, known) if known else {}
    shared = {label: sides for label, sides in members.items() if len(sides) > 1}
    if not shared:
        return
    event_log.recall_names([STARTED, ENDED])
    old = [known[label] for label in sorted(shared)]
    rows.delete(old)
    rows.delete_events(key for one in old for key in _said(one))
    timeouts = timeouts_of({one.source_id for one in old})
    new: list[Session] = []
    for label, sides in sorted(shared.items()):
        for profile_id, events in sorted(sides.items()):
            new += _weave(known[label], profile_id, events, timeouts)
    rows.insert(new)
    rows.label_events([(one, [event.id for event in one.members]) for one in new])
    told = [said for one in new for said in _tell(one)]
    event_log.append(
        [(event, one.profile_id) for one, event in told],
        origins={event.id: one.origin for one, event in told if one.origin is not None},
    )


def _weave(
    old: Session, profile_id: int, events: Sequence[tuple[Incoming, int | None]], timeouts: Mapping[int, int]
) -> list[Session]:
    origins = {event.id: origin for event, origin in events}
    timeout = timeouts.get(old.source_id, old.due - old.last)
    woven = weave([], [event for event, _ in events], profile_id=profile_id, device=old.device, timeout=timeout)
    for one in woven:
        one.origin = origins[one.members[0].id]
        if old.was_ended:
            one.ended, one.due = True, old.due
    return woven


def _said(one: Session) -> list[tuple[int, int, bytes]]:
    """The keys of the events that told of it."""
    return [
        (one.profile_id, one.first, event_id(one.id, STARTED)),
        (one.profile_id, one.last, event_id(one.id, ENDED)),
    ]


def _tell(one: Session) -> list[tuple[Session, Incoming]]:
    received = one.members[0].received
    told = [(one, started_of(one, received=received))]
    return [*told, (one, ended_of(one, received=received))] if one.ended else told


def _members(profile_ids: Collection[int], known: Mapping[str, Session]) -> dict[str, Members]:
    """Of each session, its events by profile."""
    found: dict[str, Members] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            _MEMBERS,
            {
                "profiles": sorted(profile_ids),
                "since": min(one.first for one in known.values()),
                "until": max(one.last for one in known.values()),
                "labels": sorted(known),
                "told": [STARTED, ENDED],
            },
        )
        for label, profile_id, origin, *row in cursor.fetchall():
            sides = found.setdefault(label, defaultdict(list))
            sides[profile_id].append((_incoming(*row), origin))
    return found


def _incoming(  # noqa: PLR0917 - a row
    id_: Any, ts: int, received: int, source_id: int, name: str, kind: str, properties: str, context: str
) -> Incoming:
    """A stored event as the drain had it, as far as a session is told by it."""
    told = msgspec.json.decode(properties)
    numbers = tuple(told.get(one) if _is_number(told.get(one)) else None for one in VALUE_PROPERTIES)
    return Incoming(
        source_id=source_id,
        type=kind,
        name=name,
        message_id="",
        id=id_.bytes,
        ts=ts,
        received=received,
        person=NOBODY,
        properties=properties.encode(),
        context=b"{}",
        traits=None,
        numbers=numbers,
        row=OURS,
        place=0,
        origin=_origin(msgspec.json.decode(context)),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _origin(context: dict[str, Any]) -> Origin:
    """What enrichment had found, read back from the context where it was kept."""
    told = context.get("enriched")
    told = told if isinstance(told, dict) else {}
    page = context.get("page")
    path = page.get("path") if isinstance(page, dict) else None
    return Origin(
        client=True,
        page=path if isinstance(path, str) else "",
        agent=msgspec.convert(told, Agent),
        place=msgspec.convert(told, Place),
        came=msgspec.convert(told, Came),
    )


_MICROS = "(extract(epoch FROM e.{column}) * 1000000)::bigint - 946684800000000"
_MEMBERS = (
    "SELECT e.properties ->> 'session_id', e.profile_id, e.origin_id, e.id,"
    f" {_MICROS.format(column='ts')}, {_MICROS.format(column='received_at')},"
    " e.source_id, n.name, n.type, e.properties::text, e.context::text"
    " FROM event e JOIN event_name n ON n.id = e.name_id"
    " WHERE e.profile_id = ANY(%(profiles)s) AND NOT n.name = ANY(%(told)s)"
    " AND e.ts >= timestamptz '2000-01-01 00:00:00+00' + %(since)s * interval '1 microsecond'"
    " AND e.ts <= timestamptz '2000-01-01 00:00:00+00' + %(until)s * interval '1 microsecond'"
    " AND e.properties ->> 'session_id' = ANY(%(labels)s) ORDER BY e.ts, e.id"
)
