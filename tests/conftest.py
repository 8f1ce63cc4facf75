"""Every test session has its own PostgreSQL and Valkey, unless DATABASE_URL or REDIS_URL name others.

They live in ``CDP_TEST_HOME`` (default ``.cdp/test``, or the next free number where another session
runs at the same time), start with the session and stop with it. With pytest-xdist the controller
starts them and the workers find ``CDP_HOME`` in their environment.
"""

import contextlib
import fcntl
import gc
import importlib
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import hypothesis
import pytest
import pytest_django

from cdp.kernel.embedded import services
from cdp.kernel.embedded.home import REPOSITORY

# A busy machine is no failure: what is slow is measured in benchmarks, and never by a test.
hypothesis.settings.register_profile(
    "tributary", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tributary")

gc.disable()  # importing and collecting thousands of tests makes no garbage: see pytest_collection_finish

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
_lock: IO[str] | None = None


def claim_home() -> tuple[Path, IO[str]]:
    """The first test home that no other session holds."""
    base = Path(os.environ.get("CDP_TEST_HOME") or REPOSITORY / ".cdp/test").resolve()
    for number in itertools.count(1):
        home = base if number == 1 else base.with_name(f"{base.name}-{number}")
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "session.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return home, lock
    raise AssertionError


def load_settings() -> None:
    """Read the settings with the environment made here, also when pytest-django has read them before."""
    import django
    from django.conf import settings

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")
    if settings.configured:
        database = settings.DATABASES["default"]  # connections hold this very dictionary
        fresh = importlib.reload(importlib.import_module("cdp.settings"))
        for name in filter(str.isupper, dir(fresh)):
            setattr(settings, name, getattr(fresh, name))
        database.update(fresh.DATABASES["default"])
        settings.DATABASES["default"] = database
    django.setup()
    settings.WHITENOISE_AUTOREFRESH = True  # else each test client begins by indexing every static file


if WORKER is None:
    _home, _lock = claim_home()
    os.environ["CDP_HOME"] = str(_home)
else:
    os.environ["CDP_REDIS_DB"] = str(int(WORKER.removeprefix("gw")) + 1)
load_settings()


# With several workers a long file that comes last leaves the others idle: these start first. Of those that run whole
# deployments, which make everything else slow, no three at the same time.
LONG_FILES = (
    "integration/test_faults.py",
    "rebuild/test_fresh_clone.py",
    "browser/test_segments_builder.py",
    "browser/test_segments_builder_editing.py",
    "browser/test_console_pages.py",
    "integration/test_embedded_launcher.py",
    "browser/",
    "integration/test_embedded_servers.py",
    "integration/test_demo_",
    "unit/test_demo_complete_journey.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, name in enumerate(LONG_FILES) if name in item.nodeid), len(LONG_FILES)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Alone among the workers of this session."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    django_db_blocker: pytest_django.DjangoDbBlocker,
    testrun_uid: str,
) -> None:
    """Each worker's database is a copy of one that the first of them has migrated."""
    from django.db import connection

    home = Path(os.environ["CDP_HOME"])
    made = home / "template.made"
    template = f"{connection.settings_dict['NAME']}_template"
    test_settings = connection.settings_dict["TEST"]
    with held(home / "template.lock"), django_db_blocker.unblock():
        if not made.exists() or made.read_text() != testrun_uid:
            own, name = test_settings["NAME"], connection.settings_dict["NAME"]
            test_settings["NAME"] = template
            with contextlib.redirect_stderr(io.StringIO()):  # on which it says that there was an older one
                connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
            connection.close()
            connection.settings_dict["NAME"], test_settings["NAME"] = name, own
            made.write_text(testrun_uid)
    test_settings["TEMPLATE"] = template


def pytest_configure(config: pytest.Config) -> None:
    if WORKER is None and not config.option.collectonly:
        services.start(_home, durable=False)


def pytest_unconfigure() -> None:
    if _lock is not None:
        services.stop(_home)
        _lock.close()
