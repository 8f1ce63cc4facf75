"""What PostgreSQL can keep of text and of JSON."""

import json
import re
from typing import Any

from ingestion.errors import BadMessageError

# What JSON allows and jsonb does not: the NUL character, and surrogates that have no partner.
_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")
_UNSTORABLE_TEXT = re.compile("[\x00\ud800-\udfff]")

# A backslash that is itself escaped, a surrogate pair, or a surrogate alone: only the last is replaced.
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def replace_lone_surrogates(body: bytes) -> bytes:
    r"""Browsers send half an emoji as ``\ud83d``, which is JSON but no text: U+FFFD takes its place."""
    if b"\\" not in body:  # one byte is found forty times as fast as three
        return body
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _SURROGATES.sub(lambda found: b"\\ufffd" if len(found[0]) == len(b"\\ud800") else found[0], body)


def storable_json(data: bytes) -> bytes:
    """Replace what jsonb refuses (NUL, lone surrogates) by U+FFFD; the same bytes where there is nothing such."""
    if b"\\u" not in data or not _UNSTORABLE.search(data):
        return data
    try:
        cleaned = _clean(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"This message is not JSON: {error}", code="json_invalid") from None
    return json.dumps(cleaned, ensure_ascii=False, separators=(",", ":")).encode()


def storable_text(text: str) -> str:
    return _UNSTORABLE_TEXT.sub("\ufffd", text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
