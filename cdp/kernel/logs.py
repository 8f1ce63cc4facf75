"""Where log lines go."""

import contextlib
import sys


class Output:
    """Standard output, which may be a closed pipe or a full disk: that must not turn an answer into an error."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
