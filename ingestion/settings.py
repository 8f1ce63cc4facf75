"""What a source may be told to do, kept as one JSON object in `Source.settings` and read with its terms.

A part per room that has settings: it adds its struct here, and a `Part` with a form to `ingestion/settings_screen.py`.
Unknown parts and fields are ignored, missing ones have their defaults, so old rows and new code get along.
"""

import functools
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cdp.kernel.errors import TributaryError
from ingestion.enrich.settings import EnrichSettings
from ingestion.quality.settings import QualitySettings
from ingestion.quarantine.settings import QuarantineSettings
from ingestion.sessions.settings import SessionSettings


class SettingsError(TributaryError):
    """Settings of a source that cannot be."""

    code = "settings_invalid"


class RateLimit(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many messages the source may send; 0 a second is no limit, 0 in a burst as many as in a second."""

    per_second: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    burst: Annotated[int, Meta(ge=0, le=10_000_000)] = 0


class Clock(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether events may lie in the future, as bookings do; else they are no later than a minute after receipt."""

    allow_future: bool = False


class SourceSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """All parts; the empty object is all defaults."""

    enrich: EnrichSettings = EnrichSettings()
    sessions: SessionSettings = SessionSettings()
    quality: QualitySettings = QualitySettings()
    quarantine: QuarantineSettings = QuarantineSettings()
    rate: RateLimit = RateLimit()
    clock: Clock = Clock()


DEFAULTS = SourceSettings()


@functools.lru_cache(maxsize=4_096)
def read_settings(text: str) -> SourceSettings:
    """From the JSON text of `Source.settings`; remembered, since the drain asks for every chunk."""
    return msgspec.json.decode(text or "{}", type=SourceSettings)


def settings_of(stored: dict[str, Any]) -> SourceSettings:
    """From the value of `Source.settings`."""
    return msgspec.convert(stored, SourceSettings)


def whole_form(settings: SourceSettings) -> dict[str, Any]:
    """As an API shows it: every part and field, defaults included."""
    return {name: msgspec.structs.asdict(part) for name, part in msgspec.structs.asdict(settings).items()}


def merge_settings(current: SourceSettings, wanted: Any) -> SourceSettings:
    """Change the fields that are named and leave the others.

    Raises:
        SettingsError: a part or field is unknown, or a value is not what it should be; `path` says which.
    """
    whole = whole_form(current)
    if not isinstance(wanted, dict):
        raise SettingsError("Settings are an object of parts.", path="/settings")
    for name, fields in wanted.items():
        if name not in whole:
            raise SettingsError(f"There is no part {name!r}: {', '.join(sorted(whole))}.", path=f"/settings/{name}")
        if not isinstance(fields, dict):
            raise SettingsError("A part of the settings is an object.", path=f"/settings/{name}")
        if unknown := sorted(fields.keys() - whole[name].keys()):
            known = ", ".join(sorted(whole[name]))
            raise SettingsError(f"The part {name!r} has: {known}.", path=f"/settings/{name}/{unknown[0]}")
        whole[name] |= fields
    try:
        return msgspec.convert(whole, SourceSettings)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        raise SettingsError(f"{text}.", path="/settings" + place.rstrip("`").replace(".", "/")) from None


def stored_form(settings: SourceSettings) -> dict[str, Any]:
    """As `Source.settings` keeps it: only what differs from the defaults."""
    return {name: part for name, part in msgspec.to_builtins(settings).items() if part}
