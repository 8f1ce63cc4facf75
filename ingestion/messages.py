"""From the bytes of a request to messages. One bad message never spoils its neighbours.

Decoding is typed where we look (msgspec structs) and raw where we only pass on: properties and context reach
PostgreSQL as the bytes that came, unless PostgreSQL could not keep them (`storable_json`).
"""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cdp.kernel.copy import timestamp_micros
from cdp.kernel.identifiers import external_kind, normalise
from cdp.kernel.ids import message_uuid_bytes
from ingestion.contracts import Identifier, InboxRow, Incoming, Rejected
from ingestion.errors import BadMessageError
from ingestion.nesting import MAX_DEPTH, decode_shallow, is_too_deep
from ingestion.said import ABSENT, NOTHING, ExternalId, Said, Text, read_said

TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})
FIXED_NAMES = {
    "identify": "Identify",
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "group": "Group",
    "alias": "Alias",
}
VALUE_PROPERTIES = ("revenue", "total", "price", "value")

MAX_MESSAGE_ID = 100
MAX_NAME = 200
OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCKS_AGREE = timedelta(minutes=1)
MINUTE = 60_000_000
FUTURE = 5 * 366 * 24 * 60 * MINUTE  # how far ahead an event may lie where its source allows that
MAX_EXTERNAL_IDS = 10
CONTACTS = ("email", "phone")

EMPTY = b"{}"


class _Message(msgspec.Struct, gc=False):
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


class _Batch(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw]
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    sentAt: str | None = None  # noqa: N815
    writeKey: str | None = None  # noqa: N815


class _TypedBatch(msgspec.Struct, gc=False):
    """The same with its messages decoded, as nearly every batch can be."""

    batch: list[_Message]
    context: msgspec.Raw = ABSENT
    integrations: msgspec.Raw = ABSENT
    sentAt: str | None = None  # noqa: N815


class _Envelope(msgspec.Struct, gc=False):
    writeKey: str | None = None  # noqa: N815


class _Numbers(msgspec.Struct, gc=False):
    revenue: Any = None
    total: Any = None
    price: Any = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all messages of one row have in common."""

    row: InboxRow
    kind: str | None  # the route says it, except of a batch
    received: int
    context: bytes
    said: Said
    sent_at: str | None
    plain: bool
    allow_future: bool


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_typed_batch = msgspec.json.Decoder(_TypedBatch).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_numbers = msgspec.json.Decoder(_Numbers).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

# What JSON allows and jsonb does not: the NUL character, and surrogates that have no partner.
_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")
_UNSTORABLE_TEXT = re.compile("[\x00\ud800-\udfff]")


# A backslash that is itself escaped, a surrogate pair, or a surrogate alone: only the last is replaced.
_SURROGATES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def replace_lone_surrogates(body: bytes) -> bytes:
    r"""Browsers send half an emoji as ``\ud83d``, which is JSON but no text: U+FFFD takes its place."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _SURROGATES.sub(lambda found: b"\\ufffd" if len(found[0]) == len(b"\\ud800") else found[0], body)


def split_batch(body: bytes) -> tuple[list[msgspec.Raw], str | None]:
    """The messages of a batch, each still as bytes, and the write key if the body carries one."""
    batch = decode_shallow(_decode_batch, body)
    return batch.batch, batch.writeKey


def decode_object(data: bytes) -> dict[str, Any]:
    """The properties of a message, opened."""
    return _decode_object(data)


def write_key_of(body: bytes) -> str | None:
    """The write key that a single message carries in its body."""
    return decode_shallow(_decode_envelope, body).writeKey


def decode_row(row: InboxRow, *, allow_future: bool = False) -> Iterator[Incoming | Rejected]:
    """Every message of an inbox row, decoded or rejected, in the order they were sent."""
    try:
        frame, messages = _open(row, allow_future=allow_future)
    except (ValueError, RecursionError) as error:
        yield _reject(row, row.body, _unreadable(error))
        return
    except BadMessageError as error:
        yield from (_reject(row, payload, error, place) for place, payload in enumerate(row.payloads(), row.first))
        return
    for index, message in enumerate(messages, row.first):
        try:
            if isinstance(message, _Message):
                yield _incoming(message, frame, index)
            else:
                yield _incoming(decode_shallow(_decode_message, bytes(message)), frame, index)
        except BadMessageError as error:
            yield _reject(row, row.payload(index), error, index)
        except (ValueError, RecursionError) as error:
            yield _reject(row, row.payload(index), _unreadable(error), index)


def _open(row: InboxRow, *, allow_future: bool) -> tuple[_Frame, Sequence[_Message | msgspec.Raw]]:
    """What the messages have in common, and all of them decoded at once; where one of them cannot be, all as bytes."""
    outline: _Batch | _TypedBatch = _Batch(batch=[])
    messages: Sequence[_Message | msgspec.Raw] = [msgspec.Raw(row.body)]
    if not row.is_batch:
        outline = _outline_of_one(row)
    else:
        try:
            outline = _decode_typed_batch(row.body)
        except (ValueError, RecursionError):
            outline = decode_shallow(_decode_batch, row.body)
        messages = outline.batch
    plain = b"\\u" not in row.body and b"\\u" not in bytes(outline.context)
    context = _shared_context(outline, plain=plain)
    frame = _Frame(
        row=row,
        kind=None if row.kind == "batch" else row.kind,
        received=timestamp_micros(row.received_at),
        context=context,
        said=_said(context),
        sent_at=outline.sentAt or None,
        plain=plain,
        allow_future=allow_future,
    )
    return frame, messages


def _outline_of_one(row: InboxRow) -> _Batch:
    """A message by itself has no more around it than its batch had, if it is one that is replayed."""
    if row.held is None:
        return _Batch(batch=[])
    return _Batch(batch=[], context=msgspec.Raw(row.held.context), sentAt=row.held.sent_at)


def outline_of(row: InboxRow) -> tuple[bytes, str | None]:
    """The context and the time of sending that a batch gives to all of its messages, for them to be decoded again.

    A context that is none, for which all of them were turned away, is left out, so that they can be replayed.
    """
    if not row.is_batch:
        return (row.held.context, row.held.sent_at) if row.held else (b"", None)
    try:
        batch = decode_shallow(_decode_batch, row.body)
        return _shared_context(batch, plain=False), batch.sentAt or None
    except (ValueError, RecursionError, BadMessageError):
        return b"", None


def reject(event: Incoming, *, received_at: datetime, code: str, message: str, path: str = "") -> Rejected:
    """Turn a decoded message away after all, for example since it could not be stored."""
    return Rejected(
        source_id=event.source_id,
        received_at=received_at,
        message_id=""
        if event.message_id == _made_up_id(event.row.id, event.place)
        else storable_text(event.message_id),
        event=storable_text(event.name),
        code=code,
        path=path[:200],
        message=storable_text(message)[:500],
        payload=event.payload,
        row=event.row,
        place=event.place,
    )


def _incoming(message: _Message, frame: _Frame, index: int) -> Incoming:
    """Every message passes here: what most of them need stands in line, and calls only what is rare.

    1. What it is; 2. what it says; 3. who it is about; 4. when it happened.
    """
    plain = frame.plain
    kind = message.type or frame.kind
    name = _event_name(message.event or "") if kind == "track" else FIXED_NAMES.get(kind or "")
    if kind is None or name is None:
        raise _bad_type(kind)
    message_id = message.messageId
    if type(message_id) is not str or not 0 < len(message_id) <= MAX_MESSAGE_ID:
        message_id = _message_id(message, frame.row.id, index)
    context, said = frame.context, frame.said
    if message.context is not ABSENT:
        context = _over(_object_bytes(message.context, "/context", plain=plain), context)
        said = _said(context)
    if message.integrations is not ABSENT:
        context = _with_integrations(message.integrations, context, said, plain=plain)
    traits = group = None
    if kind == "identify" or message.traits is not ABSENT or said.traits is not ABSENT:
        traits = _traits(message, said, kind, plain=plain)
    if kind == "group" or said.groupId is not None:
        group, context = _grouped(message, said, kind, context)
    if kind == "track":
        properties = _object_bytes(message.properties, "/properties", plain=plain)
    else:
        properties = _properties(message, kind, plain=plain)
    if traits or said.externalIds or kind == "alias":
        people = _identifiers(message, traits, said, kind)
    else:
        people = _people(_text(message.userId), _text(message.anonymousId), None, None)
    if not people:
        raise _nobody()
    return Incoming(
        frame.row.source_id,
        kind,
        name,
        message_id,
        message_uuid_bytes(source_id=frame.row.source_id, message_id=message_id),
        _event_time(message, frame),
        frame.received,
        people,
        properties,
        context,
        traits if kind == "identify" else None,
        _numbers(properties),
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
def _event_name(text: str) -> str:
    name = text.strip()
    if not name:
        raise BadMessageError("A track message needs the name of its event.", code="event_missing", path="/event")
    if len(name) > MAX_NAME:
        raise BadMessageError(
            f"The event name is longer than {MAX_NAME} characters.", code="event_too_long", path="/event"
        )
    return storable_text(name)


def _message_id(message: _Message, inbox_id: int, index: int) -> str:
    """The sender's id; without one, the place in the inbox, which is the same on every try at this row."""
    if message.messageId is None or message.messageId == "":
        return _made_up_id(inbox_id, index)
    text = str(message.messageId)
    if len(text) > MAX_MESSAGE_ID:
        raise BadMessageError(
            f"The messageId is longer than {MAX_MESSAGE_ID} characters.",
            code="message_id_too_long",
            path="/messageId",
        )
    return text


def _made_up_id(inbox_id: int, place: int) -> str:
    return f"inbox-{inbox_id}-{place}"


def _identifiers(message: _Message, traits: dict[str, Any] | None, said: Said, kind: str) -> tuple[Identifier, ...]:
    contacts = _contacts(traits) if traits else NO_CONTACTS
    found = _people(_text(message.userId), _text(message.anonymousId), *contacts)
    if said.externalIds:
        found = tuple(dict.fromkeys((*found, *_external_ids(said.externalIds))))
    if kind == "alias":
        found = _with_previous(message, found)
    return found


def renew_identifiers(identifiers: tuple[Identifier, ...], traits: dict[str, Any]) -> tuple[Identifier, ...]:
    """Who is meant after the traits have changed. A message never loses the last that identifies."""
    others = tuple(known for known in identifiers if known[0] not in CONTACTS)
    return (*others, *_people(None, None, *_contacts(traits))) or identifiers


NO_CONTACTS = (None, None)


def _contacts(traits: dict[str, Any]) -> tuple[str | None, ...]:
    """The e-mail address and the telephone number among the traits of a person, which identify too."""
    return tuple(value if isinstance(value := traits.get(kind), str) else None for kind in CONTACTS)


def _external_ids(items: list[ExternalId]) -> Iterator[Identifier]:
    """Ids of other systems, as far as they are spelt in a way that can identify somebody."""
    for item in items[:MAX_EXTERNAL_IDS]:
        kind = external_kind(item.type or "")
        if kind is not None and item.id is not None and item.collection in {None, "users"}:
            value = normalise(kind, str(item.id))
            if value is not None:
                yield kind, value


def _with_previous(message: _Message, found: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    """Who the user of an alias message was before: see docs/decisions/0003-an-alias-is-a-statement.md."""
    if not found or found[0][0] != "user_id":
        raise BadMessageError("An alias message needs a userId.", code="identifier_missing", path="/userId")
    previous = None if message.previousId is None else normalise("previous_id", str(message.previousId))
    if previous is None:
        raise BadMessageError(
            "An alias message needs a previousId that can identify somebody.",
            code="previous_id_missing",
            path="/previousId",
        )
    return found if previous == found[0][1] else (*found, ("previous_id", previous))


def _grouped(message: _Message, said: Said, kind: str, context: bytes) -> tuple[str | None, bytes]:
    """The account that a message is of, and its context, in which a group message says so too."""
    if kind != "group":
        return _account(said.groupId), context
    group = _group(message.groupId)
    return group, _over(_encode({"groupId": group}), context)


def _group(sent: Text) -> str:
    """The account of a group message."""
    found = _account(sent)
    if found is None:
        raise BadMessageError(
            "A group message needs a groupId that can identify an account.", code="group_id_missing", path="/groupId"
        )
    return found


def _account(sent: Text) -> str | None:
    return None if sent is None else normalise("group_id", str(sent))


def _text(sent: Text) -> str | None:
    return sent if sent is None or type(sent) is str else str(sent)


@functools.lru_cache(maxsize=65_536)
def _people(user: str | None, visitor: str | None, address: str | None, phone: str | None) -> tuple[Identifier, ...]:
    """Remembered, since the same people come again and again."""
    named = (("user_id", user), ("anonymous_id", visitor), ("email", address), ("phone", phone))
    spelt = ((kind, normalise(kind, value)) for kind, value in named if value is not None)
    return tuple((kind, value) for kind, value in spelt if value is not None)


def forget_people() -> None:
    """Read everybody's identifiers anew: how values are spelt has changed."""
    _people.cache_clear()


def _event_time(message: _Message, frame: _Frame) -> int:
    """When it happened, corrected by the sender's clock where that is off by more than a minute."""
    stated_text = message.timestamp or message.originalTimestamp
    if not stated_text:
        return frame.received
    path = "/timestamp" if message.timestamp else "/originalTimestamp"
    stated = _parse_time(stated_text, path)
    sent_text = message.sentAt or frame.sent_at
    skew = None if sent_text is None else _skew(sent_text, frame.row.received_at)
    if skew is not None:
        original = message.originalTimestamp
        began = _parse_time(original, "/originalTimestamp") if original else stated
        stated = _shift(began, skew)
    if stated < OLDEST:
        raise BadMessageError("The event's time is before the year 2000.", code="timestamp_out_of_range", path=path)
    if not frame.allow_future:
        return min(timestamp_micros(stated), frame.received + MINUTE)
    moment = timestamp_micros(stated)
    if moment > frame.received + FUTURE:
        raise BadMessageError(
            "The event's time is more than five years ahead.", code="timestamp_out_of_range", path=path
        )
    return moment


def _shift(moment: datetime, delta: timedelta) -> datetime:
    try:
        return moment + delta
    except OverflowError:
        raise BadMessageError(
            "sentAt and the event's time are too far apart.", code="timestamp_out_of_range", path="/sentAt"
        ) from None


@functools.lru_cache(maxsize=256)
def _skew(sent_at: str, received_at: datetime) -> timedelta | None:
    """How far the sender's clock is behind ours, None where both agree; a batch has it in common."""
    skew = received_at - _parse_time(sent_at, "/sentAt")
    return skew if abs(skew) > CLOCKS_AGREE else None


def _parse_time(text: str, path: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadMessageError(f"{text[:40]!r} is not an ISO 8601 time.", code="timestamp_invalid", path=path) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shared_context(outline: _Batch | _TypedBatch, *, plain: bool) -> bytes:
    """What a batch says for all of its messages. What is said of integrations is kept with the context."""
    context = _object_bytes(outline.context, "/context", plain=plain).strip()
    if outline.integrations is ABSENT:
        return context
    return _with_integrations(outline.integrations, context, NOTHING, plain=plain)


def _with_integrations(own: msgspec.Raw, context: bytes, said: Said, *, plain: bool) -> bytes:
    mine = _object_bytes(own, "/integrations", plain=plain).strip()
    if mine == EMPTY or _is_blank(mine):
        return context
    common = EMPTY if said.integrations is ABSENT else _object_bytes(said.integrations, "/integrations", plain=plain)
    return _over(b'{"integrations":%b}' % _over(mine, common), context)


def _said(context: bytes) -> Said:
    if context == EMPTY:
        return NOTHING
    try:
        return read_said(context)
    except msgspec.DecodeError as error:
        raise wrong_type(error, inside="/context") from None


def _over(mine: bytes, common: bytes) -> bytes:
    """Two objects as one, in which `mine` wins.

    Written one after the other: of a key that comes twice, jsonb (and every reader here) keeps the last.
    """
    if common == EMPTY or _is_blank(common):
        return mine
    if _is_blank(mine):
        return common
    return b"%b,%b" % (common[:-1], mine[1:])


def _is_blank(data: bytes) -> bool:
    """Whether an object has nothing but space inside."""
    return data == EMPTY or data[1:-1].isspace()


def _traits(message: _Message, said: Said, kind: str, *, plain: bool) -> dict[str, Any] | None:
    """What the message says about the person: `traits` (of a group they are the account's), else `context.traits`."""
    raw = EMPTY if kind == "group" else _object_bytes(message.traits, "/traits", plain=plain)
    if raw == EMPTY:
        raw = _object_bytes(said.traits, "/context/traits", plain=plain)
    if raw == EMPTY:
        return {} if kind == "identify" else None
    try:
        return _decode_object(raw)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"The traits cannot be read: {error}", code="json_invalid", path="/traits") from None


def _properties(message: _Message, kind: str, *, plain: bool) -> bytes:
    if kind in {"identify", "group"}:
        return _object_bytes(message.traits, "/traits", plain=plain)
    raw = _object_bytes(message.properties, "/properties", plain=plain)
    if kind == "alias":
        return _over(_encode({"previousId": storable_text(str(message.previousId))}), raw)
    if kind == "track" or not (message.name or message.category):
        return raw
    extra = {"name": message.name, "category": message.category}
    named = {key: storable_text(value) for key, value in extra.items() if value}
    return _encode(named | _decode_raw_object(raw))


def _numbers(properties: bytes) -> tuple[float | None, ...]:
    """The numbers of `VALUE_PROPERTIES`, None where there is none."""
    if properties == EMPTY:
        return NO_NUMBERS
    try:
        found = _decode_numbers(properties)
    except (ValueError, RecursionError):
        return NO_NUMBERS
    revenue, total, price, value = found.revenue, found.total, found.price, found.value
    if revenue is total is price is value is None:
        return NO_NUMBERS
    return (
        None if revenue is None else _number(revenue),
        None if total is None else _number(total),
        None if price is None else _number(price),
        None if value is None else _number(value),
    )


NO_NUMBERS = (None, None, None, None)


def numbers_of(fields: dict[str, Any]) -> tuple[float | None, ...]:
    """The same of properties that are open."""
    found = tuple(_number(fields.get(name)) for name in VALUE_PROPERTIES)
    return NO_NUMBERS if found == NO_NUMBERS else found


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _object_bytes(raw: msgspec.Raw, path: str, *, plain: bool) -> bytes:
    """A JSON object as bytes that jsonb can keep; `null` and absent are an empty one.

    `plain` says that it is known to have no escapes that jsonb refuses, as nearly all have none.
    """
    if raw is ABSENT:
        return EMPTY
    data = bytes(raw)
    if data.startswith(b"{"):
        if len(data) > 2 * MAX_DEPTH and is_too_deep(data):
            raise BadMessageError(
                f"{path[1:]} nests more than {MAX_DEPTH} levels.", code="nested_too_deeply", path=path
            )
        return data if plain else storable_json(data)
    if data in {b"", b"null"}:
        return EMPTY
    raise BadMessageError(f"{path[1:]} must be an object.", code="object_expected", path=path)


def storable_json(data: bytes) -> bytes:
    """Replace what jsonb refuses (NUL, lone surrogates) by U+FFFD; the same bytes where there is nothing such."""
    if b"\\u" not in data or not _UNSTORABLE.search(data):
        return data
    try:
        cleaned = _clean(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"This message is not JSON: {error}", code="json_invalid") from None
    return json.dumps(cleaned, ensure_ascii=False, separators=(",", ":")).encode()


def storable_text(text: str) -> str:
    return _UNSTORABLE_TEXT.sub("\ufffd", text)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {storable_text(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value


def wrong_type(error: Exception, *, inside: str = "") -> BadMessageError:
    """Turn msgspec's "Expected `str`, got `int` - at `$.userId`" into our code and path."""
    text, _, place = str(error).partition(" - at `")
    path = place.rstrip("`").replace("$", "").replace(".", "/").replace("[", "/").replace("]", "")
    return BadMessageError(text, code="type_mismatch", path=inside + path)


def _unreadable(error: Exception) -> BadMessageError:
    if isinstance(error, msgspec.ValidationError):
        return wrong_type(error)
    if isinstance(error, RecursionError):
        return BadMessageError(f"The message nests more than {MAX_DEPTH} levels.", code="nested_too_deeply")
    return BadMessageError(f"This message is not JSON: {error}", code="json_invalid")


def _reject(row: InboxRow, payload: bytes, error: BadMessageError, place: int = -1) -> Rejected:
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
