"""Browser tests: Chromium against a live server, a page per role, and no error in the console.

`log_in("marketer")` gives a page that is logged in; every page made here fails its test when the browser reports an
error, a refused Content-Security-Policy directive among them. `CDP_CHROMIUM` names the browser (default: Debian's
headless shell, or Chromium), `CDP_SCREENSHOTS` a folder that keeps what `screenshot` takes.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from cdp.demo.drain import drain_all
from cdp.kernel.access.models import User
from ingestion import operations
from ingestion.models import Source
from tests.factories.access import make_user
from tests.factories.ingestion import identify, track
from tests.integration.conftest import database, static_root, transactional_db
from tests.ledger import ledger_may_be_flushed

__all__ = ["database", "ledger_may_be_flushed", "static_root", "transactional_db"]

# Playwright's synchronous interface runs an event loop in this thread, which Django takes for asynchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

CHROMIUM = (
    os.environ.get("CDP_CHROMIUM")
    or shutil.which("chromium-headless-shell")
    or shutil.which("chromium")
    or "/usr/bin/chromium"
)
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-features=LocalNetworkAccessChecks",  # pages that a test makes up have no address of their own
)
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 844}
USUAL = {"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce"}
# What fits in light fits in dark: that is to be looked at.
SCHEMES = ("light", "dark") if os.environ.get("CDP_SCREENSHOTS") else ("light",)

expect.set_options(timeout=10_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return browser_type_launch_args | {"executable_path": CHROMIUM, "args": [*QUIET, *sandbox]}


# What htmx says where a page is left before it has all that it asked for; a failure says htmx:sendError besides.
LEFT = r"htmx:(sendAbort|afterRequest), \[object "


class Complaints:
    """What browsers complained of in this test. `expect` names, as a pattern, what the test means to cause."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.expected: list[str] = [LEFT]

    def expect(self, pattern: str) -> None:
        self.expected.append(pattern)

    def watch(self, page: Page) -> None:
        page.on("console", self._hear_console)
        page.on("pageerror", lambda error: self.heard.append(f"{page.url}: {error}"))

    def _hear_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.heard.append(f"{message.location.get('url', '')}: {message.text}")

    def unexpected(self) -> list[str]:
        return [one for one in self.heard if not any(re.search(pattern, one) for pattern in self.expected)]


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    mine = Complaints()
    yield mine
    assert mine.unexpected() == []


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(
    new_context: Callable[..., BrowserContext], live_server: Any, complaints: Complaints, settings: Any
) -> NewPage:
    """`new_page(viewport=NARROW, color_scheme="dark")`: a page of its own browser context, logged in as nobody."""
    settings.PUBLIC_URL = live_server.url

    def open_one(**options: Any) -> Page:
        context = new_context(base_url=live_server.url, **(USUAL | options))
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        complaints.watch(page)
        return page

    return open_one


@pytest.fixture
def log_in(new_page: NewPage, live_server: Any) -> NewPage:
    """`log_in("marketer", viewport=NARROW)`: a page of somebody in this role; or of a user given as `user`."""

    def enter(*roles: str, user: User | None = None, **options: Any) -> Page:
        client = Client()
        client.force_login(user or make_user(*roles))
        page = new_page(**options)
        name = settings.SESSION_COOKIE_NAME
        page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
        return page

    return enter


@pytest.fixture
def shop(database: None) -> tuple[Source, str]:
    """A source and its write key."""
    return operations.create_source(slug="shop", name="Shop", now=timezone.now())


@pytest.fixture
def send(live_server: Any, shop: tuple[Source, str]) -> Callable[..., None]:
    """Send messages over HTTP and process them: `send(track("Order Completed"))`."""
    import httpx

    def post(*messages: dict[str, Any]) -> None:
        answer = httpx.post(f"{live_server.url}/v1/batch", json={"batch": messages}, auth=(shop[1], ""), timeout=60)
        assert answer.status_code == 200
        drain_all(clock=timezone.now)

    return post


@pytest.fixture
def shoppers(send) -> None:
    """Anna spent 600 ten days ago, Ben 700 yesterday, Cleo 20 ten days ago."""
    now = timezone.now()
    orders = (("Anna", 600, 10, "tea"), ("Ben", 700, 1, "tea"), ("Cleo", 20, 10, "milk"))
    for name, revenue, days, category in orders:
        user = name.lower()
        send(
            identify(userId=user, traits={"name": name, "email": f"{user}@example.org", "age": 30 + days}),
            track(
                "Order Completed",
                userId=user,
                timestamp=(now - timedelta(days=days)).isoformat(),
                properties={"revenue": revenue, "category": category},
            ),
        )


@pytest.fixture
def builder(log_in, shoppers) -> Page:
    page = log_in("marketer")
    page.goto("/segments/new/")
    return page


@pytest.fixture
def screenshot() -> Callable[[Page, str], None]:
    """Kept where somebody wants to look at them: drawing a whole page takes longer than loading it."""
    wanted = os.environ.get("CDP_SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        if wanted:
            page.screenshot(path=Path(wanted) / f"{name}.png", full_page=True)

    return take


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the right of the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
