"""What the segments room refuses, with a code and the path of the part at fault."""

from cdp.kernel.errors import TributaryError


class SegmentError(TributaryError):
    """The base of every error of this room."""

    code = "segment_error"


class SegmentNotFoundError(SegmentError):
    """There is no such segment."""

    code = "segment_not_found"
    http_status = 404


class SlugTakenError(SegmentError):
    """Another segment has this slug."""

    code = "slug_taken"
    http_status = 409


class SegmentInUseError(SegmentError):
    """Something still reads this segment, so it cannot be deleted."""

    code = "segment_in_use"
    http_status = 409


class QueryTooSlowError(SegmentError):
    """The database gave up on this definition: it would have taken too long."""

    code = "definition_too_slow"
    http_status = 422
