"""What can be wrong with a destination's settings, and how sending to it can fail."""

from datetime import timedelta

from cdp.kernel.errors import TributaryError


class ActivationError(TributaryError):
    code = "activation_invalid"


class InvalidDestinationError(ActivationError):
    code = "destination_invalid"


class UnknownKindError(ActivationError):
    code = "destination_kind_unknown"


class DuplicateError(ActivationError):
    code = "duplicate"


class NotReplayableError(ActivationError):
    code = "not_replayable"


class SecretsUnreadableError(ActivationError):
    code = "secrets_unreadable"


class DestinationError(Exception):
    """Sending failed. `permanent` says that another try cannot help; nothing else decides that.

    `status` and `response` are what the receiver answered, if it did; `retry_after` how long it asked us to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        status: int | None = None,
        retry_after: timedelta | None = None,
        response: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent
        self.status = status
        self.retry_after = retry_after
        self.response = response


class EgressRefusedError(DestinationError):
    """The address is one that this deployment does not send to; whoever runs it may allow the host."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)
