"""What can be wrong with what was asked of this room."""

from cdp.kernel.errors import TributaryError


class EvaluationError(TributaryError):
    code = "evaluation_refused"
