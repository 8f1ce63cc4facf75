"""Events in bulk, for questions about everybody."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from cdp.kernel.copy import timestamp_micros
from ingestion.blocks.contracts import Rows
from ingestion.blocks.log import Asked, Values, read_log
from ingestion.models import EventName

_BEGINNING = timestamp_micros(datetime.min.replace(tzinfo=UTC))
_END = timestamp_micros(datetime.max.replace(tzinfo=UTC))


def read_rows(
    *,
    name: str,
    since: datetime | None,
    until: datetime | None,
    times: bool = False,
    values: bool = False,
    properties: Collection[str] = (),
) -> Iterator[Rows]:
    """Every event of this name with `since <= ts < until`, exactly as the log holds it in the caller's snapshot.

    To be read to the end inside of one REPEATABLE READ transaction. `properties` are paths as in a segment's
    definition, but none through a list: ask for the list, and look into the values.

    Raises:
        ValueError: where a path leads through a list.
    """
    name_id = EventName.objects.filter(name=name).values_list("pk", flat=True).first()
    if name_id is None:
        return
    stretch = (
        _BEGINNING if since is None else timestamp_micros(since),
        _END if until is None else timestamp_micros(until),
    )
    asked = Asked(name_id, times, values, {path: Values() for path in properties})
    yield from read_log(asked, stretch)
