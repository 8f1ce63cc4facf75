"""Begin an origin for some identifiers of another, inside one profile: which events and traits are theirs.

The log does not say by which identifiers an event came. What can be told: the visits of a browser, since a session's
id is made from the browser's, and events that name an e-mail address, a phone number or an external id themselves.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from cdp.kernel.copy import timestamp_micros
from identity.contracts import Identifier
from identity.kinds.rules import Rules, fresh
from identity.parts import Part, dump, parts_of
from identity.survivorship.policies import read_policies
from identity.traits import Policy, Statement, TraitState, load_state
from ingestion.models import Source
from ingestion.sessions.operations import STARTED
from ingestion.sessions.weave import device_of, id_text, session_id

BATCH = 2_000


def carve(*, profile_id: int, identifiers: Mapping[Identifier, int], now: datetime) -> int:
    """Give identifiers (keys, with the origins that they share) an origin of their own; the caller holds the profile.

    Returns the new origin. It is part of the same profile until that is parted.
    """
    # 1. The origin. 2. Its identifiers. 3. Its events, as far as can be told. 4. What these said of traits.
    begun = _begin(profile_id, now=now)
    values: dict[str, Any] = {"profile": profile_id, "begun": begun, "origins": sorted(set(identifiers.values()))}
    devices = _devices(identifiers)
    labels = _labels_of(devices, values)
    events = _naming(identifiers, values) | _labelled(labels, values)
    values |= {
        "kinds": [kind for kind, _ in sorted(identifiers)],
        "values": [value for _, value in sorted(identifiers)],
        "events": sorted(events),
        "devices": [id_text(device) for device in devices],
    }
    with connection.cursor() as cursor:
        for statement in (_IDENTIFIERS, _PROFILE_IDENTIFIERS, _EVENTS, _SESSIONS):
            cursor.execute(statement, values)
    _carve_traits(values, now=now)
    return begun


def _begin(profile_id: int, *, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('profile', 'id'))")
        begun: int = cursor.fetchone()[0]
        cursor.execute(
            "INSERT INTO profile_alias (profile_id, canonical_id, merged_at) VALUES (%s, %s, %s)",
            [begun, profile_id, now],
        )
    return begun


# --- Which events -----------------------------------------------------------------------------------------------


def _devices(identifiers: Collection[Identifier]) -> set[bytes]:
    browsers = [value for kind, value in identifiers if kind == "anonymous_id"]
    sources = list(Source.objects.values_list("pk", flat=True)) if browsers else []
    return {device_of(source_id, browser) for source_id in sources for browser in browsers}


def _labels_of(devices: Collection[bytes], values: Mapping[str, Any]) -> list[str]:
    """The ids of those sessions that belong to these devices: made from the device and the first event."""
    if not devices:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_BEGINNINGS, {**values, "started": STARTED})
        return sorted(
            {
                label
                for label, first_id in cursor.fetchall()
                if any(id_text(session_id(device, first_id.bytes)) == label for device in devices)
            }
        )


def _labelled(labels: list[str], values: Mapping[str, Any]) -> set[str]:
    if not labels:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_OF_SESSIONS, {**values, "labels": labels})
        return {id_ for (id_,) in cursor.fetchall()}


def _naming(identifiers: Collection[Identifier], values: Mapping[str, Any]) -> set[str]:
    """Events that name one of these identifiers in their own context, or as the traits that they set."""
    wanted, rules = set(identifiers), fresh()
    found: set[str] = set()
    with connection.cursor() as cursor:
        cursor.execute(_TELLING, dict(values))
        while batch := cursor.fetchmany(BATCH):
            found |= {id_ for id_, *told in batch if wanted & _named(rules, *map(_read, told))}
    return found


def _read(stored: str | None) -> Any:
    return None if stored is None else json.loads(stored)


def _named(rules: Rules, traits: Any, ids: Any, properties: Any) -> set[Identifier]:
    """The identifiers that an event names, in the one spelling that the rules give them."""
    said = [
        (kind, str(told[kind]))
        for kind in ("email", "phone")
        for told in (traits, properties)
        if isinstance(told, dict) and told.get(kind)
    ]
    said += [
        (one["type"].lower(), str(one["id"]))
        for one in (ids if isinstance(ids, list) else ())
        if isinstance(one, dict) and isinstance(one.get("type"), str) and one.get("id")
    ]
    return {(kind, value) for kind, sent in said if (value := rules.spell(kind, sent)) is not None}


# --- What they said -----------------------------------------------------------------------------------------------


def _carve_traits(values: Mapping[str, Any], *, now: datetime) -> None:
    """Part what the events that go said of traits from what the others did, as far as the history tells."""
    policies = read_policies()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT traits, provenance, parts, created_at FROM profile WHERE id = %(profile)s", dict(values)
        )
        traits, stamps, stored, created = cursor.fetchone()
        parts = parts_of(
            profile_id=values["profile"], state=load_state(traits, stamps), created_at=created, stored=stored
        )
        cursor.execute(_HISTORY, dict(values))
        gone: dict[int, list[tuple[str, Statement]]] = defaultdict(list)
        left: dict[int, list[tuple[str, Statement]]] = defaultdict(list)
        for goes, origin, at, source_id, told in cursor.fetchall():
            for name, value in json.loads(told).items():
                (gone if goes else left)[origin].append((name, (timestamp_micros(at), source_id, 0, value)))
        cursor.execute(_MARK_HISTORY, dict(values))
        begun = Part(TraitState(policies=policies), now.isoformat())
        for origin, statements in gone.items():
            if origin in parts:
                _move(statements, left[origin], parts[origin], begun, policies=policies)
        parts[values["begun"]] = begun
        cursor.execute("UPDATE profile SET parts = %s WHERE id = %s", [dump(parts), values["profile"]])


def _move(
    gone: Iterable[tuple[str, Statement]],
    left: Iterable[tuple[str, Statement]],
    part: Part,
    begun: Part,
    *,
    policies: Mapping[str, Policy],
) -> None:
    """Take statements from one part to another. Their priorities are those that are kept, or the same for all."""
    part.state.policies = policies
    going: dict[str, list[Statement]] = defaultdict(list)
    for name, one in gone:
        going[name].append(one)
    staying: dict[str, list[Statement]] = defaultdict(list)
    for name, one in left:
        staying[name].append(one)
    for name, statements in going.items():
        known = part.state.statements(name)
        priorities = {source: priority for _, source, priority, _ in known}
        taken = {(at, source) for at, source, _, _ in statements}
        kept = [one for one in known if one[:2] not in taken]
        kept += [(at, source, priorities.get(source, 0), value) for at, source, _, value in staying[name]]
        part.state.traits.pop(name, None)
        part.state.provenance.pop(name, None)
        part.state.decide(name, kept)
        begun.state.decide(
            name, [(at, source, priorities.get(source, 0), value) for at, source, _, value in statements]
        )


_SHARED = "e.profile_id = %(profile)s AND coalesce(e.origin_id, e.profile_id) = ANY(%(origins)s)"
_BEGINNINGS = (
    "SELECT e.properties ->> 'session_id', m.id FROM event e"
    " JOIN event m ON m.profile_id = e.profile_id AND m.ts = e.ts AND m.id <> e.id"
    "   AND m.properties ->> 'session_id' = e.properties ->> 'session_id'"
    " WHERE e.profile_id = %(profile)s AND e.name_id = (SELECT id FROM event_name WHERE name = %(started)s)"
)
_OF_SESSIONS = f"SELECT e.id::text FROM event e WHERE {_SHARED} AND e.properties ->> 'session_id' = ANY(%(labels)s)"
_TELLING = (
    "SELECT e.id::text, e.context -> 'traits', e.context -> 'externalIds',"
    " CASE WHEN n.type = 'identify' THEN e.properties END"
    " FROM event e JOIN event_name n ON n.id = e.name_id"
    f" WHERE {_SHARED} AND (e.context ? 'traits' OR e.context ? 'externalIds' OR n.type = 'identify')"
)
_IDENTIFIERS = (
    "UPDATE identifier i SET origin_id = %(begun)s"
    " FROM unnest(%(kinds)s::text[], %(values)s::text[]) AS u(kind, value)"
    " WHERE i.kind = u.kind AND i.value = u.value"
)
_PROFILE_IDENTIFIERS = (
    "UPDATE profile_identifier i SET origin_id = %(begun)s"
    " FROM unnest(%(kinds)s::text[], %(values)s::text[]) AS u(kind, value)"
    " WHERE i.profile_id = %(profile)s AND i.kind = u.kind AND i.value = u.value"
)
_EVENTS = "UPDATE event SET origin_id = %(begun)s WHERE profile_id = %(profile)s AND id = ANY(%(events)s::uuid[])"
_SESSIONS = (
    "UPDATE device_session SET origin_id = %(begun)s"
    " WHERE profile_id = %(profile)s AND device = ANY(%(devices)s::uuid[])"
)
_HISTORY = (
    "SELECT event_id = ANY(%(events)s::uuid[]), coalesce(origin_id, profile_id), at, source_id, traits"
    " FROM trait_history WHERE profile_id = %(profile)s AND coalesce(origin_id, profile_id) = ANY(%(origins)s)"
)
_MARK_HISTORY = (
    "UPDATE trait_history SET origin_id = %(begun)s"
    " WHERE profile_id = %(profile)s AND event_id = ANY(%(events)s::uuid[])"
)
