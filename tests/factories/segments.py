"""People with traits and events put straight into the tables, and the changes that the drain would have noted."""

import json
import math
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any

from django.db import connection
from psycopg2.extras import execute_values

from consent.contracts import ConsentInput, State
from consent.operations import record_consents
from identity.accounts.models import Account, AccountMember
from identity.columns.notes import note_profiles
from identity.consents.operations import note_stale
from identity.merging.listeners import tell
from identity.models import Identifier, ProfileIdentifier
from ingestion.models import EventName
from ingestion.partitions import ensure_event_partitions, next_month
from segments import operations
from segments.changes import ANY_TRAIT, ProfileChange, note_changes
from segments.models import Membership, Segment
from tests.oracles.segments import Chosen

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
ORDER = "Order Completed"
BOUGHT = {"type": "event", "event": ORDER, "window": {"last": "7d"}}
QUIET = {"type": "not", "of": BOUGHT}
SPENT = {"type": "event", "event": ORDER, "measure": "sum", "of": "revenue", "op": "gt", "value": 500}
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def ensure_months(first: date, last: date) -> None:
    """Partitions from the month of `first` to that of `last`."""
    months, month = [], first.replace(day=1)
    while month <= last:
        months.append(month)
        month = next_month(month)
    ensure_event_partitions(months)


def make_event_name(name: str, *, value_property: str | None = None) -> EventName:
    row, _ = EventName.objects.get_or_create(
        name=name, defaults={"type": "track", "value_property": value_property, "first_seen_at": LONG_AGO}
    )
    return row


def make_profile(traits: dict[str, Any] | None = None, *, now: datetime = LONG_AGO) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profile (traits, provenance, created_at, updated_at) VALUES (%s, '{}', %s, %s) RETURNING id",
            [json.dumps(traits or {}), now, now],
        )
        id_: int = cursor.fetchone()[0]
    note_profiles([id_])
    return id_


def make_profiles(all_traits: Iterable[dict[str, Any]]) -> list[int]:
    with connection.cursor() as cursor:
        rows = execute_values(
            cursor,
            "INSERT INTO profile (traits, provenance, created_at, updated_at) VALUES %s RETURNING id",
            [(json.dumps(traits), "{}", LONG_AGO, LONG_AGO) for traits in all_traits],
            fetch=True,
        )
    note_profiles([row[0] for row in rows])
    return [row[0] for row in rows]


def set_traits(profile_id: int, traits: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE profile SET traits = %s WHERE id = %s", [json.dumps(traits), profile_id])
    note_profiles([profile_id])


def make_event(
    profile_id: int, name: str, ts: datetime, properties: dict[str, Any] | None = None, *, number: int | None = None
) -> None:
    make_events([(profile_id, name, ts, properties or {}, number, {})])


def make_events(rows: Iterable[tuple[int, str, datetime, dict[str, Any], int | None, dict[str, Any]]]) -> None:
    """`(profile, name, ts, properties, number, context)`; the number makes the id, so that its order is known."""
    names = {row.name: row for row in EventName.objects.all()}
    values = []
    for profile_id, name, ts, properties, number, context in rows:
        entry = names.get(name) or names.setdefault(name, make_event_name(name))
        event_id = uuid.uuid4() if number is None else uuid.UUID(int=number)
        value = promoted(properties.get(entry.value_property)) if entry.value_property else None
        values.append(
            (ts, str(event_id), profile_id, entry.pk, value, json.dumps(properties), json.dumps(context), 1, ts)
        )
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            "INSERT INTO event (ts, id, profile_id, name_id, value, properties, context, source_id, received_at)"
            " VALUES %s",
            values,
            page_size=1_000,
        )


def promoted(value: Any) -> float | None:
    """What the drain writes to `event.value`: the number, if it is one that a float8 can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def note_change(
    profile_id: int,
    *,
    events: Iterable[str] = (),
    traits: Iterable[str] = (),
    merged: bool = False,
    created: bool = False,
) -> None:
    ids = frozenset(EventName.objects.filter(name__in=list(events)).values_list("pk", flat=True))
    note_changes([ProfileChange(profile_id, ids, frozenset(traits), merged, created)])


def note_account_joined(profile_id: int) -> None:
    note_changes([ProfileChange(profile_id, frozenset(), frozenset(), False, False, frozenset({ANY_TRAIT}))])


def make_account(traits: dict[str, Any], *, group_id: str) -> int:
    account = Account.objects.create(group_id=group_id, traits=traits, created_at=LONG_AGO, updated_at=LONG_AGO)
    return account.pk


def join_account(profile_id: int, account_id: int) -> None:
    row = {"profile_id": profile_id, "account_id": account_id, "origin_id": profile_id}
    AccountMember.objects.get_or_create(**row, defaults={"first_seen_at": LONG_AGO, "last_seen_at": LONG_AGO})


def link(profile_id: int, value: str, *, since: datetime) -> None:
    """A user id that leads to the profile, as the drain links it."""
    Identifier.objects.create(kind="user_id", value=value, profile_id=profile_id)
    ProfileIdentifier.objects.create(
        profile_id=profile_id, kind="user_id", value=value, first_seen_at=since, source_id=1
    )
    note_stale([profile_id])


def record_choices(choices: Iterable[Chosen], *, now: datetime) -> None:
    record_consents(
        choices=[
            ConsentInput(
                subjects=[("user_id", each.identifier)],
                purpose=each.purpose,
                state=State(each.state),
                method="api",
                happened_at=each.at,
                expires_at=each.expires,
            )
            for each in choices
        ],
        now=now,
    )


_MOVE_EVENTS = (
    "WITH moved AS (DELETE FROM event WHERE profile_id = %s RETURNING *)"
    " INSERT INTO event SELECT ts, id, %s, name_id, value, properties, context, source_id, received_at FROM moved"
)
_MOVE_IDENTIFIERS = (
    "WITH moved AS (DELETE FROM profile_identifier WHERE profile_id = %s RETURNING *)"
    " INSERT INTO profile_identifier (kind, value, first_seen_at, source_id, profile_id)"
    " SELECT kind, value, first_seen_at, source_id, %s FROM moved"
)
_MOVE_MEMBERS = (
    "WITH moved AS (DELETE FROM account_member WHERE profile_id = %s RETURNING *)"
    " INSERT INTO account_member (account_id, origin_id, first_seen_at, last_seen_at, profile_id)"
    " SELECT account_id, origin_id, first_seen_at, last_seen_at, %s FROM moved"
)


def absorb(profile_id: int, *, into: int, now: datetime = LONG_AGO) -> None:
    """A merge as identity leaves it: what the other had on the survivor, its row gone, both noted."""
    with connection.cursor() as cursor:
        for move in (_MOVE_EVENTS, _MOVE_IDENTIFIERS, _MOVE_MEMBERS):
            cursor.execute(move, [profile_id, into])
        cursor.execute("UPDATE identifier SET profile_id = %s WHERE profile_id = %s", [into, profile_id])
        cursor.execute("UPDATE profile_alias SET canonical_id = %s WHERE canonical_id = %s", [into, profile_id])
        cursor.execute(
            "INSERT INTO profile_alias (profile_id, canonical_id, merged_at) VALUES (%s, %s, %s)",
            [profile_id, into, now],
        )
        cursor.execute("DELETE FROM profile WHERE id = %s", [profile_id])
    tell({profile_id, into}, now=now)


_PART_EVENTS = _MOVE_EVENTS.replace("profile_id = %s RETURNING", "profile_id = %s AND id = ANY(%s::uuid[]) RETURNING")
_PART_IDENTIFIERS = _MOVE_IDENTIFIERS.replace(
    "profile_id = %s RETURNING", "profile_id = %s AND value = ANY(%s) RETURNING"
)
_PART_MEMBERS = _MOVE_MEMBERS.replace("profile_id = %s RETURNING", "profile_id = %s AND origin_id = ANY(%s) RETURNING")


def part(
    profile_id: int, *, of: int, traits: dict[str, Any], events: Iterable[int], values: Iterable[str], now: datetime
) -> None:
    """An undone merge as identity leaves it: who was absorbed is there again, with its events and identifiers."""
    known = list(values)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM profile_alias WHERE profile_id = %s", [profile_id])
        cursor.execute(
            "INSERT INTO profile (id, traits, provenance, created_at, updated_at) VALUES (%s, %s, '{}', %s, %s)",
            [profile_id, json.dumps(traits), LONG_AGO, now],
        )
        cursor.execute(_PART_EVENTS, [of, [str(uuid.UUID(int=number)) for number in events], profile_id])
        cursor.execute(_PART_IDENTIFIERS, [of, known, profile_id])
        cursor.execute(_PART_MEMBERS, [of, [profile_id], profile_id])
        cursor.execute("UPDATE identifier SET profile_id = %s WHERE value = ANY(%s)", [profile_id, known])
    tell({profile_id, of}, now=now)


def live_segment(definition: dict[str, Any], *, name: str = "Test", now: datetime = NOW) -> Segment:
    """Published and computed."""
    segment = operations.create_segment(name=name, definition=definition, now=now)
    operations.recompute(segment_id=segment.pk, now=now)
    segment.refresh_from_db()
    assert segment.state == Segment.State.LIVE, segment.error
    return segment


def members_of(segment: Segment) -> set[int]:
    return set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
