"""Whom a message is about, read loosely: to find a message again that could not be taken in."""

import functools
from collections.abc import Iterable
from typing import Any

import msgspec

from cdp.kernel.identifiers import normalise
from consent.subjects import subject_hash
from ingestion.contracts import Identifier

KINDS = ("user_id", "anonymous_id", "email", "phone")
_FIELDS = {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "user_id"}
_TRAITS = ("email", "phone")


def people_in(payload: bytes) -> list[Identifier]:
    """The identifiers that a message names, normalised; none where it cannot be read at all."""
    try:
        message = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return []
    if not isinstance(message, dict):
        return []
    context = message.get("context")
    sources = [message.get("traits"), context.get("traits") if isinstance(context, dict) else None]
    found = [(kind, message.get(field)) for field, kind in _FIELDS.items()]
    found += [(kind, traits.get(kind)) for traits in sources if isinstance(traits, dict) for kind in _TRAITS]
    return [identifier for kind, value in found if (identifier := _identifier(kind, value))]


def hashes_of(identifiers: Iterable[Identifier]) -> list[str]:
    """How a person is known where the identifiers themselves must not be kept."""
    return sorted({_hash(kind, value) for kind, value in identifiers})


def hashes_of_anyone(text: str) -> list[str]:
    """The hashes under which somebody could be known whose identifier this is, of whatever kind."""
    return hashes_of((kind, value) for kind in KINDS if (value := normalise(kind, text)) is not None)


def _identifier(kind: str, value: Any) -> Identifier | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    spelt = normalise(kind, str(value))
    return None if spelt is None else (kind, spelt)


@functools.lru_cache(maxsize=16_384)
def _hash(kind: str, value: str) -> str:
    return subject_hash(kind, value)
