"""Country, region and city of an address, from a MaxMind-format database that the deployment supplies.

`CDP_GEOIP_FILE` names it. A process maps it into memory, looks every few seconds whether it has changed, and goes on
with what it has when the new file is bad. Whatever is wrong with it, events are stored.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import maxminddb
import structlog
from django.conf import settings

from ingestion.enrich.contracts import NO_PLACE, Place

LOOK_AGAIN_SECONDS = 5.0

log = structlog.get_logger(__name__)
_lock = threading.Lock()


@dataclass(slots=True)
class _Held:
    path: str = ""
    stamp: tuple[int, int, int] | None = None
    reader: maxminddb.Reader | None = None
    generation: int = 0
    looked_at: float = float("-inf")


_held = _Held()


def refresh() -> int:
    """Have the present file ready; the number grows with every change, so that what is remembered can be told."""
    if time.monotonic() - _held.looked_at > LOOK_AGAIN_SECONDS or _held.path != settings.GEOIP_FILE:
        with _lock:
            _look()
    return _held.generation


def locate(address: str) -> Place:
    """Where an address is, as the file of the last `refresh` says."""
    reader = _held.reader
    if reader is None:
        return NO_PLACE
    try:
        record = reader.get(address)
    except (ValueError, maxminddb.InvalidDatabaseError):
        return NO_PLACE
    return _place(record) if isinstance(record, dict) else NO_PLACE


def problem() -> str:
    """What is wrong with the configured file, in a sentence; empty where all is well or none is configured."""
    if not settings.GEOIP_FILE:
        return ""
    path = Path(settings.GEOIP_FILE)
    if not path.is_file():
        return f"The file that CDP_GEOIP_FILE names is missing: {path}. Events get no country until it is there."
    try:
        maxminddb.open_database(path).close()
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        return f"The file that CDP_GEOIP_FILE names cannot be read ({error}): {path}. Events get no country from it."
    return ""


def forget() -> None:
    """For tests that change the file faster than a deployment would."""
    _held.looked_at = float("-inf")


def _look() -> None:
    _held.looked_at = time.monotonic()
    stamp = _stamp(settings.GEOIP_FILE)
    if _held.path == settings.GEOIP_FILE and _held.stamp == stamp:
        return
    changed = _held.path != settings.GEOIP_FILE
    _held.path, _held.stamp = settings.GEOIP_FILE, stamp
    if stamp is None:
        if settings.GEOIP_FILE:
            log.warning("geoip_file_missing", path=settings.GEOIP_FILE)
        reader = None if changed else _held.reader
    else:
        reader = _opened(settings.GEOIP_FILE) or (None if changed else _held.reader)
    if reader is not _held.reader:
        _held.reader = reader  # the old one is closed once nobody reads from it
        _held.generation += 1


def _stamp(path: str) -> tuple[int, int, int] | None:
    if not path:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _opened(path: str) -> maxminddb.Reader | None:
    try:
        return maxminddb.open_database(path)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        log.warning("geoip_file_unreadable", path=path, error=str(error))
        return None


def _place(record: dict[str, object]) -> Place:
    """MaxMind's layout, or the flat one of DB-IP, IPinfo and others."""
    country = record.get("country") or record.get("registered_country") or record.get("country_code")
    regions = record.get("subdivisions")
    region = regions[0] if isinstance(regions, list) and regions else record.get("region")
    return Place(_code(country), _name(region), _name(record.get("city")))


def _code(value: object) -> str:
    code = value.get("iso_code") if isinstance(value, dict) else value
    return code.upper() if isinstance(code, str) and len(code) == 2 else ""


def _name(value: object) -> str:
    names = value.get("names") if isinstance(value, dict) else value
    name = names.get("en") if isinstance(names, dict) else names
    return name if isinstance(name, str) else ""
