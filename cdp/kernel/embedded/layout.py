"""The folders below CDP_HOME, made with the right owner and mode."""

import contextlib
import os
import shutil
import stat
from pathlib import Path

from cdp.kernel.embedded.access import User, service_user, user_can_reach
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.home import home_key, links_to, socket_dir

# Where root's PostgreSQL keeps its data when CDP_HOME is in a folder closed to other users.
SYSTEM_DATA = Path("/var/lib/tributary")
PRIVATE = 0o700


def prepare(home: Path) -> None:
    """Make every folder the services need. Safe to repeat."""
    home = home.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name in ("log", "run", "valkey", "beat"):
            (home / name).mkdir(exist_ok=True)
    except OSError as error:
        raise not_writable(home, error) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise not_writable(home, None)
    user = service_user(home)
    sockets = socket_dir(home)
    make_private(sockets, owner=user)
    if sockets != home / "run" and not links_to(home / "sockets", sockets):
        (home / "sockets").unlink(missing_ok=True)
        (home / "sockets").symlink_to(sockets)
    make_private(postgres_root(home), owner=user)


def not_writable(home: Path, error: OSError | None) -> EmbeddedError:
    reason = f" ({error.strerror})" if error and error.strerror else ""
    return EmbeddedError(
        f"CDP_HOME {home} cannot be written{reason}.",
        remedy="Give this user the folder, or set CDP_HOME to one that it may write.",
        code="home_not_writable",
    )


def postgres_root(home: Path) -> Path:
    """The folder that holds PostgreSQL's data: below home, or where home's link points.

    The link is made on first use, so that the data stay found when folders above change their mode.
    """
    inside = home.resolve() / "postgres"
    if inside.is_symlink():
        return inside.resolve()
    if inside.exists() or user_can_reach(inside, user=service_user(home)):
        return inside
    outside = SYSTEM_DATA / home_key(home)
    if home.exists():
        SYSTEM_DATA.mkdir(parents=True, exist_ok=True, mode=0o755)
        inside.symlink_to(outside)
    return outside


def data_dir(home: Path) -> Path:
    return postgres_root(home) / "data"


def remove(home: Path) -> None:
    """Everything of this home, wherever it had to be put."""
    for folder in (postgres_root(home), socket_dir(home), home):
        shutil.rmtree(folder, ignore_errors=True)


def tidy_sockets(home: Path) -> None:
    """Leave no empty folder in a temporary place."""
    if socket_dir(home) != home.resolve() / "run":
        (socket_dir(home) / "control.sock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            socket_dir(home).rmdir()


def make_private(folder: Path, *, owner: User) -> None:
    """A folder for `owner` alone; refuses one that somebody else put there first."""
    folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {0, os.geteuid(), owner.uid}:
        raise EmbeddedError(
            f"{folder} belongs to another user.",
            remedy="Remove that folder, or set CDP_HOME to another one.",
            code="folder_not_ours",
        )
    if os.geteuid() == 0:
        os.chown(folder, owner.uid, owner.gid)
    folder.chmod(PRIVATE)
