"""Ids that are computed rather than drawn, so that a repeated message is recognised."""

import functools
import hashlib
import uuid


def message_uuid(*, source_id: int, message_id: str) -> uuid.UUID:
    """The id of an event: the same message of the same source always has the same one.

    128 bits of BLAKE2b over source and messageId; version and variant bits are set as RFC 9562
    asks of custom ids (version 8).
    """
    return uuid.UUID(bytes=message_uuid_bytes(source_id=source_id, message_id=message_id))


def message_uuid_bytes(*, source_id: int, message_id: str) -> bytes:
    """`message_uuid` as its 16 bytes, for the write path."""
    return hashed_uuid(source_hasher(source_id), message_id)


def hashed_uuid(hasher: "hashlib.blake2b", text: str) -> bytes:
    """The same of whatever the hasher of a source has seen, and this text."""
    own = hasher.copy()
    own.update(text.encode("utf-8", "surrogatepass"))
    return (int.from_bytes(own.digest(), "big") & _RANDOM | _MARKS).to_bytes(16, "big")


_MARKS = 0x8 << 76 | 0b10 << 62
_RANDOM = ~(0xF << 76 | 0b11 << 62) & 2**128 - 1


@functools.lru_cache(maxsize=1_024)
def source_hasher(source_id: int) -> "hashlib.blake2b":
    """The hash of nothing, keyed with a source: copying it is cheaper than keying anew."""
    return hashlib.blake2b(digest_size=16, key=source_id.to_bytes(8, "big"))
