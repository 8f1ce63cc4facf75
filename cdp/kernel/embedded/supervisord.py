"""supervisord as it is, but that a full disk does not end it: lines it cannot write to a log are dropped.

Its own handling of that prints to standard error, which is a file on the same disk; that fails, too, and ends it.
"""

import contextlib
from pathlib import Path
from typing import Any

from supervisor import loggers, supervisord

_write = loggers.RotatingFileHandler.emit


def emit(self: Any, record: Any) -> None:
    try:
        _write(self, record)
    except (OSError, ValueError):  # ValueError: it closed the file to begin another, and could not
        with contextlib.suppress(OSError):
            self.stream.close()
        with contextlib.suppress(OSError):
            self.stream = Path(self.baseFilename).open("ab")  # noqa: SIM115 - open until the next rotation


def handle_error(self: Any) -> None:
    """The line is lost."""


def main() -> None:
    loggers.RotatingFileHandler.emit = emit
    loggers.Handler.handleError = handle_error
    supervisord.main()


if __name__ == "__main__":
    main()
