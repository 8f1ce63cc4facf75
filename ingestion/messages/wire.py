"""What a request holds, as it is spelt on the wire: typed where we look, raw where we only pass on."""

import hashlib
from dataclasses import dataclass

import msgspec

from ingestion.contracts import InboxRow, Person
from ingestion.nesting import decode_shallow
from ingestion.said import ABSENT, Said, Text


class Message(msgspec.Struct, gc=False):
    type: str | None = None
    messageId: Text = None  # noqa: N815 - the wire's spelling, here and below
    userId: Text = None  # noqa: N815
    anonymousId: Text = None  # noqa: N815
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: msgspec.Raw = ABSENT
    traits: msgspec.Raw = ABSENT
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    previousId: Text = None  # noqa: N815
    groupId: Text = None  # noqa: N815
    timestamp: str | None = None
    originalTimestamp: str | None = None  # noqa: N815
    sentAt: str | None = None  # noqa: N815


class Batch(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw]
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    sentAt: str | None = None  # noqa: N815
    writeKey: str | None = None  # noqa: N815


class TypedBatch(msgspec.Struct, gc=False):
    """The same with its messages decoded, as nearly every batch can be."""

    batch: list[Message]
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    sentAt: str | None = None  # noqa: N815


class _Envelope(msgspec.Struct, gc=False):
    writeKey: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Frame:
    """What all messages of one row have in common."""

    row: InboxRow
    hasher: "hashlib.blake2b"
    kind: str | None  # the route says it, except of a batch
    received: int
    context: bytes
    said: Said
    contexts: dict[bytes, tuple[bytes, Said]]  # by a message's own: laid over the common one, and what both say
    people: dict[tuple[Text, Text], Person]  # by user id and anonymous id
    sent_at: str | None
    clocks_agree: bool
    plain: bool
    allow_future: bool


decode_message = msgspec.json.Decoder(Message).decode
decode_batch = msgspec.json.Decoder(Batch).decode
decode_typed_batch = msgspec.json.Decoder(TypedBatch).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def split_batch(body: bytes) -> tuple[list[msgspec.Raw], str | None]:
    """The messages of a batch, each still as bytes, and the write key if the body carries one."""
    batch = decode_shallow(decode_batch, body)
    return batch.batch, batch.writeKey


def write_key_of(body: bytes) -> str | None:
    """The write key that a single message carries in its body."""
    return decode_shallow(_decode_envelope, body).writeKey
