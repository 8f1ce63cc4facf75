"""Why a kind cannot be configured so, or a conflict not decided so."""

from cdp.kernel.errors import TributaryError


class KindError(TributaryError):
    """A kind cannot be configured in this way."""

    code = "kind_invalid"


class ConflictError(TributaryError):
    """A conflict cannot be decided in this way."""

    code = "conflict_invalid"
