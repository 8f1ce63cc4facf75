"""Writes of this room: sources, write keys, and taking requests in."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils.text import slugify

from cdp.kernel.errors import TributaryError
from cdp.kernel.prepared import Prepared, array
from consent.models import Purpose
from ingestion import inbox, keys
from ingestion.contracts import SourceTerms
from ingestion.models import Source, WriteKey
from ingestion.settings import SourceSettings, read_settings, stored_form

MAX_LIVE_KEYS = 2


class SourceError(TributaryError):
    """A source cannot be made or changed in this way."""

    code = "source_invalid"


@transaction.atomic
def create_source(
    *,
    slug: str = "",
    name: str,
    kind: str = "http",
    description: str = "",
    purpose: Purpose | None = None,
    now: datetime,
) -> tuple[Source, str]:
    """Make a source and its first write key. The key is returned here and cannot be had again."""
    slug = slug or slugify(name)
    if not slug or slug != slugify(slug) or len(slug) > 60:
        raise SourceError(
            "The slug may hold up to 60 lower-case letters, digits and hyphens.", code="slug_invalid", path="/slug"
        )
    if Source.objects.filter(slug=slug).exists():
        raise SourceError(f"There is a source {slug!r} already.", code="slug_taken", path="/slug")
    source = Source.objects.create(
        slug=slug, name=name, kind=kind, description=description, purpose=purpose, created_at=now
    )
    return source, keys.issue(source=source, now=now)


@transaction.atomic
def rotate_write_key(*, source: Source, now: datetime) -> str:
    """Make a second key beside the live one. Of three live ones the oldest is revoked."""
    Source.objects.select_for_update().get(pk=source.pk)
    key = keys.issue(source=source, now=now)
    live = WriteKey.objects.filter(source=source, revoked_at=None).order_by("-created_at", "-pk")
    for old in live[MAX_LIVE_KEYS:]:
        keys.revoke(key_id=old.pk, now=now)
    return key


def revoke_write_key(*, key_id: int, now: datetime) -> None:
    keys.revoke(key_id=key_id, now=now)


def set_source_state(*, source: Source, state: str) -> None:
    """Pause or resume: a paused source's requests are refused."""
    source.state = Source.State(state)
    source.save(update_fields=["state"])
    keys.forget()


def hold_sources(*, ids: Collection[int]) -> dict[int, SourceTerms]:
    """The terms of those sources that exist; until the transaction ends, none of them can be deleted."""
    return {
        id_: SourceTerms(purpose_id, priority, read_settings(settings), rules_version)
        for id_, purpose_id, priority, settings, rules_version in _HOLD.rows(array(sorted(ids)))
    }


_HOLD = Prepared(
    "sources_hold",
    ["bigint[]"],
    "SELECT id, purpose_id, priority, settings, rules_version FROM ingestion_source"
    " WHERE id = ANY($1) ORDER BY id FOR KEY SHARE",
)


def change_details(*, source: Source, name: str, description: str, priority: int, purpose: Purpose | None) -> None:
    source.name, source.description, source.priority, source.purpose = name, description, priority, purpose
    source.save(update_fields=["name", "description", "priority", "purpose"])


def change_settings(*, source: Source, settings: SourceSettings) -> None:
    """Replace the settings of a source; the drain follows with its next chunk, the HTTP side within seconds."""
    source.settings = stored_form(settings)
    source.save(update_fields=["settings"])
    keys.forget()


def bump_rules(*, source_id: int) -> None:
    """Have every worker compile the rules of this source anew. Call it in the transaction that changes them."""
    Source.objects.filter(pk=source_id).update(rules_version=F("rules_version") + 1)


def bump_all_rules() -> None:
    """The same for every source: a rule changed that holds for all of them."""
    ids = list(Source.objects.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))
    Source.objects.filter(pk__in=ids).update(rules_version=F("rules_version") + 1)


def accept(*, source_id: int, kind: str, events: int, body: bytes, remote_addr: str, now: datetime) -> None:
    """One durable row for one HTTP request: once this returns outside a transaction, it may be acknowledged."""
    inbox.append(source_id=source_id, kind=kind, events=events, body=body, remote_addr=remote_addr, now=now)
