"""Writes: what people say of an event, property or trait."""

from datetime import datetime
from typing import Any

from cdp.kernel.errors import TributaryError
from ingestion.dictionary.masking import Pii
from ingestion.dictionary.models import DictionaryEntry

TYPES = ("text", "number", "boolean", "list", "object")
FIELDS = {"description": 1_000, "owner": 100, "type": 40, "pii": 12}


class DictionaryError(TributaryError):
    """An entry that cannot be described so."""

    code = "dictionary_invalid"


def describe(*, kind: str, event: str, path: str, by: str, now: datetime, **words: Any) -> DictionaryEntry:
    """Set `description`, `owner`, `type` or `pii`; those not given stay. An empty `pii` goes by the name."""
    for name, value in words.items():
        if name not in FIELDS or not isinstance(value, str) or len(value) > FIELDS[name] or "\0" in value:
            message = f"{name} must be text of up to {FIELDS.get(name, 0)} characters."
            raise DictionaryError(message, code="field_invalid", path=f"/{name}")
    if words.get("pii") and words["pii"] not in set(Pii):
        raise DictionaryError(f"{words['pii']!r} is no class.", code="pii_unknown", path="/pii")
    if words.get("type") and words["type"] not in TYPES:
        raise DictionaryError(f"The type is one of {', '.join(TYPES)}.", code="type_unknown", path="/type")
    cleaned = {name: value.strip() for name, value in words.items()}
    entry, _ = DictionaryEntry.objects.update_or_create(
        kind=kind, event=event, path=path, defaults={**cleaned, "changed_at": now, "changed_by": by[:150]}
    )
    return entry
