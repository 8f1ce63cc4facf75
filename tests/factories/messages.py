"""What messages are decoded to."""

from typing import Any

from ingestion import messages
from ingestion.contracts import Incoming, Rejected
from tests.factories.ingestion import batch_body, inbox_row


def decode(body: bytes, **row: Any) -> list[Incoming | Rejected]:
    return list(messages.decode_row(inbox_row(body, **row)))


def decode_batch(*items: Any, **fields: Any) -> list[Incoming | Rejected]:
    return decode(batch_body(list(items), **fields))


def taken(item: Any, **fields: Any) -> Incoming:
    (found,) = decode_batch(item, **fields)
    assert isinstance(found, Incoming), found
    return found


def refused(item: Any, **fields: Any) -> Rejected:
    (found,) = decode_batch(item, **fields)
    assert isinstance(found, Rejected), found
    return found
