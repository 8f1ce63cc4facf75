"""Bars on a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm


class Progress:
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def say(self, line: str) -> None:
        self.stream.write(f"{line}\n")
        self.stream.flush()

    @contextmanager
    def bar(self, label: str, *, total: int, unit: str) -> Iterator[Callable[[int], Any]]:
        """Yields what to call with each further amount. Nothing to do shows nothing."""
        if not total:
            yield lambda _amount: None
        elif self.stream.isatty():
            with tqdm(total=total, desc=f"{label:<18}", unit=unit, file=self.stream, mininterval=0.2) as bar:
                yield bar.update
        else:
            began = time.monotonic()
            yield lambda _amount: None
            self.say(f"{label}: {total:,}{unit} in {time.monotonic() - began:.1f} s")
