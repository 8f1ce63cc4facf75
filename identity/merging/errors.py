"""Why profiles were not merged, or a merge not taken back."""

from cdp.kernel.errors import TributaryError


class MergeRefusedError(TributaryError):
    """These profiles cannot be merged, or that merge not be taken back; `code` says why."""

    code = "merge_refused"


class UnknownProfileError(MergeRefusedError):
    """There is no such profile."""

    code = "not_found"
    http_status = 404


class UnknownMergeError(MergeRefusedError):
    """There is no such merge."""

    code = "not_found"
    http_status = 404


class NothingSaidError(MergeRefusedError):
    """Nothing was said of these two."""

    code = "not_found"
    http_status = 404
