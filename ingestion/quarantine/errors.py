"""What can be wrong with what somebody asks of the quarantine."""

from cdp.kernel.errors import TributaryError


class QuarantineError(TributaryError):
    """The messages do not allow what was asked."""

    code = "quarantine_invalid"


class FixError(QuarantineError):
    """A step of a fix makes no sense; `path` says which."""

    code = "fix_invalid"
