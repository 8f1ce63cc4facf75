"""Deployments of their own for tests: a home, and the launcher as a process a person would start."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg2

from cdp.kernel.embedded import layout, leftovers, processes, services
from cdp.kernel.embedded.home import DATABASE, REPOSITORY, socket_dir

# Of the session that runs the tests; a deployment of its own must not inherit it.
OURS = ("CDP_HOME", "CDP_PORT", "CDP_REDIS_DB", "CDP_TEST_HOME", "DATABASE_URL", "REDIS_URL", "MAKEFLAGS")

PREFIX = "cdp-test-"


@contextlib.contextmanager
def temporary_home(name: str = "home") -> Iterator[Path]:
    """A folder that other users can enter, unlike pytest's; whatever runs in it is stopped at the end."""
    base = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    base.chmod(0o755)
    home = base / name
    try:
        yield home
    finally:
        if home.exists():
            leftovers.stop(home)
            layout.remove(home)
        shutil.rmtree(base, ignore_errors=True)


def clean_environment(**more: str) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in OURS} | more


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def query(home: Path, sql: str, *parameters: object) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(host=str(socket_dir(home)), user=DATABASE, dbname=DATABASE)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def wait_until(true: Callable[[], object], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.2)


def all_processes(home: Path) -> list[psutil.Process]:
    """Of the deployment in `home`, its servers included."""
    found = [process for group in processes.marked(home).values() for process in group]
    return found + services.servers(home)


@dataclass
class Deployment:
    """`command` runs the launcher; the default is what `make up` calls."""

    home: Path
    port: int = field(default_factory=free_port)
    command: tuple[str, ...] = (sys.executable, "-m", "cdp.kernel.embedded", "up")
    cwd: Path = REPOSITORY
    environment: dict[str, str] = field(default_factory=dict)
    named_home: bool = True  # else it finds its home by default
    process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        named = {"CDP_HOME": str(self.home)} if self.named_home else {}
        environment = clean_environment(CDP_PORT=str(self.port), **named, **self.environment)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def log(self) -> Path:
        """Beside the home or the clone, not inside."""
        base = next(folder for folder in self.home.parents if folder.name.startswith(PREFIX))
        return base / f"{self.home.name}.log"

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_running(self, *, seconds: float = 600) -> None:
        """Until the launcher has said so."""
        assert self.process
        deadline = time.monotonic() + seconds
        while "Tributary runs at" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def wait_ended(self, *, seconds: float = 120) -> int:
        assert self.process
        return self.process.wait(seconds)

    def wait_for(self, true: Callable[[], object]) -> None:
        """As `wait_until`, but a failure shows what the launcher said."""
        try:
            wait_until(true)
        except AssertionError:
            raise AssertionError(self.said) from None

    def answers(self) -> bool:
        """A page that needs the database comes back."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/login/", timeout=20) as response:
                return response.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        assert self.process
        self.process.send_signal(how)
        return self.wait_ended()

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()


BECOME = """
import os, pwd, sys
from pathlib import Path
from cdp.kernel.embedded import __main__, postgres, valkey
postgres.is_ready(Path("/nowhere"))  # imports the rest, while the interpreter's files can still be read
valkey.is_ready(Path("/nowhere"))
account = pwd.getpwnam(sys.argv.pop(1))
os.setgroups([])
os.setgid(account.pw_gid)
os.setuid(account.pw_uid)
sys.exit(__main__.main())
"""


def as_user(user: str, *arguments: str) -> list[str]:
    """The embedded services' command line under another user, also where that user cannot start our Python."""
    return [sys.executable, "-c", BECOME, user, *arguments]
