"""What this room refuses, with a code and the path of the part at fault."""

from cdp.kernel.errors import TributaryError


class PolicyError(TributaryError):
    """A survivorship policy is not as it should be."""

    code = "policy_invalid"


class PolicyNotFoundError(PolicyError):
    """There is no such policy or run."""

    code = "policy_not_found"
    http_status = 404
