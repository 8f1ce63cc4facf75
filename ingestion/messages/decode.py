"""From the row of a request to its messages."""

import functools
from collections.abc import Sequence

import msgspec

from cdp.kernel.copy import timestamp_micros
from cdp.kernel.ids import hashed_uuid, hashed_uuids, source_hasher
from ingestion.contracts import NOBODY, InboxRow, Incoming, Rejected
from ingestion.errors import BadMessageError
from ingestion.messages.contents import (
    contexts_over,
    group_of,
    properties_of,
    read_context,
    said_in,
    shared_context,
    traits_of,
    with_integrations,
)
from ingestion.messages.identifiers import identifiers_of, known_people, people_named, person_of
from ingestion.messages.numbers import promoted_numbers
from ingestion.messages.objects import object_bytes
from ingestion.messages.refusals import MAX_MESSAGE_ID, MAX_NAME, made_up_id, reject_bytes, unreadable
from ingestion.messages.storable import storable_text
from ingestion.messages.times import clocks_agree, event_time
from ingestion.messages.wire import Batch, Frame, Message, TypedBatch, decode_batch, decode_message, decode_typed_batch
from ingestion.nesting import decode_shallow
from ingestion.said import ABSENT

TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})
FIXED_NAMES = {
    "identify": "Identify",
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "group": "Group",
    "alias": "Alias",
}


def decode_row(row: InboxRow, *, allow_future: bool = False) -> list[Incoming | Rejected]:
    """Every message of an inbox row, decoded or rejected, in the order they were sent."""
    try:
        frame, messages = _open(row, allow_future=allow_future)
    except (ValueError, RecursionError) as error:
        return [reject_bytes(row, row.body, unreadable(error))]
    except BadMessageError as error:
        return [reject_bytes(row, payload, error, place) for place, payload in enumerate(row.payloads(), row.first)]
    found: list[Incoming | Rejected] = []
    for index, (message, id_) in enumerate(zip(messages, _ids_of(messages, frame), strict=True), row.first):
        try:
            opened = message if isinstance(message, Message) else decode_shallow(decode_message, bytes(message))
            found.append(_incoming(opened, frame, index, id_))
        except BadMessageError as error:
            found.append(reject_bytes(row, row.payload(index), error, index))
        except (ValueError, RecursionError) as error:
            found.append(reject_bytes(row, row.payload(index), unreadable(error), index))
    return found


def _ids_of(messages: Sequence[Message | msgspec.Raw], frame: Frame) -> Sequence[bytes | None]:
    """The ids of the events that messages name, all at once; none where messages are not opened yet."""
    named = [message.messageId for message in messages if isinstance(message, Message)]
    if len(named) < len(messages):
        return [None] * len(messages)
    return hashed_uuids(frame.hasher, [text if type(text) is str else "" for text in named])


def _open(row: InboxRow, *, allow_future: bool) -> tuple[Frame, Sequence[Message | msgspec.Raw]]:
    """What the messages have in common, and all of them decoded at once; where one of them cannot be, all as bytes."""
    outline: Batch | TypedBatch = Batch(batch=[])
    messages: Sequence[Message | msgspec.Raw] = [msgspec.Raw(row.body)]
    if not row.is_batch:
        outline = _outline_of_one(row)
    else:
        try:
            outline = decode_typed_batch(row.body)
        except (ValueError, RecursionError):
            outline = decode_shallow(decode_batch, row.body)
        messages = outline.batch
    plain = _is_plain(row.body) and _is_plain(bytes(outline.context))
    context = shared_context(outline, plain=plain)
    frame = Frame(
        row=row,
        kind=None if row.kind == "batch" else row.kind,
        hasher=source_hasher(row.source_id),
        received=timestamp_micros(row.received_at),
        context=context,
        said=said_in(context),
        contexts=contexts_over(context, plain=plain),
        people=known_people(),
        sent_at=outline.sentAt or None,
        clocks_agree=clocks_agree(outline.sentAt or None, row.received_at),
        plain=plain,
        allow_future=allow_future,
    )
    return frame, messages


def _is_plain(data: bytes) -> bool:
    """One byte is found much faster than two, and hardly anybody escapes anything."""
    return b"\\" not in data or b"\\u" not in data


def _outline_of_one(row: InboxRow) -> Batch:
    """A message by itself has no more around it than its batch had, if it is one that is replayed."""
    if row.held is None:
        return Batch(batch=[])
    return Batch(batch=[], context=msgspec.Raw(row.held.context), sentAt=row.held.sent_at)


def outline_of(row: InboxRow) -> tuple[bytes, str | None]:
    """The context and the time of sending that a batch gives to all of its messages, for them to be decoded again.

    A context that is none, for which all of them were turned away, is left out, so that they can be replayed.
    """
    if not row.is_batch:
        return (row.held.context, row.held.sent_at) if row.held else (b"", None)
    try:
        batch = decode_shallow(decode_batch, row.body)
        return shared_context(batch, plain=False), batch.sentAt or None
    except (ValueError, RecursionError, BadMessageError):
        return b"", None


def _incoming(message: Message, frame: Frame, index: int, id_: bytes | None) -> Incoming:
    """Every message passes here: what most of them need stands in line, and calls only what is rare.

    `id_` is that of its messageId, if that is a text of the right length and was looked at before.

    1. What it is; 2. what it says; 3. who it is about; 4. when it happened.
    """
    plain = frame.plain
    kind = message.type or frame.kind
    name = event_name_of(message.event or "") if kind == "track" else FIXED_NAMES.get(kind or "")
    if kind is None or name is None:
        raise _bad_type(kind)
    message_id = message.messageId
    if id_ is None or type(message_id) is not str or not 0 < len(message_id) <= MAX_MESSAGE_ID:
        message_id = message_id_of(message, frame.row.id, index)
        id_ = hashed_uuid(frame.hasher, message_id)
    context, said = frame.context, frame.said
    if message.context is not ABSENT:
        mine = bytes(message.context)
        context, said = frame.contexts.get(mine) or read_context(mine, frame)
    if message.integrations is not ABSENT:
        context = with_integrations(message.integrations, context, said, plain=plain)
    traits = group = None
    if kind == "identify" or message.traits is not ABSENT or said.traits is not ABSENT:
        traits = traits_of(message, said, kind, plain=plain)
    if kind == "group" or said.groupId is not None:
        group, context = group_of(message, said, kind, context)
    if kind == "track":
        properties = object_bytes(message.properties, "/properties", plain=plain)
    else:
        properties = properties_of(message, kind, plain=plain)
    if traits or said.externalIds or kind == "alias":
        person = person_of(identifiers_of(message, traits, said, kind))
    else:
        user, visitor = message.userId, message.anonymousId
        person = frame.people.get((user, visitor)) or people_named(user, visitor)
    if person is NOBODY:
        raise _nobody()
    return Incoming(
        frame.row.source_id,
        kind,
        name,
        message_id,
        id_,
        event_time(message, frame),
        frame.received,
        person,
        properties,
        context,
        traits if kind == "identify" else None,
        promoted_numbers(properties),
        frame.row,
        index,
        said,
        group=group,
    )


def _nobody() -> BadMessageError:
    return BadMessageError(
        "A message needs a userId, an anonymousId or an e-mail that can identify somebody.",
        code="identifier_missing",
        path="/userId",
    )


def _bad_type(kind: str | None) -> BadMessageError:
    if kind is None:
        return BadMessageError("A message needs a type.", code="type_missing", path="/type")
    expected = ", ".join(sorted(TYPES))
    return BadMessageError(f"The type {kind[:40]!r} is not one of {expected}.", code="type_unknown", path="/type")


@functools.lru_cache(maxsize=4_096)
def event_name_of(text: str) -> str:
    name = text.strip()
    if not name:
        raise BadMessageError("A track message needs the name of its event.", code="event_missing", path="/event")
    if len(name) > MAX_NAME:
        raise BadMessageError(
            f"The event name is longer than {MAX_NAME} characters.", code="event_too_long", path="/event"
        )
    return storable_text(name)


def message_id_of(message: Message, inbox_id: int, index: int) -> str:
    """The sender's id; without one, the place in the inbox, which is the same on every try at this row."""
    if message.messageId is None or message.messageId == "":
        return made_up_id(inbox_id, index)
    text = str(message.messageId)
    if len(text) > MAX_MESSAGE_ID:
        raise BadMessageError(
            f"The messageId is longer than {MAX_MESSAGE_ID} characters.",
            code="message_id_too_long",
            path="/messageId",
        )
    return text
