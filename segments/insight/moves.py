"""Who entered and left, as the page follows it live: all, only entries, only exits, or of one person."""

from dataclasses import dataclass

from identity import queries as identity
from ingestion.dictionary.masking import Masker
from segments.contracts import TransitionView
from segments.models import Segment, Transition
from segments.people import MOST_FOUND, Move, describe


@dataclass(frozen=True)
class Wanted:
    """`kind` is entered, left or empty for both; `text` finds people."""

    kind: str = ""
    text: str = ""


def latest_moves(segment: Segment, *, wanted: Wanted, limit: int, masker: Masker) -> list[Move]:
    """The newest first."""
    found = Transition.objects.filter(segment_id=segment.pk)
    if wanted.kind in Transition.Kind.values:
        found = found.filter(kind=wanted.kind)
    if wanted.text:
        found = found.filter(profile_id__in=[view.id for view in identity.search(text=wanted.text, limit=MOST_FOUND)])
    rows = [
        TransitionView(row.id, row.profile_id, row.kind, row.at, row.cause, row.version)
        for row in found.order_by("-at", "-id")[:limit]
    ]
    people = describe((row.profile_id for row in rows), masker=masker)
    return [
        Move(person, row.kind, row.at, str(Transition.Cause(row.cause).label))
        for person, row in zip(people, rows, strict=True)
    ]
