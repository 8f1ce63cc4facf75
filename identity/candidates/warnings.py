"""Values that would make a mega-profile if they were believed: kept from doing so, and told to a person."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import connection

from identity.candidates.lookup import SHARED_BY, ValueKey, count_holders

SHARED_VALUE = "shared_value"
MESSAGES = {
    SHARED_VALUE: "Too many profiles share this value for it to tell anybody apart: it is left out of matching.",
}
ADVICE = {
    SHARED_VALUE: "If it is a placeholder, block it as an identifier, or have its source leave the field empty.",
}
OTHER_ADVICE = "Mend it at its source, or set the field to “ignore” in the settings."

_NOTE = """
INSERT INTO match_warning AS w (code, field, digest, value, profiles, message, advice, first_seen_at, last_seen_at)
SELECT u.*, m.now, m.now FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[],
  %s::text[]) AS u(code, field, digest, value, profiles, message, advice), (SELECT %s::timestamptz AS now) AS m
ORDER BY 1, 2, 3
ON CONFLICT (code, field, digest) DO UPDATE SET last_seen_at = EXCLUDED.last_seen_at,
  message = EXCLUDED.message,
  profiles = CASE WHEN w.dismissed_at IS NULL OR EXCLUDED.profiles > 2 * w.profiles THEN EXCLUDED.profiles
    ELSE w.profiles END,
  dismissed_at = CASE WHEN EXCLUDED.profiles > 2 * w.profiles THEN NULL ELSE w.dismissed_at END
"""


def note_shared(values: Collection[ValueKey], *, now: datetime) -> None:
    """Say of each value how many have it. A value that was told of lately is not counted again."""
    fresh = {one.key: one for one in values if not _is_known(one, now)}
    if fresh:
        counts = count_holders(fresh)
        note(
            SHARED_VALUE,
            {(one.column, one.value): counts[key] for key, one in fresh.items() if counts[key] > SHARED_BY},
            now=now,
        )


def note(code: str, found: Mapping[tuple[str, str], int], *, now: datetime, message: str = "") -> None:
    """`found` are columns with a value of theirs, or an empty one, and how many profiles it concerns."""
    said, advice = message or MESSAGES[code], ADVICE.get(code, OTHER_ADVICE)
    rows = sorted(
        (code[:40], column, _digest(value), masked(value), count, said[:300], advice)
        for (column, value), count in found.items()
    )
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_NOTE, [*(list(column) for column in zip(*rows, strict=True)), now])


def masked(value: str) -> str:
    """Enough to recognise what one knows: a placeholder says what it is, a person's value does not."""
    name, at, domain = value.partition("@")
    if at:
        return f"{name[:2]}…@{domain}"[:80]
    return f"{value[:3]}… ({len(value)} characters)"[:80] if len(value) > 4 else value


_told: dict[int, datetime] = {}
TOLD_SECONDS = 300
MOST_TOLD = 10_000


def _is_known(one: ValueKey, now: datetime) -> bool:
    """Whether this process counted it a moment ago: counting costs as much as the value is common."""
    last = _told.get(one.key)
    if last is not None and 0 <= (now - last).total_seconds() < TOLD_SECONDS:
        return True
    if len(_told) >= MOST_TOLD:
        _told.clear()
    _told[one.key] = now
    return False


def forget_told() -> None:
    _told.clear()


def _digest(value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=16).hexdigest()
