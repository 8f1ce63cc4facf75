"""Identifier kinds and how their values are spelt, so that the same person is found under every spelling."""

import re
import unicodedata

import phonenumbers

MAX_LENGTH = 254

# What only Tributary itself may make an identifier of: the statement of an alias message, the key of an account.
RESERVED_KINDS = frozenset({"previous_id", "group_id"})

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
_KIND = re.compile(r"[a-z0-9][a-z0-9_.-]{0,29}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")


_home: dict[str, str | None] = {"region": None}


def read_phones_of(region: str | None) -> bool:
    """From now on, numbers that are sent without a country are of this one (ISO 3166-1 alpha-2).

    Returns whether that is news to this process: what it remembers of messages is out of date then.
    """
    changed = _home["region"] != region
    _home["region"] = region
    return changed


def normalise(kind: str, value: str) -> str | None:
    """How this identifier is read at the door and known to consent, or None where the value identifies nobody.

    Configuration can only make more values one from here on (`identity.kinds`): a recorded choice stays findable.
    """
    text = value if value.isascii() else unicodedata.normalize("NFC", value)
    text = text.strip()
    if not text or len(text) > MAX_LENGTH or _UNPRINTABLE.search(text):
        return None
    folded = text.casefold()
    if folded in BLOCKED or _ZEROS.fullmatch(folded):
        return None
    if kind == "email":
        return spell_email(folded)
    if kind == "phone":
        return spell_phone(text, region=_home["region"])
    return text


def spell_email(text: str) -> str | None:
    """An e-mail address in lower case; None where it is none."""
    folded = text.casefold()
    return folded if len(folded) <= MAX_LENGTH and _EMAIL.fullmatch(folded) else None


def external_kind(text: str) -> str | None:
    """The kind that an external id's type names, in its one spelling; None where it cannot be one."""
    kind = text.strip().lower()
    return kind if _KIND.fullmatch(kind) and kind not in RESERVED_KINDS else None


def spell_phone(text: str, *, region: str | None = None) -> str | None:
    """A telephone number in international form, as digits after a plus; without its country it names nobody."""
    if not text.startswith("+") and region is None:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    spelt = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    # With a country given, some strings of zeros would be read once more as another number: they are none.
    return spelt if region is None or spell_phone(spelt) == spelt else None
