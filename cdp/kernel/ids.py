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
    hasher = _of_source(source_id).copy()
    hasher.update(message_id.encode("utf-8", "surrogatepass"))
    digest = bytearray(hasher.digest())
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return bytes(digest)


@functools.lru_cache(maxsize=1_024)
def _of_source(source_id: int) -> "hashlib.blake2b":
    """The hash of nothing, keyed with a source: copying it is cheaper than keying anew."""
    return hashlib.blake2b(digest_size=16, key=source_id.to_bytes(8, "big"))
