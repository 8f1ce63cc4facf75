"""Talk to the person who started it. Their terminal may be gone by now; the work goes on all the same."""

import contextlib
import sys
import time
from collections.abc import Iterator


def say(line: str) -> None:
    write(f"{line}\n")


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """A line that appears at once and is finished with the time it took."""
    began = time.monotonic()
    write(f"{name} … ")
    try:
        yield
    except BaseException:
        write("\n")
        raise
    write(f"{time.monotonic() - began:.1f} s\n")


def write(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()
