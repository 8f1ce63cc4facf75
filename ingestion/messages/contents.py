"""What a message says: its context, traits, properties and account."""

import functools
from typing import Any

import msgspec

from cdp.kernel.identifiers import normalise
from ingestion.errors import BadMessageError
from ingestion.messages.objects import EMPTY, decode_object, is_blank, lay_over, object_bytes
from ingestion.messages.refusals import wrong_type
from ingestion.messages.storable import storable_text
from ingestion.messages.wire import Batch, Frame, Message, TypedBatch
from ingestion.said import ABSENT, NOTHING, Said, Text, read_said

REMEMBERED = 32_768
_decode_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def shared_context(outline: Batch | TypedBatch, *, plain: bool) -> bytes:
    """What a batch says for all of its messages. What is said of integrations is kept with the context."""
    context = object_bytes(outline.context, "/context", plain=plain).strip()
    if outline.integrations is ABSENT:
        return context
    return with_integrations(outline.integrations, context, NOTHING, plain=plain)


def with_integrations(own: msgspec.Raw, context: bytes, said: Said, *, plain: bool) -> bytes:
    mine = object_bytes(own, "/integrations", plain=plain).strip()
    if mine == EMPTY or is_blank(mine):
        return context
    common = EMPTY if said.integrations is ABSENT else object_bytes(said.integrations, "/integrations", plain=plain)
    return lay_over(b'{"integrations":%b}' % lay_over(mine, common), context)


def said_in(context: bytes) -> Said:
    if context == EMPTY:
        return NOTHING
    try:
        return read_said(context)
    except msgspec.DecodeError as error:
        raise wrong_type(error, inside="/context") from None


def read_context(mine: bytes, frame: Frame) -> tuple[bytes, Said]:
    """A context laid over that of its batch, and what both say; remembered in the frame's `contexts`.

    Raises:
        BadMessageError: as `object_bytes` and `said_in` do; that is not remembered.
    """
    context = lay_over(object_bytes(mine, "/context", plain=frame.plain), frame.context)
    found = frame.contexts[mine] = context, said_in(context)
    return found


def contexts_over(common: bytes, *, plain: bool) -> dict[bytes, tuple[bytes, Said]]:
    """What `read_context` made of contexts lately: most come again, since they tell of senders.

    Forgetting all of it when it is full costs less than order does.
    """
    contexts = _contexts(common, plain)
    if len(contexts) > REMEMBERED:
        contexts.clear()
    return contexts


@functools.lru_cache(maxsize=4)
def _contexts(common: bytes, plain: bool) -> dict[bytes, tuple[bytes, Said]]:  # noqa: ARG001 - the key
    return {}


def traits_of(message: Message, said: Said, kind: str, *, plain: bool) -> dict[str, Any] | None:
    """What the message says about the person: `traits` (of a group they are the account's), else `context.traits`."""
    raw = EMPTY if kind == "group" else object_bytes(message.traits, "/traits", plain=plain)
    if raw == EMPTY:
        raw = object_bytes(said.traits, "/context/traits", plain=plain)
    if raw == EMPTY:
        return {} if kind == "identify" else None
    try:
        return decode_object(raw)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"The traits cannot be read: {error}", code="json_invalid", path="/traits") from None


def properties_of(message: Message, kind: str, *, plain: bool) -> bytes:
    if kind in {"identify", "group"}:
        return object_bytes(message.traits, "/traits", plain=plain)
    raw = object_bytes(message.properties, "/properties", plain=plain)
    if kind == "alias":
        return lay_over(_encode({"previousId": storable_text(str(message.previousId))}), raw)
    if kind == "track" or not (message.name or message.category):
        return raw
    extra = {"name": message.name, "category": message.category}
    named = {key: storable_text(value) for key, value in extra.items() if value}
    return _encode(named | _decode_raw_object(raw))


def group_of(message: Message, said: Said, kind: str, context: bytes) -> tuple[str | None, bytes]:
    """The account that a message is of, and its context, in which a group message says so too."""
    if kind != "group":
        return _account(said.groupId), context
    group = _group(message.groupId)
    return group, lay_over(_encode({"groupId": group}), context)


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
