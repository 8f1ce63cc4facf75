"""Why a rule, a load or a channel is not taken."""

from cdp.kernel.errors import TributaryError


class QualityError(TributaryError):
    """Something about the quality of a source cannot be set in this way."""

    code = "quality_invalid"
