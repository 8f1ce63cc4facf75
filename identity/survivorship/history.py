"""What traits were: a row for every message that told something its source had not said before."""

import struct
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from cdp.kernel.copy import NULL, copy_rows, timestamp_micros
from identity.traits import TraitState, TraitUpdate, dump_json

_COLUMNS = ("profile_id", "at", "event_id", "source_id", "origin_id", "recorded_at", "traits")
_HEAD = struct.Struct(">hiqiqi16siq").pack
_TAIL = struct.Struct(">iqib").pack
_ID = struct.Struct(">iq").pack
DAY = timedelta(days=1)
DELETE_BATCH = 5_000


def record_news(states: Iterable[TraitState], *, now: datetime) -> None:
    """One COPY of all that was new; nothing, where nothing was or where no history is kept."""
    news = [one for state in states for one in state.news]
    if not news or not settings.IDENTITY_TRAIT_HISTORY_DAYS:
        return
    recorded = timestamp_micros(now)
    rows = bytearray()
    for update, traits in sorted(news, key=_place):
        data = dump_json(traits).encode()
        event_id = update.event_id or uuid.uuid4().bytes
        rows += _HEAD(7, 8, update.profile_id, 8, update.at, 16, event_id, 8, update.source_id)
        rows += NULL if update.origin_id is None else _ID(8, update.origin_id)
        rows += _TAIL(8, recorded, len(data) + 1, 1) + data
    copy_rows(table="trait_history", columns=_COLUMNS, rows=rows)


def _place(one: tuple[TraitUpdate, dict[str, Any]]) -> tuple[int, int, bytes]:
    update = one[0]
    return update.profile_id, update.at, update.event_id or b""


def drop_expired(*, now: datetime) -> int:
    """Delete what was recorded longer ago than the history is kept; a batch at a time, so that nobody waits."""
    horizon = now - settings.IDENTITY_TRAIT_HISTORY_DAYS * DAY
    dropped = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                "DELETE FROM trait_history WHERE (profile_id, at, event_id) IN"
                " (SELECT profile_id, at, event_id FROM trait_history WHERE recorded_at < %s LIMIT %s)",
                [horizon, DELETE_BATCH],
            )
            count: int = cursor.rowcount
            dropped += count
            if count < DELETE_BATCH:
                return dropped
