"""Find the processes of a deployment, whoever their parent is now, and end them in order."""

import signal
import time
from pathlib import Path

import psutil

from cdp.kernel.embedded.home import home_key

# Every process we start bears this in its environment, as "<key of the home>:<name>".
SERVICE_MARK = "CDP_SERVICE"
POLL_SECONDS = 0.02
SERVERS = {"postgres", "valkey"}


def marked(home: Path) -> dict[str, list[psutil.Process]]:
    """The living processes of this home by the name of their program."""
    prefix = f"{home_key(home)}:"
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        mark = mark_of(process)
        if mark.startswith(prefix) and is_alive(process):
            found.setdefault(mark.removeprefix(prefix), []).append(process)
    return found


def orphans(home: Path, name: str) -> list[psutil.Process]:
    """Children of a program that died without them; they may hold its port."""
    return [process for process in marked(home).get(name, []) if not mark_of_parent(process)]


def mark_of_parent(process: psutil.Process) -> str:
    try:
        parent = process.parent()
    except psutil.NoSuchProcess:
        return ""
    return mark_of(parent) if parent else ""


def mark_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(SERVICE_MARK, ""))
    except (psutil.Error, OSError):  # other people's processes are closed to us
        return ""


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


def end_all(processes: list[psutil.Process], *, seconds: float) -> None:
    """SIGTERM to all at once, SIGKILL to those that are still there in the end."""
    for how, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for process in processes:
            try:
                process.send_signal(how)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + patience
        processes = [process for process in processes if not wait_gone(process, seconds=deadline - time.monotonic())]


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
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
