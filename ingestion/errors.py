"""Why a request or a message was not taken in. The docstring of an error is its meaning."""

from cdp.kernel.errors import TributaryError
from ingestion.contracts import Change


class RequestRefusedError(TributaryError):
    """The whole HTTP request is refused: `status` is what the sender is answered.

    `retry_after` says in how many seconds the same request may be taken; `key` is the write key that came with it.
    """

    key: str | None = None

    def __init__(
        self, message: str, *, code: str, status: int = 400, path: str = "", retry_after: int | None = None
    ) -> None:
        super().__init__(message, code=code, path=path)
        self.status = status
        self.retry_after = retry_after


class BadMessageError(TributaryError):
    """One message cannot be taken in: it is quarantined, and the rest of its batch goes through.

    `changes` is what a rule that refuses it had to say of it, part by part.
    """

    code = "bad_message"
    changes: tuple[Change, ...] = ()
