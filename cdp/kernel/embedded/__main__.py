"""The embedded services from a shell: `python -m cdp.kernel.embedded ACTION`.

up          everything, in the foreground, until Ctrl-C; --demo loads and runs the demo
start       only PostgreSQL and Valkey, in the background
stop        whatever runs from this CDP_HOME
status      what runs
url         DATABASE_URL and REDIS_URL of the embedded servers
"""

import argparse
import os
import signal
import sys
from pathlib import Path

import psutil

from cdp.kernel.embedded import layout, leftovers, postgres, preflight, services, valkey
from cdp.kernel.embedded.access import service_user
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.home import cdp_home, database_url, redis_url
from cdp.kernel.embedded.processes import end

STOP_SECONDS = 180


def main() -> int:
    arguments = parse_arguments()
    home = cdp_home()
    try:
        match arguments.action:
            case "up":
                return up(home, demo=arguments.demo)
            case "start":
                services.start(home)
                return show_urls(home)
            case "stop":
                return stop(home)
            case "status":
                return show_status(home)
            case "url":
                return show_urls(home)
            case _:
                run_server(arguments.server, home)
    except EmbeddedError as error:
        sys.stdout.flush()
        sys.stderr.write(f"Error: {error}\n")
    return 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cdp.kernel.embedded",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("up").add_argument("--demo", action="store_true")
    for name in ("start", "stop", "status", "url"):
        actions.add_parser(name)
    actions.add_parser("exec").add_argument("server", choices=["postgres", "valkey"])  # supervisord calls this
    return parser.parse_args()


def up(home: Path, *, demo: bool) -> int:
    from cdp.kernel.embedded import launcher

    return launcher.up(home, demo=demo)


def stop(home: Path) -> int:
    """The launcher first, since it would start again what we stop."""
    launcher = preflight.holder(home)
    if launcher:
        end(psutil.Process(launcher), signal.SIGTERM, seconds=STOP_SECONDS)
    leftovers.stop(home)
    return 0


def show_status(home: Path) -> int:
    running = {"postgres": postgres.is_ready(home), "valkey": valkey.is_ready(home)}
    for name, up in running.items():
        sys.stdout.write(f"{name:10} {'running' if up else 'stopped'}\n")
    return 0 if all(running.values()) else 1


def show_urls(home: Path) -> int:
    sys.stdout.write(f"DATABASE_URL={database_url(home)}\nREDIS_URL={redis_url(home)}\n")
    return 0


def run_server(name: str, home: Path) -> None:
    """Become the server. Preparing again at each restart clears what a crash left."""
    layout.prepare(home)
    if name == "valkey":
        command = valkey.command(home)
        os.execv(command[0], command)  # noqa: S606 - our own binary, no shell
    postgres.prepare(home)
    command = postgres.command(home)
    os.chdir(layout.postgres_root(home))
    postgres.become(service_user(home))
    os.execve(command[0], command, postgres.environment())  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
