"""Events as blocks and log have them, in one call."""

from collections.abc import Collection, Iterator
from datetime import datetime

from ingestion.blocks.contracts import Rows
from ingestion.blocks.read import find


def read_rows(
    *,
    name: str,
    since: datetime | None,
    until: datetime | None,
    times: bool = False,
    values: bool = False,
    properties: Collection[str] = (),
) -> Iterator[Rows]:
    """None of a name that no event has borne."""
    held = find(name=name, since=since, until=until, properties=properties)
    return held.rows(times=times, values=values) if held else iter(())


def is_packed(*, name: str, since: datetime | None, until: datetime | None, properties: Collection[str] = ()) -> bool:
    held = find(name=name, since=since, until=until, properties=properties)
    return held is not None and held.is_packed()
