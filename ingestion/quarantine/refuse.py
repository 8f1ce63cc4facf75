"""A batch that is mostly bad is not stored in part, where its source says so."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from ingestion.contracts import Incoming, Rejected, SourceTerms
from ingestion.messages import reject

CODE = "batch_refused"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
Request = tuple[int, int]


def refuse_batches(
    kept: list[Incoming], rejected: list[Rejected], sources: Mapping[int, SourceTerms]
) -> tuple[list[Incoming], list[Rejected]]:
    """Turn away the good messages of requests in which the share of bad ones passes their source's limit.

    What is replayed from the quarantine is past this question. Who does not consent counts neither way.
    """
    limits = {
        id_: terms.settings.quarantine.refuse_above
        for id_, terms in sources.items()
        if terms.settings.quarantine.refuse_above is not None
    }
    bad = Counter(
        (item.source_id, item.row.id) for item in rejected if item.source_id in limits and item.row.held is None
    )
    if not bad:
        return kept, rejected
    good = Counter(place for event in kept if (place := _request(event)) is not None and place in bad)
    shares = {request: 100 * bad[request] / (bad[request] + good[request]) for request in bad}
    refused = {request for request, share in shares.items() if share > (limits[request[0]] or 0)}
    if not refused:
        return kept, rejected
    turned = [_refuse(event, bad, good, limits) for event in kept if _request(event) in refused]
    return [event for event in kept if _request(event) not in refused], rejected + turned


def _request(event: Incoming) -> Request | None:
    return None if event.row.held else (event.source_id, event.row.id)


def _refuse(
    event: Incoming, bad: Mapping[Request, int], good: Mapping[Request, int], limits: Mapping[int, int | None]
) -> Rejected:
    request = (event.source_id, event.row.id)
    total = bad[request] + good[request]
    return reject(
        event,
        received_at=_EPOCH + timedelta(microseconds=event.received),
        code=CODE,
        message=f"Of its batch {bad[request]} of {total} messages are bad; this source refuses a batch with more than"
        f" {limits[event.source_id]}% of them. This message is good: replay it when that is mended.",
    )
