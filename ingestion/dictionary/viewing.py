"""What a person or token may see of personal data: asked once a request, and used by whoever shows or serves some."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from msgspec import structs

from cdp.kernel.access.roles import Scope
from ingestion.contracts import Change, TimelineEvent
from ingestion.dictionary.masking import CLEAR, Masker, Pii, mask_emails
from ingestion.dictionary.models import DictionaryEntry


def masker_for(user: Any) -> Masker:
    """Hides nothing from those whose roles or scopes carry `pii:read`."""
    return CLEAR if user.may(Scope.PII_READ) else Masker(classes=stated_classes())


def stated_classes() -> dict[tuple[str, str, str], Pii]:
    """The classes that somebody set, by kind, event and path."""
    rows = DictionaryEntry.objects.exclude(pii="").exclude(kind=DictionaryEntry.Kind.EVENT)
    return {
        (kind, event, path): Pii(pii) for kind, event, path, pii in rows.values_list("kind", "event", "path", "pii")
    }


def mask_changes(changes: Iterable[Change], *, event: str, masker: Masker) -> list[Change]:
    """What rules did to a message, with the values hidden that the field at their path hides."""
    if masker.clear:
        return list(changes)
    return [_mask_change(change, event, masker) for change in changes]


def _mask_change(change: Change, event: str, masker: Masker) -> Change:
    """`/traits/email`, `/properties/products/0/price`: a path of the message, where a number is a place in a list."""
    first, *rest = change.path.strip("/").split("/")
    kind = "trait" if first == "traits" else "property"
    names = rest if first in {"traits", "properties"} else [first, *rest]
    path = ".".join(names)
    for number in {name for name in names if name.isdigit()}:
        path = path.replace(f".{number}", "[]")
    where = (kind, "" if kind == "trait" else event, path)
    return structs.replace(
        change,
        before=masker.value(*where, change.before),
        after=masker.value(*where, change.after),
        what=change.what if masker.clear else mask_emails(change.what),
    )


def mask_event(event: TimelineEvent, masker: Masker) -> TimelineEvent:
    """The same event as it may be shown: the properties of an identify are traits."""
    if masker.clear:
        return event
    shown = (
        masker.traits(event.properties)
        if event.type == "identify"
        else masker.properties(event.name, event.properties)
    )
    return replace(event, properties=shown, context=masker.context(event.context))
