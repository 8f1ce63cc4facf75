"""Who a message is about."""

import functools
from collections.abc import Iterator
from typing import Any

from cdp.kernel.identifiers import external_kind, normalise
from ingestion.contracts import NOBODY, Identifier, Person
from ingestion.errors import BadMessageError
from ingestion.messages.wire import Message
from ingestion.said import ExternalId, Said, Text

MAX_EXTERNAL_IDS = 10
CONTACTS = ("email", "phone")
NO_CONTACTS = (None, None)
GENERATION = 50_000


def identifiers_of(message: Message, traits: dict[str, Any] | None, said: Said, kind: str) -> tuple[Identifier, ...]:
    contacts = _contacts(traits) if traits else NO_CONTACTS
    found = spell_people(as_text(message.userId), as_text(message.anonymousId), *contacts)
    if said.externalIds:
        found = tuple(dict.fromkeys((*found, *_external_ids(said.externalIds))))
    if kind == "alias":
        found = _with_previous(message, found)
    return found


def renew_identifiers(identifiers: tuple[Identifier, ...], traits: dict[str, Any]) -> tuple[Identifier, ...]:
    """Who is meant after the traits have changed. A message never loses the last that identifies."""
    others = tuple(known for known in identifiers if known[0] not in CONTACTS)
    return (*others, *spell_people(None, None, *_contacts(traits))) or identifiers


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


def _with_previous(message: Message, found: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
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


_young: dict[tuple[Text, Text], Person] = {}  # by user id and anonymous id, as they were sent
_old: dict[tuple[Text, Text], Person] = {}
_young_named: dict[tuple[Identifier, ...], Person] = {}
_old_named: dict[tuple[Identifier, ...], Person] = {}


def known_people() -> dict[tuple[Text, Text], Person]:
    """Those of whom there were messages lately. Two generations are kept, so that who comes again stays."""
    global _young, _old
    if len(_young) > GENERATION:
        _young, _old = {}, _young
    return _young


def people_named(user: Text, visitor: Text) -> Person:
    """Who a message is about that names nobody by its traits or context."""
    key = (user, visitor)
    found = _old.get(key)
    if found is None:
        found = person_of(spell_people(as_text(user), as_text(visitor)))
    if not (isinstance(user, int | float) or isinstance(visitor, int | float)):  # 5 and 5.0 would be the same key
        _young[key] = found
    return found


def person_of(identifiers: tuple[Identifier, ...]) -> Person:
    """The one that is remembered, else a new one. Two generations are kept of them, too."""
    global _young_named, _old_named
    found = _young_named.get(identifiers)
    if found is None:
        if not identifiers:
            return NOBODY
        if len(_young_named) > GENERATION:
            _young_named, _old_named = {}, _young_named
        found = _young_named[identifiers] = _old_named.get(identifiers) or Person(identifiers)
    return found


def as_text(sent: Text) -> str | None:
    return sent if sent is None or type(sent) is str else str(sent)


@functools.lru_cache(maxsize=16_384)
def spell_people(
    user: str | None, visitor: str | None, address: str | None = None, phone: str | None = None
) -> tuple[Identifier, ...]:
    """Remembered, since the same people come again and again."""
    named = (("user_id", user), ("anonymous_id", visitor), ("email", address), ("phone", phone))
    spelt = ((kind, normalise(kind, value)) for kind, value in named if value is not None)
    return tuple((kind, value) for kind, value in spelt if value is not None)


def forget_people() -> None:
    """Read everybody's identifiers anew: how values are spelt has changed."""
    spell_people.cache_clear()
    for remembered in (_young, _old, _young_named, _old_named):
        remembered.clear()
