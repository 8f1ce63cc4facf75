"""What can keep the embedded services from running, each with what to do about it."""

from cdp.kernel.errors import TributaryError


class EmbeddedError(TributaryError):
    """The reason in one line, and in `remedy` what the person can do. Printed without a traceback."""

    code = "embedded"

    def __init__(self, message: str, *, remedy: str, code: str = "") -> None:
        super().__init__(message, code=code or self.code)
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}"
