"""A deployment's home for one benchmark: made in a temporary folder, stopped and removed at the end."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cdp.kernel.embedded import layout, leftovers, services
from cdp.kernel.embedded.home import REPOSITORY
from cdp.kernel.embedded.programs import KEEP_MEMORY

OTHERS = ("CDP_HOME", "CDP_PORT", "CDP_REDIS_DB", "DATABASE_URL", "REDIS_URL")


def become_worker() -> None:
    """Start this script anew with the environment in which the supervisor runs the ingest workers."""
    if any(os.environ.get(name) != value for name, value in KEEP_MEMORY):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict(KEEP_MEMORY))


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="cdp-bench-"))
    base.chmod(0o755)
    home = base / "home"
    try:
        yield home
    finally:
        if home.exists():
            leftovers.stop(home)
            layout.remove(home)
        shutil.rmtree(base, ignore_errors=True)


def environment(home: Path, **more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OTHERS} | {"CDP_HOME": str(home)} | more


@contextlib.contextmanager
def kept_home(base: Path) -> Iterator[Path]:
    """One that stays for the next time; only its servers are stopped."""
    base.mkdir(parents=True, exist_ok=True)
    base.chmod(0o755)
    home = base / "home"
    try:
        yield home
    finally:
        leftovers.stop(home)


@contextlib.contextmanager
def servers(*, keep: Path | None = None) -> Iterator[Path]:
    """PostgreSQL and Valkey with our tables in place, and Django set up to use them in this process."""
    with kept_home(keep) if keep else temporary_home() as home:
        services.start(home)
        for name in OTHERS:
            os.environ.pop(name, None)
        os.environ["CDP_HOME"] = str(home)
        os.environ["DJANGO_SETTINGS_MODULE"] = "cdp.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        yield home


@contextlib.contextmanager
def product(*, keep: Path | None = None) -> Iterator[tuple[Path, int]]:
    """Everything that `make up` runs; yields its home and port."""
    with kept_home(keep) if keep else temporary_home() as home:
        home.mkdir(exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = home.with_suffix(".log")
        with log.open("wb") as output:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "cdp.kernel.embedded", "up"],
                cwd=REPOSITORY,
                env=environment(home, CDP_PORT=str(port)),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            wait_for_start(launcher, log)
            yield home, port
        finally:
            launcher.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(90)


def wait_for_start(launcher: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 300
    while "Tributary runs at" not in log.read_text():
        if launcher.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(log.read_text())
        time.sleep(0.2)


def manage(home: Path, *arguments: str) -> str:
    """One of Django's commands in that home; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=REPOSITORY,
        env=environment(home),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout
