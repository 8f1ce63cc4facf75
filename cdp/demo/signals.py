"""Being asked to stop, by Ctrl-C or by a supervisor."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_stop(act: Callable[[], None], *, numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Call `act` when one of the signals comes; what was there before comes back at the end.

    `act` runs in the middle of whatever the main thread does: see `aside` where it takes a lock.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield
        return
    before = {number: signal.signal(number, lambda _number, _frame: act()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def aside(act: Callable[[], None]) -> Callable[[], None]:
    """The same in a thread of its own, which may wait for a lock that the interrupted thread holds."""
    return lambda: threading.Thread(target=act).start()
