"""What this room refuses, with a code and the path of the part at fault."""

from cdp.kernel.errors import TributaryError


class PlanError(TributaryError):
    """A tracking plan is not as it should be."""

    code = "plan_invalid"


class PlanNotFoundError(PlanError):
    """The source has no such plan, version, trial or group of violations."""

    code = "plan_not_found"
    http_status = 404


class DraftChangedError(PlanError):
    """Somebody else saved the draft in the meantime."""

    code = "draft_changed"
    http_status = 409
