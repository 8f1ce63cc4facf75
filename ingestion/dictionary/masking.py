"""Personal data, told by class, and hidden from those who may not see it. No Django here. R: G9

`mask` hides one value and leaves enough to tell two people apart. A `Masker` hides what lies in traits, properties,
identifiers, contexts and whole messages; one that is `clear` hides nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

DOTS = "•••"
HIDDEN = "Hidden: your roles do not carry pii:read, and this cannot be read as a message."
MAX_DEPTH = 100


class Pii(StrEnum):
    """How personal a value is; the later ones are hidden further."""

    NONE = "none"
    IDENTIFIER = "identifier"
    PERSONAL = "personal"
    CONTACT = "contact"
    SENSITIVE = "sensitive"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Pii.NONE: "Not personal",
    Pii.IDENTIFIER: "Identifier",
    Pii.PERSONAL: "Personal",
    Pii.CONTACT: "Contact",
    Pii.SENSITIVE: "Sensitive",
}

_BY_NAME: dict[str, Pii] = {
    name: pii
    for pii, names in {
        Pii.CONTACT: "email e_mail mail email_address phone phone_number mobile mobile_phone telephone tel fax address"
        " street street_address address1 address2 address_line1 address_line2 postal_code postcode zip zip_code"
        " billing_address shipping_address skype whatsapp",
        Pii.PERSONAL: "name first_name last_name full_name middle_name given_name family_name surname nickname"
        " maiden_name birthday birth_date birthdate date_of_birth dob avatar photo latitude longitude lat lng lon",
        Pii.IDENTIFIER: "user_id anonymous_id customer_id loyalty_card ip ip_address remote_addr device_id"
        " advertising_id idfa idfv aaid external_id username login account_id previous_id cookie_id",
        Pii.SENSITIVE: "password passport ssn social_security_number national_id tax_id iban account_number bic"
        " credit_card card_number cvv cvc health diagnosis medication religion ethnicity political_opinion"
        " sexual_orientation union_membership disability salary",
    }.items()
    for name in names.split()
}
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_EMAIL = re.compile(r"[^@\s<>\"',;]+@[^@\s<>\"',;]+\.[^@\s<>\"',;]+")
_DIGITS = re.compile(r"\d")

Place = tuple[str, str, str]
"""`("trait", "", path)` or `("property", event, path)`."""


def default_class(path: str, *, kind: str = "trait") -> Pii:
    """What the name of a field suggests: `email`, `firstName`, `shipping.address1`; the last part that says anything.

    A `name` is a person's only as a trait of its own: events name products and pages, people name companies.
    """
    for part in reversed(path.replace("[]", "").split(".")):
        if part == "name" and (kind != "trait" or path != "name"):
            continue
        found = _BY_NAME.get(_CAPITALS.sub("_", part).lower().replace("-", "_").replace(" ", "_"))
        if found is not None:
            return found
    return Pii.NONE


def mask(value: Any, pii: Pii | str) -> Any:
    """A value as those see it who may not see it: `a•••@e•••.org`, `+49•••67`, `A•••`; lists and objects inside."""
    pii = Pii(pii)
    if pii is Pii.NONE or value is None:
        return value
    if isinstance(value, dict):
        return {key: mask(inner, pii) for key, inner in value.items()}
    if isinstance(value, list):
        return [mask(inner, pii) for inner in value]
    if pii is Pii.SENSITIVE or isinstance(value, bool):
        return DOTS
    return _mask_text(str(value), pii)


def _mask_text(text: str, pii: Pii) -> str:
    if not text or text.endswith(DOTS):
        return text
    if _EMAIL.fullmatch(text):
        return _mask_email(text)
    if pii is Pii.CONTACT and len(_DIGITS.findall(text)) >= 7 and text[:1] in "+0123456789(":
        return f"{text[:3]}{DOTS}{text[-2:]}"
    if pii is Pii.IDENTIFIER:
        return f"{text[:4]}{DOTS}" if len(text) > 6 else f"{text[:1]}{DOTS}"
    return f"{text[:1]}{DOTS}"


def _mask_email(text: str) -> str:
    local, _, domain = text.rpartition("@")
    host, _, top = domain.rpartition(".")
    return f"{local[:1]}{DOTS}@{host[:1]}{DOTS}.{top}"


def mask_emails(text: str) -> str:
    """The same text with every e-mail address in it masked."""
    return _EMAIL.sub(lambda found: _mask_email(found[0]) if DOTS not in found[0] else found[0], text)


_IDENTIFIER_CLASSES = {"email": Pii.CONTACT, "phone": Pii.CONTACT}


@dataclass(frozen=True, slots=True)
class Masker:
    """Hides what one person may not see. `classes` are those that somebody set; the others follow from the names."""

    clear: bool = False
    classes: Mapping[Place, Pii] = field(default_factory=dict)

    def traits(self, traits: Mapping[str, Any]) -> dict[str, Any]:
        return self._fields(("trait", ""), traits)

    def properties(self, event: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        return self._fields(("property", event), properties)

    def value(self, kind: str, event: str, path: str, value: Any) -> Any:
        """One value of a trait or property."""
        return value if self.clear else self._walk((kind, event), path, value, None, 0)

    def identifiers(self, identifiers: Mapping[str, Any]) -> dict[str, Any]:
        """`{kind: value}` or `{kind: [value…]}`."""
        if self.clear:
            return dict(identifiers)
        return {
            kind: mask(values, _IDENTIFIER_CLASSES.get(kind, Pii.IDENTIFIER)) for kind, values in identifiers.items()
        }

    def context(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The context of an event: traits as traits, the rest by names."""
        if self.clear:
            return dict(context)
        rest = {name: value for name, value in context.items() if name not in {"traits", "externalIds"}}
        found = self._fields(("property", "\0context"), rest)
        if isinstance(context.get("traits"), dict):
            found["traits"] = self.traits(context["traits"])
        if "externalIds" in context:
            found["externalIds"] = mask(context["externalIds"], Pii.IDENTIFIER)
        return found

    def message(self, message: Any, *, event: str = "") -> Any:
        """A message as it is sent in or out: traits, properties and identifiers, wherever they lie in it."""
        return message if self.clear else self._message(message, event, 0)

    def text(self, payload: str) -> str:
        """The text of a message; hidden whole where it is not JSON."""
        if self.clear:
            return payload
        try:
            return json.dumps(self.message(json.loads(payload)), ensure_ascii=False, indent=2)
        except (ValueError, RecursionError):
            return HIDDEN

    def _message(self, value: Any, event: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return DOTS
        if isinstance(value, list):
            return [self._message(inner, event, depth + 1) for inner in value]
        if not isinstance(value, dict):
            return mask_emails(value) if isinstance(value, str) else value
        event = value["event"] if isinstance(value.get("event"), str) else event
        return {key: self._part(key, inner, event, depth) for key, inner in value.items()}

    def _part(self, key: str, value: Any, event: str, depth: int) -> Any:
        if isinstance(value, dict):
            match key:
                case "traits":
                    return self.traits(value)
                case "properties":
                    return self.properties(event, value)
                case "context":
                    return self.context(value)
                case "identifiers":
                    return self.identifiers(value)
        elif (pii := default_class(key, kind="property")) is not Pii.NONE:
            return mask(value, pii)
        return self._message(value, event, depth + 1)

    def _fields(self, where: tuple[str, str], fields: Mapping[str, Any]) -> dict[str, Any]:
        if self.clear:
            return dict(fields)
        return {name: self._walk(where, name, value, None, 0) for name, value in fields.items()}

    def _walk(self, where: tuple[str, str], path: str, value: Any, inherited: Pii | None, depth: int) -> Any:
        """What somebody said of the field itself, else of what holds it, else what names suggest."""
        stated = self.classes.get((*where, path), inherited)
        if depth > MAX_DEPTH:
            return DOTS
        if isinstance(value, dict):
            return {key: self._walk(where, f"{path}.{key}", inner, stated, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._walk(where, f"{path}[]", inner, stated, depth + 1) for inner in value]
        pii = default_class(path, kind=where[0]) if stated is None else stated
        if pii is Pii.NONE and stated is None and isinstance(value, str):
            return mask_emails(value)
        return mask(value, pii)


CLEAR = Masker(clear=True)
