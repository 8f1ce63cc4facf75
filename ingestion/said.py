"""What we look at in the context of a message, decoded once for all who ask."""

import contextlib
from typing import Any

import msgspec

ABSENT = msgspec.Raw(b"")
Text = str | int | float | None


class Page(msgspec.Struct, frozen=True, gc=False):
    path: str | None = None
    url: str | None = None
    referrer: str | None = None
    search: str | None = None


class Library(msgspec.Struct, frozen=True, gc=False):
    name: str | None = None


class ExternalId(msgspec.Struct, frozen=True, gc=False):
    id: Text = None
    type: str | None = None
    collection: str | None = None
    encoding: str | None = None


class Strict(msgspec.Struct, frozen=True, gc=False):
    """Fields that say who is meant: of another type than they should be, they are the message's fault."""

    traits: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    externalIds: list[ExternalId] | None = None  # noqa: N815 - the wire's spelling, here and below
    groupId: Text = None  # noqa: N815


class Said(Strict, frozen=True, gc=False):
    """And fields that say how it came: of another type than libraries send, they are as if they were not there."""

    ip: str | None = None
    userAgent: str | None = None  # noqa: N815
    userAgentData: msgspec.Raw = ABSENT  # noqa: N815
    campaign: msgspec.Raw = ABSENT
    page: Page | None = None
    referrer: msgspec.Raw = ABSENT
    library: Library | None = None
    device: msgspec.Raw = ABSENT
    os: msgspec.Raw = ABSENT
    screen: msgspec.Raw = ABSENT


NOTHING = Said()

_decode = msgspec.json.Decoder(Said).decode
_decode_strict = msgspec.json.Decoder(Strict).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_said(context: bytes) -> Said:
    """Raises:
    msgspec.DecodeError: a field of `Strict` has another type.
    """
    try:
        return _decode(context)
    except msgspec.ValidationError:
        return _read_loosely(context)


def _read_loosely(context: bytes) -> Said:
    """Field by field."""
    strict = _decode_strict(context)
    fields = _decode_fields(context)
    values: dict[str, Any] = msgspec.structs.asdict(strict)
    for field in msgspec.structs.fields(Said):
        if field.name in fields and field.name not in values:
            with contextlib.suppress(msgspec.DecodeError, RecursionError):
                values[field.name] = msgspec.json.decode(fields[field.name], type=field.type)
    return Said(**values)
