"""What the drain notes of each chunk: exact counts, broken rules, loads, and a sample for the profile.

Set-wise and nearly free: events are grouped once by source, name and hour; everything else works on groups, on the few
events that were flagged, or on a bounded sample. A source that sends little is seen whole.
"""

import functools
import hashlib
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

import msgspec
from django.db import connection

from cdp.kernel.copy import copy_rows
from ingestion import deferred, event_log
from ingestion.contracts import InboxRow, Incoming, SourceTerms
from ingestion.quality import rules
from ingestion.quality.models import FlaggedValue

SAMPLES_PER_MINUTE = 200
"""Of each event name of a source, in each worker process."""
MAX_FLAGS = 20
"""Values of a chunk that are kept for review, by source, event and property; all of them are counted."""

Owned = tuple[Incoming, int]
Groups = dict[tuple[int, str, int], list[Owned]]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_HOUR = 3_600_000_000
_MINUTE = 60_000_000
_COLUMNS = ("source_id", "name_id", "profile_id", "event_id", "ts", "received_at", "properties")
_HEAD = struct.Struct(">hiqiiiqi16siqiqi").pack
_LOAD_MARK = b'"load"'


class _Upsert(NamedTuple):
    """Lines are sorted by key, so that two workers never wait for each other in a circle."""

    statement: str
    lines: Sequence[tuple[object, ...]]


_taken: dict[tuple[int, str], tuple[int, int]] = {}  # (source, name) -> minute, how many were sampled in it


def observe(rows: Sequence[InboxRow], owned: Sequence[Owned], *, sources: Mapping[int, SourceTerms]) -> None:
    """Note one chunk in the transaction that stores it: the inbox rows it came from, and what was stored."""
    groups, flagged = _grouped(owned)
    upserts = [
        _receipts(row for row in rows if row.source_id in sources and row.held is None and row.kind != deferred.KIND),
        _volumes(groups, _keep_flags(flagged) if flagged else Counter()),
    ]
    loading = {id_ for id_, terms in sources.items() if terms.settings.quality.loads}
    if loading:
        upserts.append(_loads(pair for pair in owned if pair[0].source_id in loading))
    _write([upsert for upsert in upserts if upsert.lines])
    _add_samples(groups)


def _grouped(owned: Sequence[Owned]) -> tuple[Groups, list[Owned]]:
    """By source, name and hour of arrival, which a request's messages have in common; and those that were changed."""
    groups: Groups = defaultdict(list)
    flagged: list[Owned] = []
    row: InboxRow | None = None
    group_of: dict[str, list[Owned]] = {}
    for pair in owned:
        event = pair[0]
        if event.row is not row:
            row, group_of = event.row, {}
        group = group_of.get(event.name)
        if group is None:
            group = group_of[event.name] = groups[event.source_id, event.name, event.received // _HOUR]
        group.append(pair)
        if event.changes:
            flagged.append(pair)
    return groups, flagged


def forget_samples() -> None:
    """For tests that start anew within a minute."""
    _taken.clear()


def message_hash(message_id: str) -> int:
    """What a message adds to the checksum of its load: the first eight bytes of its id's SHA-256, as signed."""
    digest = hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _receipts(rows: Iterable[InboxRow]) -> _Upsert:
    found: dict[tuple[int, datetime], tuple[int, int, datetime]] = {}
    for row in rows:
        key = (row.source_id, row.received_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0))
        requests, events, last = found.get(key, (0, 0, row.received_at))
        found[key] = (requests + 1, events + row.events, max(last, row.received_at))
    return _Upsert(
        "INSERT INTO quality_receipt AS old (source_id, hour, requests, events, last_at) SELECT * FROM"
        " unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::timestamptz[])"
        " ON CONFLICT (source_id, hour) DO UPDATE SET requests = old.requests + EXCLUDED.requests,"
        " events = old.events + EXCLUDED.events, last_at = greatest(old.last_at, EXCLUDED.last_at)",
        sorted((*key, *values) for key, values in found.items()),
    )


def _volumes(groups: Groups, flags: Counter[tuple[int, str, int]]) -> _Upsert:
    lines = sorted(
        (source_id, event_log.name_id(name), _EPOCH + timedelta(hours=hour), len(pairs), flags[source_id, name, hour])
        for (source_id, name, hour), pairs in groups.items()
    )
    return _Upsert(
        "INSERT INTO quality_volume AS old (source_id, name_id, hour, events, flagged) SELECT * FROM"
        " unnest(%s::bigint[], %s::int[], %s::timestamptz[], %s::bigint[], %s::bigint[])"
        " ON CONFLICT (source_id, name_id, hour) DO UPDATE SET events = old.events + EXCLUDED.events,"
        " flagged = old.flagged + EXCLUDED.flagged",
        lines,
    )


def _keep_flags(changed: Iterable[Owned]) -> Counter[tuple[int, str, int]]:
    """Write the first broken rules for review; returns how many events broke one, by group."""
    counts: Counter[tuple[int, str, int]] = Counter()
    kept: dict[tuple[int, str, str], list[FlaggedValue]] = defaultdict(list)
    for event, profile_id in changed:
        broken = [change for change in event.changes if change.stage == rules.STAGE]
        counts[event.source_id, event.name, event.received // _HOUR] += bool(broken)
        for change in broken:
            place = kept[event.source_id, event.name, change.path]
            if len(place) < MAX_FLAGS:
                place.append(rules.flag_of(event, change, profile_id=profile_id))
    FlaggedValue.objects.bulk_create([flag for flags in kept.values() for flag in flags])
    return counts


class _LoadId(msgspec.Struct, gc=False):
    id: str | int | None = None


class _LoadContext(msgspec.Struct, gc=False):
    load: _LoadId | None = None


_decode_load = msgspec.json.Decoder(_LoadContext).decode


@functools.lru_cache(maxsize=1_024)
def _load_of(context: bytes) -> str:
    """The id of the load that a context names; empty where it names none."""
    try:
        load = _decode_load(context).load
    except msgspec.DecodeError:
        return ""
    return "" if load is None or load.id is None else str(load.id)[:100].replace("\0", "\ufffd")


def _loads(owned: Iterable[Owned]) -> _Upsert:
    found: dict[tuple[int, str], tuple[int, int, int]] = {}
    for event, _ in owned:
        if _LOAD_MARK in event.context and (load := _load_of(event.context)):
            key = (event.source_id, load)
            count, checksum, last = found.get(key, (0, 0, 0))
            found[key] = (count + 1, checksum ^ message_hash(event.message_id), max(last, event.received))
    return _Upsert(
        "INSERT INTO quality_load_tally AS old (source_id, key, stored, checksum, last_at) SELECT * FROM"
        " unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::timestamptz[])"
        " ON CONFLICT (source_id, key) DO UPDATE SET stored = old.stored + EXCLUDED.stored,"
        " checksum = old.checksum # EXCLUDED.checksum, last_at = greatest(old.last_at, EXCLUDED.last_at)",
        sorted(
            (*key, count, checksum, _EPOCH + timedelta(microseconds=last))
            for key, (count, checksum, last) in found.items()
        ),
    )


def _add_samples(groups: Groups) -> None:
    parts: list[bytes] = []
    for (source_id, name, _), pairs in groups.items():
        for event, profile_id in _sample_of(source_id, name, pairs):
            size = len(event.properties)
            # fmt: off
            parts += (
                _HEAD(
                    7, 8, source_id, 4, event_log.name_id(name), 8, profile_id,
                    16, event.id, 8, event.ts, 8, event.received, size,
                ),
                event.properties,
            )
            # fmt: on
    if parts:
        copy_rows(table="quality_sample", columns=_COLUMNS, rows=b"".join(parts))


def _sample_of(source_id: int, name: str, pairs: Sequence[Owned]) -> Iterable[Owned]:
    """All of a few; of many, evenly spaced ones, until the minute's share is used up."""
    minute = pairs[-1][0].received // _MINUTE
    known, taken = _taken.get((source_id, name), (minute, 0))
    left = SAMPLES_PER_MINUTE - (taken if known == minute else 0)
    if left <= 0:
        return ()
    chosen = list(islice(pairs, 0, None, -(-len(pairs) // left)))
    _taken[source_id, name] = (minute, SAMPLES_PER_MINUTE - left + len(chosen))
    return chosen


def _write(upserts: Sequence[_Upsert]) -> None:
    """In one way there and back."""
    if upserts:
        with connection.cursor() as cursor:
            cursor.execute(
                "; ".join([upsert.statement for upsert in upserts]),
                [list(column) for upsert in upserts for column in zip(*upsert.lines, strict=True)],
            )
