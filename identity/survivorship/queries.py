"""Reads of this room: policies, what sources say, what traits were, and what is disputed."""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from identity.contracts import ProfileView
from identity.queries import trait_names
from identity.survivorship.models import PolicyRun, TraitPolicy
from identity.traits import NEWEST, Policy, Rule, Statement, TraitState, newest_of_each_source, same_value
from ingestion.dictionary.masking import Masker
from ingestion.quality.models import TraitConflict

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
HISTORY_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Said:
    """What one source says of a trait now; `counts` marks the one that is shown, `agrees` those that say the same."""

    value: Any
    at: datetime
    source_id: int
    counts: bool
    agrees: bool


@dataclass(frozen=True, slots=True)
class TraitView:
    """A trait of one profile: its value, where it is from, since when it holds, and what every source says.

    `at` is when its source said it last, `since` when the source began to say it, as far as the history goes back.
    """

    name: str
    value: Any
    at: datetime | None
    since: datetime | None
    source_id: int | None
    policy: Policy
    said: list[Said]

    @property
    def disputed(self) -> bool:
        return any(not one.agrees for one in self.said)


@dataclass(frozen=True, slots=True)
class Past:
    """A value that a source gave: from when, and until when it said so (None: it still does)."""

    trait: str
    value: Any
    at: datetime
    until: datetime | None
    source_id: int
    event_id: uuid.UUID
    origin_id: int | None


@dataclass(frozen=True, slots=True)
class TraitLine:
    """A trait in the list of all: its type, how many of the sampled profiles have it, its policy, disputed people."""

    name: str
    type: str
    count: int
    policy: Policy
    differing: int


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def policies_of(names: Collection[str]) -> dict[str, Policy]:
    rows = TraitPolicy.objects.filter(trait__in=list(names))
    return {row.trait: Policy(Rule(row.rule), tuple(row.sources)) for row in rows}


def policy_of(name: str) -> Policy:
    return policies_of([name]).get(name, NEWEST)


def traits_of(profile: ProfileView) -> list[TraitView]:
    """Every trait of a profile that has a value, by name; two queries."""
    state = TraitState(profile.traits, profile.provenance)
    policies = policies_of(profile.traits)
    begun = _begun(profile.id)
    return [_trait_view(name, state, policies.get(name, NEWEST), begun) for name in sorted(profile.traits)]


def mask_trait(view: TraitView, masker: Masker) -> TraitView:
    """The same trait as somebody may see it."""
    if masker.clear:
        return view
    said = [replace(one, value=masker.value("trait", "", view.name, one.value)) for one in view.said]
    return replace(view, value=masker.value("trait", "", view.name, view.value), said=said)


def history_of(*, profile_id: int, trait: str = "", limit: int = HISTORY_ROWS) -> list[Past]:
    """What sources said of a person that they had not said before, newest first; of one trait if it is named."""
    pasts: list[Past] = []
    until: dict[tuple[str, int], datetime] = {}
    for at, event_id, source_id, origin_id, traits in _history_rows(profile_id, trait, limit):
        for name, value in sorted(traits.items()):
            if trait and name != trait:
                continue
            pasts.append(Past(name, value, at, until.get((name, source_id)), source_id, event_id, origin_id))
            until[name, source_id] = at
    return pasts


def mask_past(past: Past, masker: Masker) -> Past:
    return past if masker.clear else replace(past, value=masker.value("trait", "", past.trait, past.value))


def list_traits(*, text: str = "", limit: int = 200) -> list[TraitLine]:
    """Traits that profiles have, from a sample of them, and those that have a policy or are disputed."""
    found = {one.value: one for one in trait_names(limit=limit)}
    tops: dict[str, tuple[str, int]] = {}
    for path, one in found.items():
        name, _, inner = path.partition(".")
        kind, count = ("object", one.count) if inner else (one.type, one.count)
        known = tops.get(name)
        tops[name] = (kind, max(count, known[1] if known else 0))
    disputed = _disputed_people()
    policies = {row.trait: Policy(Rule(row.rule), tuple(row.sources)) for row in TraitPolicy.objects.all()}
    names = sorted(tops.keys() | policies.keys() | disputed.keys())
    lines = [
        TraitLine(name, *tops.get(name, ("", 0)), policies.get(name, NEWEST), disputed.get(name, 0))
        for name in names
        if text.lower() in name.lower()
    ]
    return sorted(lines, key=lambda line: (-line.differing, -line.count, line.name))


def list_disputes(*, trait: str = "") -> list[TraitConflict]:
    """Traits and pairs of sources that disagree, the most people first, as of the newest scan that is finished."""
    rows = TraitConflict.objects.filter(differing__gt=0).select_related("first", "second")
    return list((rows.filter(trait=trait) if trait else rows).order_by("-differing", "trait", "first_id", "second_id"))


def mask_examples(dispute: TraitConflict, masker: Masker) -> list[dict[str, Any]]:
    return [
        {
            "profile": one["profile"],
            "values": [masker.value("trait", "", dispute.trait, value) for value in one["values"]],
        }
        for one in dispute.examples
    ]


def newest_run(*, trait: str, kind: PolicyRun.Kind | None = None) -> PolicyRun | None:
    rows = PolicyRun.objects.filter(trait=trait)
    return (rows.filter(kind=kind) if kind else rows).order_by("-id").first()


def _trait_view(name: str, state: TraitState, policy: Policy, begun: Mapping[tuple[str, int], Any]) -> TraitView:
    statements = state.statements(name)
    if not statements:
        return TraitView(name, state.traits[name], None, None, None, policy, [])
    value = state.traits[name]
    counting = statements[0]
    said = _said(statements, value, counting)
    since = begun.get((name, counting[1]))
    is_known = since is not None and same_value(since[1], value)
    return TraitView(
        name, value, moment(counting[0]), since[0] if since and is_known else None, counting[1], policy, said
    )


def _said(statements: Iterable[Statement], value: Any, counting: Statement) -> list[Said]:
    newest = [one for one in newest_of_each_source(statements) if one[3] is not None]
    return [Said(one[3], moment(one[0]), one[1], one[1] == counting[1], same_value(one[3], value)) for one in newest]


def _begun(profile_id: int) -> dict[tuple[str, int], tuple[datetime, Any]]:
    """By trait and source, when the source said what it says now for the first time in a row, and the value."""
    found: dict[tuple[str, int], tuple[datetime, Any]] = {}
    for at, _, source_id, _, traits in _history_rows(profile_id, "", HISTORY_ROWS):
        for name, value in traits.items():
            found.setdefault((name, source_id), (at, value))
    return found


def _history_rows(profile_id: int, trait: str, limit: int) -> list[tuple[datetime, uuid.UUID, int, int | None, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT at, event_id::text, source_id, origin_id, traits FROM trait_history"
            " WHERE profile_id = %(profile)s AND (%(trait)s = '' OR traits ? %(trait)s)"
            " ORDER BY at DESC, event_id DESC LIMIT %(limit)s",
            {"profile": profile_id, "trait": trait, "limit": limit},
        )
        return [
            (at, uuid.UUID(event_id), source_id, origin_id, json.loads(traits))
            for at, event_id, source_id, origin_id, traits in cursor.fetchall()
        ]


def _disputed_people() -> dict[str, int]:
    """By trait, the most people that two sources disagree about."""
    found: dict[str, int] = {}
    for row in list_disputes():
        found[row.trait] = max(row.differing, found.get(row.trait, 0))
    return found
