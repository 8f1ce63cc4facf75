"""What this room refuses."""

from segments.errors import SegmentError


class TraitHiddenError(SegmentError):
    """The values of this trait are masked for the person who asks."""

    code = "trait_masked"
    http_status = 403


class TooManySegmentsError(SegmentError):
    """More sets than a picture of their overlaps can show."""

    code = "too_many_segments"
    path = "/with"


class UnknownSegmentError(SegmentError):
    """One of the segments to compare with does not exist."""

    code = "unknown_segment"
    path = "/with"


class CancelledError(SegmentError):
    """The same panel has asked again, so that nobody waits for this answer."""

    code = "cancelled"
    http_status = 409


class UnknownColumnError(SegmentError):
    """No such column can stand beside a member."""

    code = "unknown_column"


class ExportRefusedError(SegmentError):
    """An export without a purpose or a reason."""

    code = "purpose_missing"
