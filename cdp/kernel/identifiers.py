"""Identifier kinds and how their values are spelt, so that the same person is found under every spelling."""

import re
import unicodedata

MAX_LENGTH = 254

# Values that SDKs and shops send when they mean nobody.
BLOCKED = frozenset(
    {
        "",
        "null",
        "undefined",
        "none",
        "nil",
        "nan",
        "anonymous",
        "guest",
        "unknown",
        "-1",
        "true",
        "false",
        "[object object]",
    }
)
_ZEROS = re.compile(r"[0\-]+")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")


def normalise(kind: str, value: str) -> str | None:
    """The one spelling of this identifier, or None where the value identifies nobody."""
    text = value if value.isascii() else unicodedata.normalize("NFC", value)
    text = text.strip()
    if not text or len(text) > MAX_LENGTH or _UNPRINTABLE.search(text):
        return None
    folded = text.casefold()
    if folded in BLOCKED or _ZEROS.fullmatch(folded):
        return None
    if kind == "email":
        return folded if len(folded) <= MAX_LENGTH and _EMAIL.fullmatch(folded) else None
    return text
