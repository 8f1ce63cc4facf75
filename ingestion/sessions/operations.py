"""Sessions in the drain, and their end when nothing has happened for long enough. R: A2

What the event log holds of sessions (`session_id` on events, Session Started, Session Ended) follows from the events
alone, whatever their order: `weave` says why. The rows of `device_session` are what makes that cheap.
"""

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from cdp.kernel.copy import timestamp_micros
from ingestion import event_log
from ingestion.contracts import NOBODY, Identifier, InboxRow, Incoming, SourceTerms
from ingestion.operations import hold_sources
from ingestion.sessions import rows
from ingestion.sessions.rows import Device
from ingestion.sessions.tally import Tally
from ingestion.sessions.weave import Session, device_of, event_id, id_text, weave

STARTED, ENDED = "Session Started", "Session Ended"
FORGET_AFTER = timedelta(days=30)
MINUTE = 60_000_000
FAR = 2**62
OURS = InboxRow(0, 0, datetime(2000, 1, 1, tzinfo=UTC), "", 0, "", b"{}")
"""The inbox row of events that nobody sent."""

Owned = tuple[Incoming, int]
"""An event and its profile."""

Who = tuple[Identifier, ...]

Visits = list[tuple[Incoming, bytes]]
"""Events that belong to sessions, with their devices."""

_device_of = functools.lru_cache(maxsize=65_536)(device_of)
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Woven:
    """What the drain has to store besides the messages, and which event names changed otherwise, by profile.

    `origins` are those of events whose origin is not the profile itself, by the event's id.
    """

    started: list[Owned] = field(default_factory=list)
    origins: dict[bytes, int] = field(default_factory=dict)
    changed: list[tuple[int, int]] = field(default_factory=list)


def find_visits(events: Iterable[Incoming], sources: Mapping[int, SourceTerms]) -> Visits:
    """The events that make up sessions, as their sources say."""
    modes = {id_: terms.settings.sessions.mode for id_, terms in sources.items()}
    if all(mode == "never" for mode in modes.values()):
        return []
    if "always" not in modes.values():
        events = [event for event in events if event.origin.client]
    found: Visits = []
    for event in events:
        origin = event.origin
        mode = modes[event.source_id]
        if not (origin.client or mode == "always") or mode == "never" or origin.agent.bot:
            continue
        for kind, value in event.identifiers:
            if kind == "anonymous_id":
                found.append((event, _device_of(event.source_id, value)))
                break
    return found


def only_of(events: Iterable[Incoming], visits: Visits) -> Visits:
    """Those visits that are among these very events."""
    kept = {id(event) for event in events}
    return [visit for visit in visits if id(visit[0]) in kept]


def heralds(visits: Visits) -> list[Incoming]:
    """One of each event that visits may bring about, so that the log can be prepared for their names."""
    if not visits:
        return []
    event, device = visits[0]
    session = Session(0, device, event.source_id, event.ts, event.id, event.ts, 0, False, Tally())
    return [started_of(session, received=0), ended_of(session, received=0)]


def weave_in(
    visits: Visits,
    profiles: Mapping[Who, int],
    sources: Mapping[int, SourceTerms],
    *,
    absorbed: Mapping[int, int],
    origins: Mapping[Who, int] = MappingProxyType({}),
) -> Woven:
    """Sort visits into sessions and give them their `session_id`. The caller holds the locks of their profiles.

    `origins` names the origins that are not the profile itself.
    """
    # 1. What is new of each device; merges may have brought sessions together, too. 2. What is known of it.
    # 3. The sessions as they are now. 4. The rows, 5. the events that follow from the difference.
    met = rows.met_by_merge(set(absorbed.values())) if absorbed else []
    if not visits and not met:
        return Woven()
    timeouts = _timeouts(sources, {source_id for _, source_id in met})
    devices: dict[Device, list[Incoming]] = {}
    for event, device in visits:
        devices.setdefault((profiles[event.identifiers], device), []).append(event)
    spans = [_span(key, events, timeouts) for key, events in devices.items()]
    spans += [(key, -FAR, FAR) for key, source_id in met if source_id in timeouts]
    known = rows.read_near(spans)
    touched: list[Session] = []
    for key in devices.keys() | known.keys():
        events, held = devices.get(key, []), _distinct(known.get(key, []))
        timeout = timeouts[events[0].source_id if events else held[0].source_id]
        woven = weave(held, events, profile_id=key[0], device=key[1], timeout=timeout)
        touched += [one for one in woven if one.is_touched]
    if origins:
        for one in touched:
            if one.is_new:
                one.origin = origins.get(one.members[0].identifiers)
    return _write(touched, timeouts)


def join_met(profile_ids: Collection[int]) -> None:
    """Make one of the sessions of a device that a merge has brought together, outside the drain."""
    if rows.met_by_merge(profile_ids):
        event_log.recall_names([STARTED, ENDED])
        weave_in([], {}, {}, absorbed={id_: id_ for id_ in profile_ids})


def end_due(*, now: datetime, limit: int) -> tuple[int, list[Owned], dict[bytes, int]]:
    """Look again at sessions whose time has come: how many were looked at, and the events of those that ended.

    The third are the origins that are not the profile itself, by the event's id.
    """
    micros = timestamp_micros(now)
    claimed = rows.claim_due(until=micros, limit=limit)
    sources = hold_sources(ids={one.source_id for one in claimed}) if claimed else {}
    timeouts = _timeouts(sources, set())
    rows.delete(one for one in claimed if one.ended or one.source_id not in sources)
    open_ = [one for one in claimed if not one.ended and one.source_id in sources]
    ended: list[Owned] = []
    origins: dict[bytes, int] = {}
    for one in open_:
        one.due = one.last + timeouts[one.source_id]
        if one.due <= micros:
            one.ended = True
            one.due = micros + FORGET_AFTER // timedelta(microseconds=1)
            event = ended_of(one, received=micros)
            ended.append((event, one.profile_id))
            if one.origin is not None:
                origins[event.id] = one.origin
    event_log.require_prepared([event for event, _ in ended])
    rows.update(open_)
    return len(claimed), ended, origins


def _span(device: Device, events: list[Incoming], timeouts: Mapping[int, int]) -> tuple[Device, int, int]:
    """In which known sessions have to overlap to be within reach."""
    timeout = timeouts[events[0].source_id]
    times = [event.ts for event in events]
    return device, min(times) - timeout, max(times) + timeout


def _distinct(known: Sequence[Session]) -> Sequence[Session]:
    """A device that met another in a merge and has events of its own was asked for twice."""
    if len(known) < 2:
        return known
    return list({(one.first, one.first_id): one for one in known}.values())


def timeouts_of(source_ids: Collection[int]) -> dict[int, int]:
    """After how many microseconds without an event a session of these sources ends."""
    return _timeouts({}, source_ids)


def _timeouts(sources: Mapping[int, SourceTerms], others: Collection[int]) -> dict[int, int]:
    missing = set(others) - sources.keys()
    terms = {**sources, **(hold_sources(ids=missing) if missing else {})}
    return {id_: one.settings.sessions.timeout_minutes * MINUTE for id_, one in terms.items()}


def _write(touched: list[Session], timeouts: Mapping[int, int]) -> Woven:
    woven = Woven()
    changed: list[Session] = []
    new: list[Session] = []
    gone: list[tuple[Session, Session]] = []
    stale: list[tuple[int, int, bytes]] = []
    for one in touched:
        _label(one)
        gone += [(old, one) for old in one.swallowed]
        if one.is_new:
            one.due = one.last + timeouts[one.source_id]
            new.append(one)
            event = started_of(one, received=one.members[0].received)
            woven.started.append((event, one.profile_id))
            if one.origin is not None:
                woven.origins[event.id] = one.origin
            continue
        if one.was_ended:
            one.ended, one.due = False, one.last + timeouts[one.source_id]
            stale.append(_key_of_end(one))
        changed.append(one)
    for old, _ in gone:
        stale.append((old.profile_id, old.first, event_id(old.id, STARTED)))
        if old.was_ended:
            stale.append(_key_of_end(old))
    rows.delete(old for old, _ in gone)
    rows.update(changed)
    rows.insert(new)
    if stale or gone:
        rows.delete_events(stale)
        woven.changed = rows.relabel_events(gone)
        names = (event_log.name_id(STARTED), event_log.name_id(ENDED))
        woven.changed += [(profile_id, name) for profile_id, _, _ in stale for name in names]
    return woven


def _key_of_end(session: Session) -> tuple[int, int, bytes]:
    was_last = session.last if session.was_last is None else session.was_last
    return session.profile_id, was_last, event_id(session.id, ENDED)


def _label(session: Session) -> None:
    """Append `session_id` to the properties of new events; one that the sender has set is left alone."""
    label = b'"session_id":"' + id_text(session.id).encode() + b'"}'
    for event in session.members:
        properties = event.properties
        if b'"session_id"' in properties and _has_session_id(properties):
            continue
        blank = len(properties) < 3 or not properties[1:-1].strip()
        event.properties = b"{" + label if blank else properties[:-1] + b"," + label


class _Labelled(msgspec.Struct, gc=False):
    session_id: Any = None


_decode_label = msgspec.json.Decoder(_Labelled).decode


def _has_session_id(properties: bytes) -> bool:
    return _decode_label(properties).session_id is not None


def started_of(session: Session, *, received: int) -> Incoming:
    """Told by the first event alone, so that later ones do not change it."""
    first = Tally()
    for event in session.members[:1]:
        first.add(event)
    told = first.describe()
    told.pop("exit_page", None)
    return _event(session, STARTED, ts=session.first, received=received, properties=told)


def ended_of(session: Session, *, received: int) -> Incoming:
    micros = session.last - session.first
    duration = micros // 1_000_000 if micros % 1_000_000 == 0 else round(micros / 1_000_000, 3)
    properties = {"duration": duration, **session.tally.counts(), **session.tally.describe()}
    return _event(session, ENDED, ts=session.last, received=received, properties=properties)


def _event(session: Session, name: str, *, ts: int, received: int, properties: dict[str, Any]) -> Incoming:
    id_ = session.id
    revenue = properties.get("revenue")
    return Incoming(
        source_id=session.source_id,
        type="track",
        name=name,
        message_id="",
        id=event_id(id_, name),
        ts=ts,
        received=received,
        person=NOBODY,
        properties=_encode({"session_id": id_text(id_), **properties}),
        context=b"{}",
        traits=None,
        numbers=(revenue, None, None, None),
        row=OURS,
        place=0,
    )
