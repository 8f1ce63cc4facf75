"""Messages that are turned away, with the reason in words, as a code and as a path."""

from datetime import datetime

import msgspec

from ingestion.contracts import InboxRow, Incoming, Rejected
from ingestion.errors import BadMessageError
from ingestion.messages.storable import storable_text
from ingestion.nesting import MAX_DEPTH

MAX_MESSAGE_ID = 100
MAX_NAME = 200


def reject(event: Incoming, *, received_at: datetime, code: str, message: str, path: str = "") -> Rejected:
    """Turn a decoded message away after all, for example since it could not be stored."""
    return Rejected(
        source_id=event.source_id,
        received_at=received_at,
        message_id=""
        if event.message_id == made_up_id(event.row.id, event.place)
        else storable_text(event.message_id),
        event=storable_text(event.name),
        code=code,
        path=path[:200],
        message=storable_text(message)[:500],
        payload=event.payload,
        row=event.row,
        place=event.place,
    )


def reject_bytes(row: InboxRow, payload: bytes, error: BadMessageError, place: int = -1) -> Rejected:
    message_id, event = _labels(payload)
    return Rejected(
        source_id=row.source_id,
        received_at=row.received_at,
        message_id=message_id,
        event=event,
        code=error.code,
        path=error.path[:200],
        message=storable_text(error.message)[:500],
        payload=payload,
        row=row,
        place=place,
    )


def _labels(payload: bytes) -> tuple[str, str]:
    """The messageId and event name of a message that may be anything, to find it again by."""
    try:
        loose = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(loose, dict):
        return "", ""
    return (
        storable_text(str(loose.get("messageId") or ""))[:MAX_MESSAGE_ID],
        storable_text(str(loose.get("event") or loose.get("type") or ""))[:MAX_NAME],
    )


def made_up_id(inbox_id: int, place: int) -> str:
    return f"inbox-{inbox_id}-{place}"


def wrong_type(error: Exception, *, inside: str = "") -> BadMessageError:
    """Turn msgspec's "Expected `str`, got `int` - at `$.userId`" into our code and path."""
    text, _, place = str(error).partition(" - at `")
    path = place.rstrip("`").replace("$", "").replace(".", "/").replace("[", "/").replace("]", "")
    return BadMessageError(text, code="type_mismatch", path=inside + path)


def unreadable(error: Exception) -> BadMessageError:
    if isinstance(error, msgspec.ValidationError):
        return wrong_type(error)
    if isinstance(error, RecursionError):
        return BadMessageError(f"The message nests more than {MAX_DEPTH} levels.", code="nested_too_deeply")
    return BadMessageError(f"This message is not JSON: {error}", code="json_invalid")
