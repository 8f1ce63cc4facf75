"""The embedded services from a shell: `python -m cdp.kernel.embedded ACTION`.

up          everything, in the foreground, until Ctrl-C; --demo loads and runs the demo
start       only PostgreSQL and Valkey, in the background
stop        whatever runs from this CDP_HOME
status      what runs
remove      stop, and delete CDP_HOME with all its data
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
    try:
        return int(arguments.run(cdp_home(), arguments))
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
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for run in (up, start, stop, status, remove, url, run_server):
        name = "exec" if run is run_server else run.__name__
        actions.add_parser(name).set_defaults(run=run)
    actions.choices["up"].add_argument("--demo", action="store_true")
    actions.choices["exec"].add_argument("server", choices=["postgres", "valkey"])
    return parser.parse_args()


def up(home: Path, arguments: argparse.Namespace) -> int:
    from cdp.kernel.embedded import launcher

    return launcher.up(home, demo=arguments.demo)


def start(home: Path, arguments: argparse.Namespace) -> int:
    services.start(home)
    return url(home, arguments)


def stop(home: Path, _arguments: argparse.Namespace) -> int:
    """The launcher first, since it would start again what we stop."""
    launcher = preflight.holder(home)
    if launcher:
        end(psutil.Process(launcher), signal.SIGTERM, seconds=STOP_SECONDS)
    leftovers.stop(home)
    return 0


def remove(home: Path, arguments: argparse.Namespace) -> int:
    stop(home, arguments)
    layout.remove(home)
    return 0


def status(home: Path, _arguments: argparse.Namespace) -> int:
    found = {"postgres": postgres.is_ready(home), "valkey": valkey.is_ready(home)}
    for name, runs in found.items():
        sys.stdout.write(f"{name:10} {'running' if runs else 'stopped'}\n")
    return 0 if all(found.values()) else 1


def url(home: Path, _arguments: argparse.Namespace) -> int:
    sys.stdout.write(f"DATABASE_URL={database_url(home)}\nREDIS_URL={redis_url(home)}\n")
    return 0


def run_server(home: Path, arguments: argparse.Namespace) -> int:
    """Become the server, for supervisord. Preparing again at each restart clears what a crash left."""
    layout.prepare(home)
    if arguments.server == "valkey":
        command, environment = valkey.command(home), dict(os.environ)
    else:
        postgres.prepare(home)
        command, environment = postgres.command(home), postgres.environment()
        os.chdir(layout.postgres_root(home))
        postgres.become(service_user(home))
    os.execve(command[0], command, environment)  # noqa: S606 - our own binary, no shell


if __name__ == "__main__":
    sys.exit(main())
