from segments.errors import SegmentError


class NotManualError(SegmentError):
    """The members of this segment are computed from its definition."""

    code = "not_manual"
    http_status = 409


class UploadError(SegmentError):
    """A list that cannot be read, or not be applied as asked."""

    code = "bad_upload"
