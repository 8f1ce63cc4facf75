"""JSON objects that are passed on as the bytes that came: checked, laid over each other, looked into."""

from typing import Any

import msgspec

from ingestion.errors import BadMessageError
from ingestion.messages.storable import storable_json
from ingestion.nesting import MAX_DEPTH, is_too_deep
from ingestion.said import ABSENT

EMPTY = b"{}"

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def decode_object(data: bytes) -> dict[str, Any]:
    """The properties of a message, opened."""
    return _decode_object(data)


def object_bytes(raw: msgspec.Raw | bytes, path: str, *, plain: bool) -> bytes:
    """A JSON object as bytes that jsonb can keep; `null` and absent are an empty one.

    `plain` says that it is known to have no escapes that jsonb refuses, as nearly all have none.
    """
    if raw is ABSENT:
        return EMPTY
    data = bytes(raw)
    if data[:1] == b"{":
        # To find a bracket, or none, is much faster than to count them: most objects hold no other.
        if (data.find(b"{", 1) > 0 or b"[" in data) and is_too_deep(data):
            raise BadMessageError(
                f"{path[1:]} nests more than {MAX_DEPTH} levels.", code="nested_too_deeply", path=path
            )
        return data if plain else storable_json(data)
    if data in {b"", b"null"}:
        return EMPTY
    raise BadMessageError(f"{path[1:]} must be an object.", code="object_expected", path=path)


def lay_over(mine: bytes, common: bytes) -> bytes:
    """Two objects as one, in which `mine` wins.

    Written one after the other: of a key that comes twice, jsonb (and every reader here) keeps the last.
    """
    if common == EMPTY or is_blank(common):
        return mine
    if is_blank(mine):
        return common
    return b"%b,%b" % (common[:-1], mine[1:])


def is_blank(data: bytes) -> bool:
    """Whether an object has nothing but space inside."""
    return data == EMPTY or data[1:-1].isspace()
