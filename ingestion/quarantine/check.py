"""What a fix would do, tried on real messages without storing anything."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from ingestion import messages, treatment
from ingestion.contracts import InboxRow, Incoming, Rejected, SourceTerms
from ingestion.models import Source
from ingestion.quarantine.contracts import Criteria, Example, Preview
from ingestion.quarantine.fix import Steps
from ingestion.quarantine.models import QuarantinedMessage
from ingestion.quarantine.operations import row_of
from ingestion.quarantine.queries import matching
from ingestion.settings import settings_of

CHECKED = 1_000
EXAMPLES = 3


def preview(*, source: Source, criteria: Criteria, steps: Steps) -> Preview:
    """Try the fix on the newest held messages that are meant. Consent is asked only when they are replayed."""
    meant = msgspec.structs.replace(criteria, source=source.slug, state=QuarantinedMessage.State.HELD)
    found = list(matching(meant).order_by("-pk")[:CHECKED])
    rows = [row_of(message, steps) for message in found]
    problems = [problem_of(source, row) for row in rows]
    pairs = list(zip(found, rows, problems, strict=True))
    accepted = sum(1 for problem in problems if problem is None)
    return Preview(
        total=matching(meant).count(),
        checked=len(found),
        accepted=accepted,
        examples=[_example(*pair) for pair in _telling(pairs)],
        problems=_most_frequent(problems),
    )


def problem_of(source: Source, row: InboxRow) -> Rejected | None:
    """Why the drain would turn this message away, None where it would take it."""
    decoded: list[Incoming] = []
    for item in messages.decode_row(row):
        if isinstance(item, Rejected):
            return item
        decoded.append(item)
    terms = SourceTerms(source.purpose_id, source.priority, settings_of(source.settings), source.rules_version)
    treated = treatment.treat(decoded, {source.pk: terms})
    return treated.rejected[0] if treated.rejected else None


def _telling(
    pairs: Sequence[tuple[QuarantinedMessage, InboxRow, Rejected | None]],
) -> list[tuple[QuarantinedMessage, InboxRow, Rejected | None]]:
    """A few examples, one that still fails among them where there is one."""
    failing = [pair for pair in pairs if pair[2] is not None][:1]
    passing = [pair for pair in pairs if pair[2] is None]
    return (passing[: EXAMPLES - len(failing)] + failing)[:EXAMPLES]


def _example(message: QuarantinedMessage, row: InboxRow, problem: Rejected | None) -> Example:
    before = bytes(message.payload if message.edited is None else message.edited)
    return Example(
        id=message.pk,
        before=readable(before),
        after=readable(row.body),
        code=problem.code if problem else "",
        path=problem.path if problem else "",
        message=problem.message if problem else "",
    )


def _most_frequent(problems: Iterable[Rejected | None]) -> list[tuple[str, str, int]]:
    counts = Counter((one.code, one.path) for one in problems if one is not None)
    return [(code, path, number) for (code, path), number in counts.most_common(5)]


def readable(payload: bytes) -> str:
    """A payload for people: indented where it is JSON, else as it is."""
    try:
        return msgspec.json.format(payload, indent=2).decode("utf-8", "replace")
    except (ValueError, RecursionError):
        return payload.decode("utf-8", "replace")
