"""What this room refuses, with codes that stay."""

from cdp.kernel.errors import TributaryError


class MatchError(TributaryError):
    """Base of this room's errors."""


class DecidedError(MatchError):
    """The pair is not waiting: somebody decided about it meanwhile, or it is no longer a pair."""

    http_status = 409


class NotDecidedError(MatchError):
    """There is no decision to take back."""

    http_status = 409


class SettingsError(MatchError):
    """Settings do not fit together."""


class ModelError(MatchError):
    """A version cannot be used that way now."""

    http_status = 409
