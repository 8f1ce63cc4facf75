"""Find and end operating-system processes."""

import signal
import time

import psutil

POLL_SECONDS = 0.02


def end(
    process: psutil.Process, how: signal.Signals, *, seconds: float, last_resort: signal.Signals = signal.SIGKILL
) -> None:
    """Send `how`, wait, and only then use force."""
    try:
        process.send_signal(how)
        if not wait_gone(process, seconds=seconds):
            process.send_signal(last_resort)
            wait_gone(process, seconds=10)
    except psutil.NoSuchProcess:
        return


def wait_gone(process: psutil.Process, *, seconds: float) -> bool:
    """Whether it ended in time. An orphan's remains count as gone: init may take its time to reap them."""
    deadline = time.monotonic() + seconds
    while is_alive(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
