"""The kinds' rules applied to a chunk: identifiers in their one spelling, and without those that mean nobody.

This comes after consent was asked, which knows people by how they were spelt at the door.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from identity import homes
from identity.consents import operations as consents
from identity.contracts import ConflictKey, ConflictSample, ConflictTallies, ConflictTally
from identity.kinds import rules
from ingestion import messages
from ingestion.contracts import Incoming, Rejected, SourceTerms

REMEMBERED = 200_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_noted: set[tuple[str, str, str]] = set()


def forget_found() -> None:
    """Read anew what this process remembers of stored people.

    It may be of a transaction that PostgreSQL has lost in a crash, with its session: the drain does not wait for the
    disk. Their numbers can be somebody else's by now.
    """
    messages.forget_people()
    homes.forget_all()
    _noted.clear()


rules.on_change(forget_found)


def follow_rules(sources: Mapping[int, SourceTerms]) -> None:
    """Go by the rules of now; costs nothing where they have not changed."""
    rules.follow({id_: terms.rules_version for id_, terms in sources.items()})


@dataclass(frozen=True, slots=True)
class Spelt:
    """Messages with their identifiers as the rules have them; `rejected` name nobody any more.

    `refused` counts values beside the conflicts, since they may be somebody's after all. It is for the caller to
    record, at the end of its transaction.
    """

    kept: list[Incoming]
    rejected: list[Rejected]
    refused: ConflictTallies


def spell(events: list[Incoming]) -> Spelt:
    """Apply the rules of now."""
    current = rules.current()
    if current.is_plain:
        return Spelt(events, [], {})
    kept: list[Incoming] = []
    away: list[Rejected] = []
    tallies: defaultdict[ConflictKey, ConflictTally] = defaultdict(ConflictTally)
    respelt: set[tuple[str, str, str]] = set()
    for event in events:
        found = current.refine(event.identifiers)
        if found.refused:
            _count(tallies, event, found)
        if not found.kept:
            away.append(_turned_away(event, found))
            continue
        respelt.update(found.respelt)
        if found.kept != event.identifiers:
            event.person = messages.person_of(found.kept)
        kept.append(event)
    keep_spellings(respelt)
    return Spelt(kept, away, tallies)


def keep_spellings(respelt: Iterable[tuple[str, str, str]]) -> None:
    """Remember `(kind, value, as the door spelt it)`, for consent."""
    fresh = sorted(set(respelt) - _noted)
    if not fresh:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO identifier_spelling (kind, value, said)"
            " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING",
            [list(column) for column in zip(*fresh, strict=True)],
        )
    consents.note_spelt((kind, value) for kind, value, _ in fresh)
    transaction.on_commit(lambda: _remember(fresh))


def _remember(written: list[tuple[str, str, str]]) -> None:
    if len(_noted) > REMEMBERED:
        _noted.clear()
    _noted.update(written)


def _count(tallies: defaultdict[ConflictKey, ConflictTally], event: Incoming, found: rules.Refined) -> None:
    for (kind, value), reason in found.refused:
        sample = ConflictSample(event.source_id, event.message_id, (kind, value))
        met = found.kept[0] if found.kept else (kind, value)
        tallies[kind, value, reason, ""].add(messages=1, met=met, sample=sample)


def _turned_away(event: Incoming, found: rules.Refined) -> Rejected:
    names = ", ".join(dict.fromkeys(f"{kind} ({reason.replace('_', ' ')})" for (kind, _), reason in found.refused))
    return messages.reject(
        event,
        received_at=_EPOCH + timedelta(microseconds=event.received),
        code="identifier_refused",
        message=f"No identifier of this message can identify somebody: {names}. See Identity, Identifiers.",
        path="/userId",
    )
