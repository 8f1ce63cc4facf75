"""Write keys: made, hashed, and recognised on every request without a query for each."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from ingestion.models import Source, WriteKey
from ingestion.settings import RateLimit, settings_of

PREFIX = "wk_"
_TRUSTED_FOR = 5.0  # seconds that a process believes what it read: how soon a pause or rotation is felt
_USE_NOTED_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom a write key stands for."""

    source_id: int
    paused: bool
    rate: RateLimit


_cache: dict[str, tuple[float, Sender]] = {}
_noted: dict[str, float] = {}


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def issue(*, source: Source, now: datetime) -> str:
    """Make a key; it is returned once and kept as a hash."""
    key = PREFIX + secrets.token_urlsafe(24)
    WriteKey.objects.create(source=source, hint=key[:10], digest=digest_of(key), created_at=now)
    return key


def revoke(*, key_id: int, now: datetime) -> None:
    WriteKey.objects.filter(pk=key_id, revoked_at=None).update(revoked_at=now)
    forget()


def sender_of(key: str) -> Sender | None:
    """The source behind a live write key, None for an unknown or revoked one."""
    digest = digest_of(key)
    clock = time.monotonic()
    cached = _cache.get(digest)
    if cached is not None and cached[0] > clock:
        return cached[1]
    live = WriteKey.objects.filter(digest=digest, revoked_at=None)
    row = live.values_list("source_id", "source__state", "source__settings").first()
    if row is None:
        _cache.pop(digest, None)
        return None
    sender = Sender(source_id=row[0], paused=row[1] == Source.State.PAUSED, rate=settings_of(row[2]).rate)
    _cache[digest] = (clock + _TRUSTED_FOR, sender)
    _note_use(digest, clock)
    return sender


def source_of(key: str) -> int | None:
    """The source that a key belongs or belonged to, revoked or not."""
    cached = _cache.get(digest_of(key))
    if cached is not None:
        return cached[1].source_id
    return WriteKey.objects.filter(digest=digest_of(key)).values_list("source_id", flat=True).first()


def forget() -> None:
    """Drop what this process remembers; the others follow within seconds."""
    _cache.clear()


def _note_use(digest: str, clock: float) -> None:
    if _noted.get(digest, 0.0) < clock:
        _noted[digest] = clock + _USE_NOTED_EVERY
        WriteKey.objects.filter(digest=digest).update(last_used_at=timezone.now())
