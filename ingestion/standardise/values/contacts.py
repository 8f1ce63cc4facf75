"""E-mail addresses and phone numbers."""

from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from ingestion.standardise.values.contracts import BadOptionsError, Options, Standardiser, Unreadable


class EmailOptions(Options, frozen=True):
    pass


def email(_options: EmailOptions) -> Standardiser:
    """`Anna <Anna@EXAMPLE.org>` → `anna@example.org`. Nothing is asked of the network."""
    return _email


def _email(value: Any) -> Any:
    if not isinstance(value, str):
        return Unreadable("not text")
    text = value.strip()
    if text[:7].lower() == "mailto:":
        text = text[7:].strip()
    try:
        found = validate_email(text, check_deliverability=False, allow_display_name=True)
    except EmailNotValidError:
        return Unreadable("not an e-mail address")
    return found.normalized.lower()


class PhoneOptions(Options, frozen=True):
    region: str = ""
    """Where numbers without a country code belong: `DE`. Without it they cannot be read."""


def phone(options: PhoneOptions) -> Standardiser:
    """`0170 1234567` → `+491701234567` (E.164), of numbers that the plan of their country knows."""
    region = options.region.upper() or None
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise BadOptionsError(f"{options.region!r} is no region of phones.", code="region_unknown", path="/region")

    def standardise(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int):
            return Unreadable("not a phone number")
        text = str(value).strip()
        try:
            number = phonenumbers.parse(text[4:] if text[:4].lower() == "tel:" else text, region)
        except phonenumbers.NumberParseException as error:
            lacks_country = error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
            return Unreadable("no country code" if lacks_country and not region else "not a phone number")
        if not phonenumbers.is_valid_number(number):
            return Unreadable("no such phone number")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)

    return standardise
