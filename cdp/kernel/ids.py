"""Ids that are computed rather than drawn, so that a repeated message is recognised."""

import functools
import hashlib
import uuid
from collections.abc import Iterable


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
    return hashed_uuids(hasher, [text])[0]


def hashed_uuids(hasher: "hashlib.blake2b", texts: Iterable[str]) -> list[bytes]:
    """The same of many texts, whose bits are set all at once."""
    start, digests = hasher.copy, []
    for text in texts:
        own = start()
        own.update(text.encode("utf-8", "surrogatepass"))
        digests.append(own.digest())
    joined = bytearray(b"".join(digests))
    joined[6::16] = joined[6::16].translate(_VERSION)
    joined[8::16] = joined[8::16].translate(_VARIANT)
    ids = bytes(joined)
    return [ids[place : place + 16] for place in range(0, len(ids), 16)]


_VERSION = bytes(byte & 0x0F | 0x80 for byte in range(256))
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))


@functools.lru_cache(maxsize=1_024)
def source_hasher(source_id: int) -> "hashlib.blake2b":
    """The hash of nothing, keyed with a source: copying it is cheaper than keying anew."""
    return hashlib.blake2b(digest_size=16, key=source_id.to_bytes(8, "big"))
