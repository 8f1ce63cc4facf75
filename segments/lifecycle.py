"""What happens to a segment between its definitions: a version on its way is cancelled."""

from datetime import datetime

from django.db import transaction

from cdp.kernel.access.models import User
from segments.computations import drop
from segments.errors import NothingOnItsWayError
from segments.models import Computation, Draft, Segment, SegmentVersion
from segments.operations import lock


@transaction.atomic
def cancel(*, segment_id: int, user: User | None = None, now: datetime) -> Segment:
    """Take the next version off its way; what was typed stays as a draft, and the version before it stays live.

    A segment of which nothing was ever live becomes a draft itself.
    """
    segment, computation = lock(segment_id)
    if computation is None:
        raise NothingOnItsWayError(f"No version of “{segment.name}” is being computed.")
    drop(computation, SegmentVersion.Outcome.CANCELLED)
    if segment.computed_at is None:
        segment.definition, segment.version = computation.definition, 0
        segment.state, segment.error = Segment.State.DRAFT, ""
        segment.dependencies.all().delete()
    else:
        _keep_as_draft(segment, computation, user=user, now=now)
        if segment.state == Segment.State.COMPUTING:
            segment.state, segment.error = Segment.State.FAILED, "Computing it was cancelled."
    segment.updated_at = now
    segment.save(update_fields=["definition", "version", "state", "error", "updated_at"])
    return segment


def _keep_as_draft(segment: Segment, computation: Computation, *, user: User | None, now: datetime) -> None:
    """Unless it only computes the live version once more, or a draft is there already."""
    if computation.number != segment.version:
        Draft.objects.get_or_create(
            segment=segment,
            defaults={
                "name": segment.name,
                "description": segment.description,
                "definition": computation.definition,
                "base_version": segment.version,
                "saved_by": user,
                "saved_at": now,
            },
        )
