"""Run supervisord for one home and talk to it."""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import xmlrpc.client
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from cdp.kernel.embedded.access import current_user
from cdp.kernel.embedded.home import REPOSITORY, home_key, socket_dir
from cdp.kernel.embedded.preflight import bind_address, web_port
from cdp.kernel.embedded.processes import SERVICE_MARK
from cdp.kernel.embedded.programs import Program, render

PR_SET_PDEATHSIG = 1
# Our own make must not talk to the makes that a program may call.
NOT_PASSED_ON = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}


class Supervisor:
    """supervisord as a child process. It stops everything, in order, when it is told to or when we die."""

    def __init__(self, home: Path, programs: list[Program]) -> None:
        self.home = home
        self.programs = programs
        self.config = home / "supervisord.conf"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        user = current_user().name if os.geteuid() == 0 else ""
        self.config.write_text(render(self.programs, key=home_key(self.home), user=user))
        control_socket(self.home).unlink(missing_ok=True)
        with (self.home / "log/supervisor.err").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cdp.kernel.embedded.supervisord", "-c", str(self.config)],
                cwd=REPOSITORY,
                env=environment(self.home, "supervisor"),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop it in order
                preexec_fn=end_with_parent,  # noqa: PLW1509 - we have one thread
            )

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Returns when every program has stopped: the last one started is the first."""
        if self.process is None or not self.alive():
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(sum(program.stop_seconds for program in self.programs) + 30)

    def states(self) -> list[dict[str, Any]]:
        """name, statename, pid, spawnerr … of each program; empty while supervisord cannot answer."""
        try:
            answer = self.api().getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return []
        return answer if isinstance(answer, list) else []

    def start_program(self, program: Program) -> None:
        self.api().startProcess(program.full_name, False)

    def api(self) -> Any:
        transport = SupervisorTransport(None, None, serverurl=f"unix://{control_socket(self.home)}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def control_socket(home: Path) -> Path:
    return socket_dir(home) / "control.sock"


def environment(home: Path, name: str) -> dict[str, str]:
    """What a process of this deployment finds around it, with the mark by which it is found again."""
    inherited = {key: value for key, value in os.environ.items() if key not in NOT_PASSED_ON}
    return inherited | {
        "CDP_HOME": str(home),
        "CDP_PORT": str(web_port()),
        "CDP_BIND": bind_address(),
        "CDP_PYTHON": shlex.quote(sys.executable),
        "CDP_QUOTED_HOME": shlex.quote(str(home)),
        "CDP_CONTROL": str(control_socket(home)),
        "PYTHONUNBUFFERED": "1",
        SERVICE_MARK: f"{home_key(home)}:{name}",
    }


def end_with_parent() -> None:
    """In the child: have Linux send SIGTERM when the launcher is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
