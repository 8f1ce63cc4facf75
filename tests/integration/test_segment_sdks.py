"""Segment's own libraries for Python and Node.js, with nothing but their host changed, against a live server. R: A2"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import segment.analytics.request
from django.conf import settings
from segment.analytics.client import Client

from identity import queries
from identity.accounts import queries as accounts
from ingestion import operations
from ingestion.settings import RateLimit, SourceSettings
from tests.integration.conftest import drain_all, rows

NODE = shutil.which("node") or "node"
SCRIPT = settings.BASE_DIR / "tests/clients/segment_node.mjs"


@pytest.fixture(autouse=True)
def no_connection_is_left(live_server: Any) -> Iterator[None]:
    """The server keeps a database session for as long as a client keeps its connection."""
    yield
    segment.analytics.request._session.close()
    for _ in range(100):
        if rows("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == [(1,)]:
            return
        time.sleep(0.05)


def counted() -> dict[str, int]:
    return dict(
        rows("SELECT n.name, count(*) FROM event e JOIN event_name n ON n.id = e.name_id GROUP BY 1 ORDER BY 1")
    )


EVERYTHING = {
    "Alias": 1,
    "Group": 1,
    "Identify": 1,
    "Order Completed": 1,
    "Page Viewed": 1,
    "Screen Viewed": 1,
    "Viewed": 10,
}


def check(user: str) -> None:
    """What both scripts send."""
    person = queries.lookup(kind="user_id", value=user)
    view = queries.get_profile(profile_id=person)
    assert counted() == EVERYTHING
    assert rows("SELECT DISTINCT profile_id FROM event") == [(person,)]
    assert view.traits == {"email": f"{user.split('-', maxsplit=1)[0].title()}@Example.org", "plan": "pro"}
    assert view.identifiers["email"] == [f"{user.split('-', maxsplit=1)[0]}@example.org"]
    assert [one.account.traits for one in accounts.accounts_of(profile_id=person)] == [{"name": "Acme"}]
    assert rows("SELECT value, properties->>'note' FROM event WHERE value IS NOT NULL") == [(39.9, "ü😀")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestPython:
    @pytest.mark.parametrize("gzip", [False, True])
    def test_every_message_arrives_once(self, live_server: Any, key: str, gzip: bool):
        failures: list[Any] = []
        client = Client(
            key, host=live_server.url, gzip=gzip, upload_size=3, on_error=lambda *error: failures.append(error)
        )
        user = "python-1"

        client.identify(user, {"email": "Python@Example.org", "plan": "pro"}, anonymous_id="python-a")
        client.track(user, "Order Completed", {"revenue": 39.9, "note": "ü😀"})
        client.page(user, name="Home", properties={"path": "/"})
        client.screen(user, name="Start")
        client.group(user, "acme", {"name": "Acme"})
        client.alias("python-old", user)
        for number in range(10):
            client.track(anonymous_id="python-a", event="Viewed", properties={"number": number})
        client.flush()
        client.join()

        assert drain_all().stored == 16
        assert not failures
        check(user)

    def test_a_rate_limit_delays_and_loses_nothing(self, live_server: Any, source: Any, key: str):
        limit = RateLimit(per_second=4, burst=4)
        operations.change_settings(source=source, settings=SourceSettings(rate=limit))
        client = Client(key, host=live_server.url, upload_size=2, upload_interval=0.1)

        for number in range(10):
            client.track("u-1", "Viewed", {"number": number})
        client.flush()
        client.join()

        assert drain_all().stored == 10


class TestNode:
    def test_every_message_arrives_once(self, live_server: Any, key: str):
        ran = subprocess.run(
            [NODE, str(SCRIPT), live_server.url, key], capture_output=True, text=True, timeout=60, check=False
        )

        assert (ran.returncode, ran.stderr) == (0, "")
        assert drain_all().stored == 16
        check("node-1")
