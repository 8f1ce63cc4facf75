"""Start and stop the embedded servers in the background, without the supervisor: for tests and scripts."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from cdp.kernel.embedded import layout, postgres, valkey
from cdp.kernel.embedded.access import service_user
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.processes import end

READY_SECONDS = 60  # crash recovery may have to replay gigabytes of log
MAX_LOG_BYTES = 10 * 1024 * 1024


def start(home: Path, *, durable: bool = True) -> None:
    """Both servers run and answer when this returns; those that already do are left alone.

    `durable=False` turns fsync off, for data that may be lost.
    """
    home = home.resolve()
    layout.prepare(home)
    with exclusive(home):
        if not uses_own_database() and not postgres.is_ready(home):
            start_postgres(home, durable=durable)
        if not uses_own_redis() and not valkey.is_ready(home):
            start_valkey(home)


def stop(home: Path) -> None:
    """Valkey, then PostgreSQL: whoever still writes can finish."""
    home = home.resolve()
    if not home.exists():
        return
    with exclusive(home):
        stop_valkey(home)
        stop_postgres(home)
    layout.tidy_sockets(home)


def servers(home: Path) -> list[psutil.Process]:
    """Those that run, Valkey first: the order in which they stop."""
    return [process for process in (valkey.process(home), postgres.postmaster(home)) if process]


def uses_own_database() -> bool:
    return bool(os.environ.get("DATABASE_URL"))


def uses_own_redis() -> bool:
    return bool(os.environ.get("REDIS_URL"))


def start_postgres(home: Path, *, durable: bool) -> None:
    postgres.prepare(home, durable=durable)
    user = service_user(home)
    process = spawn(
        postgres.command(home),
        log=home / "log/postgres.log",
        cwd=layout.postgres_root(home),
        env=postgres.environment(),
        identity=postgres.identity(user),
    )
    wait_ready("PostgreSQL", lambda: postgres.is_ready(home), process=process, log=home / "log/postgres.log")


def start_valkey(home: Path) -> None:
    process = spawn(valkey.command(home), log=home / "log/valkey.log", cwd=home, env=dict(os.environ), identity={})
    wait_ready("Valkey", lambda: valkey.is_ready(home), process=process, log=home / "log/valkey.log")


def stop_valkey(home: Path) -> None:
    process = valkey.process(home)
    if process:
        end(process, signal.SIGTERM, seconds=20)


def stop_postgres(home: Path) -> None:
    """SIGINT is its fast shutdown: it ends sessions and writes a checkpoint. SIGQUIT only if that hangs."""
    process = postgres.postmaster(home)
    if process:
        end(process, signal.SIGINT, seconds=60, last_resort=signal.SIGQUIT)


def spawn(
    command: list[str], *, log: Path, cwd: Path, env: dict[str, str], identity: dict[str, Any]
) -> subprocess.Popen[bytes]:
    """A process of its own session, so that no Ctrl-C in our terminal reaches it."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )


def wait_ready(name: str, ready: Callable[[], bool], *, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise EmbeddedError(
        f"{name} did not start: {last_line(log)}",
        remedy=f"Its log is {log}.",
        code="service_did_not_start",
    )


def last_line(log: Path) -> str:
    """The last complaint in the log, else its last line."""
    lines = log.read_text(errors="replace").strip().splitlines()[-20:] if log.exists() else []
    complaints = [
        line for line in lines if any(word in line for word in ("FATAL", "PANIC", "# Fatal", "# Failed", "Error:"))
    ]
    return (complaints or lines or ["no message"])[-1]


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """One process at a time starts or stops this home's servers."""
    with (home / "run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
