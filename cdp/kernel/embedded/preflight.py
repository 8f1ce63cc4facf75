"""What is checked before anything starts, so that the reason comes before the consequences."""

import errno
import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import IO

import psutil
import psycopg2
import redis

from cdp.kernel import env
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.layout import postgres_root

MEGABYTE = 1024 * 1024


def web_port() -> int:
    port = integer("CDP_PORT", 8000)
    if not 0 < port < 65536:
        raise EmbeddedError(
            f"CDP_PORT is {port}, which is no port.", remedy="Choose one from 1024 to 65535.", code="port_invalid"
        )
    return port


def bind_address() -> str:
    return env.text("CDP_BIND") or "127.0.0.1"


def integer(name: str, default: int) -> int:
    try:
        return env.integer(name, default)
    except env.InvalidSettingError as error:
        raise EmbeddedError(f"{error}.", remedy=f"Correct {name} or unset it.", code="setting_invalid") from None


def hold_home(home: Path) -> IO[str]:
    """The lock of the one launcher that may run this home; held as long as the file is open."""
    lock = (home / "run/lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EmbeddedError(
            f"Tributary already runs from {home} (process {holder(home)}).",
            remedy="Stop it with Ctrl-C in its terminal or with `make stop`, or set CDP_HOME to another folder.",
            code="already_running",
        ) from None
    lock.seek(0)
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def holder(home: Path) -> int | None:
    """The launcher that runs this home now, if one does."""
    try:
        with (home / "run/lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except (OSError, ValueError):
        return None
    return None


def check_disk(home: Path) -> None:
    """Room for the database to grow: a full disk stops it in the middle of work."""
    least = integer("CDP_MIN_FREE_MB", 500)
    for folder in {home, postgres_root(home)}:
        free = free_megabytes(folder)
        if free < least:
            raise EmbeddedError(
                f"The disk that holds {folder} is nearly full: {free} MB are free, {least} MB are wanted.",
                remedy="Free some space, set CDP_HOME to a folder on another disk, or lower CDP_MIN_FREE_MB.",
                code="disk_nearly_full",
            )


def free_megabytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free // MEGABYTE


def check_own_servers() -> None:
    """The ones that the person named must answer: we cannot start them."""
    if database := env.text("DATABASE_URL"):
        try:
            psycopg2.connect(database, connect_timeout=10).close()
        except psycopg2.Error as error:
            raise unreachable("DATABASE_URL", error) from None
    if broker := env.text("REDIS_URL"):
        try:
            with redis.Redis.from_url(broker, socket_connect_timeout=10) as client:
                client.ping()
        except (redis.RedisError, ValueError) as error:
            raise unreachable("REDIS_URL", error) from None


def unreachable(variable: str, error: Exception) -> EmbeddedError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return EmbeddedError(
        f"The server of {variable} does not answer: {reason}",
        remedy=f"Start it, correct {variable}, or unset it to use the embedded server.",
        code="server_unreachable",
    )


def receiver_port() -> int:
    """Of the demo's webhook receiver."""
    return integer("CDP_RECEIVER_PORT", web_port() + 1)


def check_ports(*, demo: bool) -> None:
    check_port(bind_address(), web_port(), variable="CDP_PORT")
    if demo:
        check_port("127.0.0.1", receiver_port(), variable="CDP_RECEIVER_PORT")


def check_port(address: str, port: int, *, variable: str) -> None:
    """Bind once to see; the server binds again a moment later."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen()
        except OSError as error:
            raise port_error(error, address=address, port=port, variable=variable) from None


def port_error(error: OSError, *, address: str, port: int, variable: str) -> EmbeddedError:
    match error.errno:
        case errno.EADDRINUSE:
            return EmbeddedError(
                f"Port {port} on {address} is taken{by_whom(port)}.",
                remedy=f"Stop that program, or choose another port: {variable}={port + 10} make up",
                code="port_taken",
            )
        case errno.EACCES:
            return EmbeddedError(
                f"This user may not open port {port}.",
                remedy=f"Choose a port above 1023 with {variable}, and put a proxy in front of it.",
                code="port_forbidden",
            )
        case _:
            return EmbeddedError(
                f"Port {port} on {address} cannot be opened: {error.strerror}.",
                remedy=f"Check CDP_BIND and {variable}.",
                code="port_invalid",
            )


def by_whom(port: int) -> str:
    """Other people's processes may be hidden from us; then we say nothing."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError, ValueError):
        pass
    return ""
