"""The base of every error that a person or a client may see."""


class TributaryError(Exception):
    """An error with a stable code and, where one part of the input is at fault, the path to it.

    `path` is a JSON-pointer-like address such as ``/of/1/value``; empty when the whole input is meant.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.path = path

    def as_dict(self) -> dict[str, str]:
        """The shape that every API of ours answers with: ``{"code", "message", "path"?}``."""
        body = {"code": self.code, "message": self.message}
        if self.path:
            body["path"] = self.path
        return body
