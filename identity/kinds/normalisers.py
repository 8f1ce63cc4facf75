"""Ways to spell the values of a kind. Pure: text in, the one spelling out, or None where it can be none.

What arrives here was spelt at the door already (`cdp.kernel.identifiers`): Unicode NFC, no outer spaces, at most 254
characters, no control characters, none of the values that mean nobody. Every normaliser is idempotent.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import phonenumbers

from cdp.kernel.identifiers import spell_email, spell_phone

Options = Mapping[str, Any]
Spell = Callable[[str], str | None]

GOOGLE = frozenset({"gmail.com", "googlemail.com"})
REGIONS = tuple(sorted(phonenumbers.SUPPORTED_REGIONS))


@dataclass(frozen=True, slots=True)
class Normaliser:
    """`make` gives the function for some options; `options` are the names it knows, with what each does."""

    name: str
    label: str
    description: str
    example: tuple[str, str]
    make: Callable[[Options], Spell]
    options: Mapping[str, str] = field(default_factory=dict)


def _exact(_options: Options) -> Spell:
    return lambda text: text


def _casefold(_options: Options) -> Spell:
    return lambda text: text.casefold()


def _squeezed(_options: Options) -> Spell:
    return lambda text: "".join(text.split()) or None


def _email(options: Options) -> Spell:
    dots, tags = bool(options.get("gmail_dots")), bool(options.get("plus_tags"))

    def spell(text: str) -> str | None:
        address = spell_email(text)
        if address is None or not (dots or tags):
            return address
        local, domain = address.rsplit("@", 1)
        if domain in GOOGLE:
            domain = "gmail.com" if dots else domain
            local = local.replace(".", "") if dots else local
        if tags:
            local = local.split("+", 1)[0]
        return f"{local}@{domain}" if local else address

    return spell


def _phone(options: Options) -> Spell:
    region = options.get("country") or None
    return lambda text: spell_phone(text, region=region)


def _digits(_options: Options) -> Spell:
    return lambda text: "".join(str(int(letter)) for letter in text if letter.isdecimal()) or None


def _alphanumeric(_options: Options) -> Spell:
    return lambda text: "".join(letter for letter in text.upper() if letter.isalnum()) or None


_UUID = re.compile(r"(?:urn:uuid:)?\{?([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})\}?", re.IGNORECASE)


def _uuid(_options: Options) -> Spell:
    def spell(text: str) -> str | None:
        found = _UUID.fullmatch(text)
        return str(uuid.UUID(found[1])) if found else None

    return spell


NORMALISERS: Mapping[str, Normaliser] = {
    one.name: one
    for one in (
        Normaliser(
            "exact",
            "As it is sent",
            "Outer spaces are removed and composed letters are one; upper and lower case differ.",
            (" AbC-1 ", "AbC-1"),
            _exact,
        ),
        Normaliser("casefold", "Lower case", "Upper and lower case are one.", ("Ab-12", "ab-12"), _casefold),
        Normaliser("squeezed", "Without spaces", "Spaces anywhere are removed.", ("DE 12 34", "DE1234"), _squeezed),
        Normaliser(
            "email",
            "E-mail address",
            "Lower case; what is no address is refused.",
            ("Ann@Example.org", "ann@example.org"),
            _email,
            {
                "gmail_dots": "Gmail ignores dots, and googlemail.com is gmail.com: so do we",
                "plus_tags": "Drop what follows a plus sign (ann+shop@… is ann@…)",
            },
        ),
        Normaliser(
            "phone",
            "Telephone number",
            "International form (E.164); what is no possible number is refused.",
            ("+49 (171) 555 01 23", "+491715550123"),
            _phone,
            {"country": "Country of numbers that are sent without one"},
        ),
        Normaliser("digits", "Digits only", "Everything but digits is removed.", ("No. 12-34", "1234"), _digits),
        Normaliser(
            "alphanumeric",
            "Card or customer number",
            "Upper case, letters and digits only.",
            ("ab-12 34", "AB1234"),
            _alphanumeric,
        ),
        Normaliser(
            "uuid",
            "UUID",
            "Lower case with hyphens, whether sent with braces, without hyphens, or as a URN; nothing else passes.",
            ("{6BA7B8109DAD11D180B400C04FD430C8}", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
            _uuid,
        ),
    )
}

FIXED = {"email": "email", "phone": "phone"}
"""Kinds whose values are read from traits at the door by this normaliser, so that no other would see them as sent."""
