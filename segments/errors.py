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


class SegmentArchivedError(SegmentError):
    """An archived segment is brought back before anything else is done with it."""

    code = "segment_archived"
    http_status = 409


class SegmentAtRestError(SegmentError):
    """A draft or an archived segment has nobody in it and is not computed."""

    code = "segment_at_rest"
    http_status = 409


class NothingOnItsWayError(SegmentError):
    """There is no version that could be cancelled."""

    code = "nothing_on_its_way"
    http_status = 409


class NoDraftError(SegmentError):
    """There is no draft to publish or to discard."""

    code = "no_draft"
    http_status = 409


class VersionNotFoundError(SegmentError):
    """The segment has no version of this number."""

    code = "version_not_found"
    http_status = 404
