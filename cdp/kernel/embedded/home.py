"""Where a deployment keeps its data, and how to reach its embedded servers.

Nothing here starts anything or needs Django, so settings may import it. Every process that is
given the same ``CDP_HOME`` computes the same answers.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

from cdp.kernel.embedded.access import service_user, user_can_reach

REPOSITORY = Path(__file__).resolve().parents[3]
DATABASE = "tributary"
POSTGRES_PORT = 5432  # only the suffix of the socket's file name: nothing listens on TCP
VALKEY_SOCKET = "valkey.sock"

# sockaddr_un holds 108 bytes on Linux and 104 on BSD; supervisord first binds a name with its pid added.
MAX_SOCKET_PATH = 100
LONGEST_SOCKET_NAME = len("control.sock.4194304")
# libpq splits hosts at commas and URLs need escapes: such a folder is not used for sockets.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+=@-]+")


def cdp_home() -> Path:
    """The folder of this deployment: ``CDP_HOME``, else ``.cdp`` in the checkout."""
    named = os.environ.get("CDP_HOME")
    return Path(named).expanduser().resolve() if named else REPOSITORY / ".cdp"


def home_key(home: Path) -> str:
    """A short name for this home, the same in every process."""
    return hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:12]


def socket_dir(home: Path) -> Path:
    """``<home>/run``, or a short folder below the temporary one.

    The second is for homes whose path is too long for a unix socket, has characters that a
    connection URL would have to escape, or cannot be entered by the user PostgreSQL runs as.
    """
    elsewhere = temporary_dir() / f"cdp-{os.getuid()}-{home_key(home)}"
    if links_to(home / "sockets", elsewhere):
        return elsewhere
    run = home.resolve() / "run"
    room = MAX_SOCKET_PATH - LONGEST_SOCKET_NAME - 1
    short = len(os.fsencode(run)) <= room and PLAIN_PATH.fullmatch(str(run))
    if short and user_can_reach(run, user=service_user(home)):
        return run
    return elsewhere


def links_to(link: Path, target: Path) -> bool:
    """Left by the first start, so that a later change of folder modes does not move the sockets."""
    try:
        return link.readlink() == target
    except OSError:
        return False


def temporary_dir() -> Path:
    """The common one wherever there is one: TMPDIR may differ between two shells of the same person."""
    shared = Path("/tmp")  # noqa: S108 - the folder below it is created 0700 and its owner checked
    return shared if os.access(shared, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def valkey_socket(home: Path) -> Path:
    return socket_dir(home) / VALKEY_SOCKET


def database_settings(home: Path) -> dict[str, object]:
    """The entry of Django's ``DATABASES`` for the embedded PostgreSQL."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": DATABASE,
        "PASSWORD": "",
        "HOST": str(socket_dir(home)),
        "PORT": str(POSTGRES_PORT),
    }


def database_url(home: Path) -> str:
    """For psql and dj_database_url alike: the host in the query keeps its upper-case letters."""
    return f"postgresql://{DATABASE}@/{DATABASE}?host={socket_dir(home)}&port={POSTGRES_PORT}"


def redis_url(home: Path) -> str:
    """For redis-py and Django's cache."""
    return f"unix://{valkey_socket(home)}?db={redis_database()}"


def broker_url(redis: str) -> str:
    """`redis`, an address as redis-py reads it, for Celery (kombu), which spells unix sockets differently."""
    parts = urlsplit(redis)
    if parts.scheme != "unix":
        return redis
    query = dict(parse_qsl(parts.query))
    who = [
        parts.username or quote(query.get("username", ""), safe=""),
        parts.password or quote(query.get("password", ""), safe=""),
    ]
    access = ":".join(who) + "@" if any(who) else ""
    return f"redis+socket://{access}{parts.path}?virtual_host={query.get('db', 0)}"


def redis_database() -> int:
    """The numbered Valkey database; parallel test processes each take their own."""
    return int(os.environ.get("CDP_REDIS_DB", "0"))
