"""Messages as SDKs send them, sources, and rows of the inbox."""

import itertools
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import factory

from ingestion.contracts import InboxRow
from ingestion.models import Source

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

_rows = itertools.count(1)


class SourceFactory(factory.django.DjangoModelFactory[Source]):
    class Meta:
        model = Source

    slug = factory.Sequence(lambda number: f"source-{number}")
    name = factory.LazyAttribute(lambda source: source.slug.title())
    created_at = NOW


def message(**fields: Any) -> dict[str, Any]:
    """A valid track message; `fields` replace or add, a field given as `...` is left out."""
    base = {"type": "track", "event": "Product Viewed", "messageId": str(uuid.uuid4()), "userId": "u-1"}
    return {key: value for key, value in (base | fields).items() if value is not ...}


def track(event: str, **fields: Any) -> dict[str, Any]:
    return message(event=event, **fields)


def identify(**fields: Any) -> dict[str, Any]:
    return message(**({"type": "identify", "event": ...} | fields))


def batch_body(messages: list[Any], **fields: Any) -> bytes:
    return json.dumps({"batch": messages} | fields).encode()


def inbox_row(
    body: bytes, *, kind: str = "batch", received_at: datetime = NOW, source_id: int = 1, id_: int | None = None
) -> InboxRow:
    """A row as the drain claims it, without a database."""
    return InboxRow(
        id=next(_rows) if id_ is None else id_,
        source_id=source_id,
        received_at=received_at,
        kind=kind,
        events=1,
        remote_addr="",
        body=body,
    )
