"""What a stranger does: clone into an empty folder, `make up`, look, Ctrl-C."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cdp.kernel.embedded.home import REPOSITORY
from tests.deployments import Deployment, all_processes, clean_environment, temporary_home

INSTALL_SECONDS = 1_200
CHILD = "CDP_REBUILD"  # set in the clone, so that a test run there does not clone again


@pytest.fixture
def clone() -> Iterator[Path]:
    with temporary_home("a fresh clone/.cdp") as home:
        folder = home.parent
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(folder)], check=True)
        yield folder


@pytest.mark.rebuild
@pytest.mark.timeout(INSTALL_SECONDS + 60)
@pytest.mark.skipif(CHILD in os.environ, reason="this is the clone")
@pytest.mark.skipif(not shutil.which("make") or not (REPOSITORY / ".git").exists(), reason="needs make and git")
def test_a_fresh_clone_comes_up_and_goes_down(clone: Path):
    untouched = {CHILD: "1", "PATH": path_without_this_environment()}
    deployment = Deployment(clone / ".cdp", command=("make", "up"), cwd=clone, environment=untouched, named_home=False)

    deployment.launch()
    deployment.wait_running(seconds=INSTALL_SECONDS)
    answered = deployment.answers()
    launcher = psutil.Process(int((clone / ".cdp/run/lock").read_text()))
    os.killpg(deployment.process.pid, signal.SIGINT)  # as Ctrl-C does: make and everything it runs
    deployment.wait_ended()

    assert answered
    assert not launcher.is_running()
    assert all_processes(clone / ".cdp") == []
    assert "Traceback" not in deployment.said
    assert changes(clone) == ""


def path_without_this_environment() -> str:
    own = str(REPOSITORY / ".venv")
    return os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.startswith(own))


def changes(clone: Path) -> str:
    """What running it left that git would pick up."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(
        command, cwd=clone, env=clean_environment(), capture_output=True, text=True, check=True
    ).stdout
