"""`make up` and `make demo`: start everything, watch over it, stop everything.

1. Hold the home's lock, so that no second launcher starts.
2. Stop what an earlier launcher left, check disk and port, prepare PostgreSQL's data.
3. supervisord starts PostgreSQL and Valkey; migrate; then web, workers and beat.
4. For the demo: load its data through the running product.
5. Wait. Ctrl-C, SIGTERM or SIGHUP stop everything in reverse; so does our own death, by supervisord.
"""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from cdp.kernel.embedded import layout, leftovers, postgres, preflight, services, valkey
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.home import REPOSITORY
from cdp.kernel.embedded.processes import end_all, orphans
from cdp.kernel.embedded.programs import chosen
from cdp.kernel.embedded.supervise import Supervisor, environment
from cdp.kernel.embedded.terminal import say, step

SERVERS_SECONDS = 600  # crash recovery of a large database
WEB_SECONDS = 300  # a small machine may be busy with other things
WATCH_SECONDS = 1.0
TELL_SECONDS = 60  # a program that keeps failing is mentioned this often
PATIENCE = 3  # exits of one program before we give up on it
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Somebody pressed Ctrl-C or sent a signal. Not an Exception: nothing on the way may swallow it."""


def up(home: Path, *, demo: bool) -> int:
    """Run until told to stop; returns the exit status."""
    home = home.resolve()
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means to outlive it
            signal.signal(number, request_stop)
    try:
        layout.prepare(home)
        if demo:
            allow_receiver()
        with preflight.hold_home(home):
            return Launcher(home, demo=demo).run()
    except StopRequested:
        return 0


def allow_receiver() -> None:
    """Webhooks go to no private address that the person did not name; the demo's receiver is one."""
    allowed = [word for word in (os.environ.get("CDP_EGRESS_ALLOW"), f"127.0.0.1:{preflight.receiver_port()}") if word]
    os.environ["CDP_EGRESS_ALLOW"] = ",".join(allowed)


def request_stop(_number: int, _frame: FrameType | None) -> None:
    """Once is enough: the stop itself is not interrupted."""
    let_stop_finish()
    raise StopRequested


def let_stop_finish() -> None:
    """Not SIG_IGN, which a signal that is just arriving would turn into an error."""
    for number in STOP_SIGNALS:
        signal.signal(number, lambda _number, _frame: None)


class Launcher:
    def __init__(self, home: Path, *, demo: bool) -> None:
        self.home = home
        self.demo = demo
        self.own_database = services.uses_own_database()
        self.own_redis = services.uses_own_redis()
        self.programs = chosen(demo=demo, own_database=self.own_database, own_redis=self.own_redis)
        self.supervisor = Supervisor(home, self.programs)
        self.prepared = False
        self.disk_is_low = False
        self.told: dict[str, float] = {}
        self.exits: set[tuple[str, int]] = set()

    def run(self) -> int:
        try:
            self.prepare()
            self.bring_up()
            if self.demo:
                self.load_demo()
            self.announce()
            self.watch()
        except StopRequested:
            say("\nStopping.")
        finally:
            let_stop_finish()
            self.stop()
        return 0

    def prepare(self) -> None:
        self.stop_leftovers()
        preflight.check_disk(self.home)
        preflight.check_ports(demo=self.demo)
        preflight.check_own_servers()
        if not self.own_database:
            first = not layout.data_dir(self.home).exists()
            with step("Creating the database" if first else "Checking the database"):
                postgres.prepare(self.home)

    def stop_leftovers(self) -> None:
        left = leftovers.find(self.home)
        if left:
            with step(f"Stopping what an earlier run left behind: {', '.join(left)}"):
                leftovers.stop(self.home)

    def bring_up(self) -> None:
        """From nothing to a site that answers; also after the supervisor has died, and nothing is to be prepared."""
        layout.prepare(self.home)  # stopping what was left tidied the sockets away
        self.supervisor.start()
        servers = [program.name for program in self.programs if program.server]
        if servers:
            with step(f"Starting {' and '.join(servers)}"):
                self.wait("The servers", self.servers_ready, seconds=SERVERS_SECONDS, suspects=servers)
        if not self.prepared:
            with step("Bringing the database up to date and collecting static files"):
                self.manage("prepare", "--verbosity=0")
            self.prepared = True
        with step("Starting web, workers and beat"):
            if not self.own_redis:
                valkey.forget_workers(self.home)
            wanted = [program for program in self.programs if not program.server and program.name != "simulate"]
            for program in wanted:
                self.supervisor.start_program(program)
            suspects = [program.name for program in wanted]
            self.wait("The web server", web_answers, seconds=WEB_SECONDS, suspects=suspects)
            self.wait("The workers", self.workers_ready, seconds=WEB_SECONDS, suspects=suspects)

    def load_demo(self) -> None:
        self.manage("load_demo", quiet=False)
        self.start_visitors()

    def start_visitors(self) -> None:
        """Only when the data are there: they are the demo's shoppers."""
        for program in self.programs:
            if program.name == "simulate":
                self.supervisor.start_program(program)

    # --- Waiting --------------------------------------------------------------------------------------------
    def wait(self, what: str, ready: Callable[[], bool], *, seconds: float, suspects: list[str]) -> None:
        """Until `ready`; gives up early where a suspect has failed to start again and again."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.supervisor.alive():
                raise failed("supervisor", self.home / "log/supervisor.err")
            for name in suspects:
                if self.keeps_failing(name):
                    raise failed(name, self.home / f"log/{name}.log")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{what} did not come up within {seconds:.0f} seconds.",
                    remedy=f"The logs are in {self.home / 'log'}.",
                    code="service_did_not_start",
                )
            time.sleep(0.1)

    def servers_ready(self) -> bool:
        return (self.own_database or postgres.is_ready(self.home)) and (self.own_redis or valkey.is_ready(self.home))

    def workers_ready(self) -> bool:
        """With a Redis of the person's own, other machines' workers are there too: then running must do."""
        names = {program.name for program in self.programs if program.group == "workers"}
        if not self.own_redis:
            return names <= valkey.workers(self.home)
        return names <= {state["name"] for state in self.supervisor.states() if state["statename"] == "RUNNING"}

    def keeps_failing(self, name: str) -> bool:
        """Each exit has its own time of stopping."""
        for state in self.supervisor.states():
            if state["name"] == name and state["stop"]:
                self.exits.add((name, state["stop"]))
        return sum(1 for exited, _ in self.exits if exited == name) >= PATIENCE

    # --- Running --------------------------------------------------------------------------------------------
    def manage(self, *arguments: str, quiet: bool = True) -> None:
        """One of Django's commands, to its end. Quiet ones show what they say only when they fail."""
        output = subprocess.PIPE if quiet else None
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=environment(self.home, arguments[0]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if quiet else None,
            start_new_session=True,
            text=True,
        )
        try:
            said, _ = process.communicate()
        except StopRequested:
            process.terminate()
            process.wait(20)
            raise
        if process.returncode:
            raise self.command_failed(arguments[0], said or "")

    def command_failed(self, name: str, said: str) -> EmbeddedError:
        log = self.home / f"log/{name}.log"
        log.write_text(said)
        return EmbeddedError(
            f"`manage.py {name}` failed{f': {services.last_line(log)}' if said else ', see above'}",
            remedy=f"What it said is in {log}." if said else f"The logs are in {log.parent}.",
            code="command_failed",
        )

    def announce(self) -> None:
        say(f"\nTributary runs at {url()}")
        say(f"Data and logs are in {self.home}. Ctrl-C stops everything.\n")

    def watch(self) -> None:
        """Programs are restarted by supervisord, and supervisord by us; say what happens."""
        seen = self.pids()
        while True:
            time.sleep(WATCH_SECONDS)
            self.watch_disk()
            if not self.supervisor.alive():
                say("The supervisor process has ended unexpectedly: starting everything again.")
                leftovers.stop(self.home)
                self.bring_up()
                self.start_visitors()
                seen = self.pids()
            for name, pid in self.pids().items():
                if pid != seen.get(name):
                    self.tidy_up_after(name)
                    seen[name] = pid

    def tidy_up_after(self, name: str) -> None:
        end_all(orphans(self.home, name), seconds=1)
        if time.monotonic() - self.told.get(name, -TELL_SECONDS) < TELL_SECONDS:
            return
        self.told[name] = time.monotonic()
        say(f"{name} has stopped and is started again: {self.home / 'log' / name}.log")

    def watch_disk(self) -> None:
        """Say it once each time the disk gets low."""
        try:
            preflight.check_disk(self.home)
        except EmbeddedError as error:
            if not self.disk_is_low:
                say(f"Warning: {error}")
            self.disk_is_low = True
        else:
            self.disk_is_low = False

    def pids(self) -> dict[str, int]:
        return {state["name"]: state["pid"] for state in self.supervisor.states()}

    def stop(self) -> None:
        if self.supervisor.process is None:
            return
        with step("Stopping everything, workers first"):
            self.supervisor.stop()
            leftovers.stop(self.home)
        say("Stopped.")


def failed(name: str, log: Path) -> EmbeddedError:
    return EmbeddedError(
        f"{name} does not start: {services.last_line(log)}", remedy=f"Its log is {log}.", code="service_did_not_start"
    )


def url() -> str:
    host = preflight.bind_address()
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - we read it, we do not bind it
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{preflight.web_port()}/"


def web_answers() -> bool:
    """Any answer but a server error will do: the page may ask for a login."""
    try:
        connection = http.client.HTTPConnection(url().split("/")[2], timeout=5)
        connection.request("GET", "/")
        status = connection.getresponse().status
        connection.close()
    except (OSError, http.client.HTTPException):
        return False
    return status < http.HTTPStatus.INTERNAL_SERVER_ERROR
