"""`python -m cdp.kernel.embedded start|stop|status|url`: the embedded servers from a shell."""

import argparse
import sys

from cdp.kernel.embedded import postgres, services, valkey
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.home import cdp_home, database_url, redis_url


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m cdp.kernel.embedded", description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "status", "url"])
    action = parser.parse_args().action
    try:
        return {"start": start, "stop": stop, "status": status, "url": url}[action]()
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def start() -> int:
    services.start(cdp_home())
    return url()


def stop() -> int:
    services.stop(cdp_home())
    return 0


def status() -> int:
    home = cdp_home()
    running = {"postgres": postgres.is_ready(home), "valkey": valkey.is_ready(home)}
    for name, up in running.items():
        sys.stdout.write(f"{name:10} {'running' if up else 'stopped'}\n")
    return 0 if all(running.values()) else 1


def url() -> int:
    home = cdp_home()
    sys.stdout.write(f"DATABASE_URL={database_url(home)}\nREDIS_URL={redis_url(home)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
