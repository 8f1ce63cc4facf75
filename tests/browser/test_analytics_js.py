"""analytics.js, loaded from here by the snippet of the source's page, on the pages of a shop elsewhere. R: A2"""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, Request, Route

from cdp.demo.drain import drain_all
from identity import queries
from ingestion.snippets import write_snippets
from tests.browser.conftest import Complaints, NewPage


def stored() -> list[tuple[str, int]]:
    drain_all(clock=timezone.now)
    with connection.cursor() as cursor:
        cursor.execute("SELECT n.name, e.profile_id FROM event e JOIN event_name n ON n.id = e.name_id ORDER BY e.ts")
        return cursor.fetchall()


def wait_for(page: Page, *names: str, seconds: float = 20.0) -> list[tuple[str, int]]:
    """Until just these events are stored, and a moment longer, in case one comes twice."""
    end = time.monotonic() + seconds
    while sorted(name for name, _ in stored()) != sorted(names) and time.monotonic() < end:
        page.wait_for_timeout(100)
    page.wait_for_timeout(300)
    found = stored()
    assert sorted(name for name, _ in found) == sorted(names)
    return found


@pytest.fixture
def shop_page() -> Iterator[list[str]]:
    """A site of its own, at the address that is the first item; the second is what its pages consist of."""
    page: list[str] = []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page[1].encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page += [f"http://localhost:{server.server_port}", ""]
    yield page
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(new_page: NewPage, live_server: Any, shop: Any, shop_page: list[str]) -> Callable[..., Page]:
    """A page of the shop with the snippet in it; `options` are handed to `analytics.load`."""

    def open_page(options: str = "") -> Page:
        snippet = next(one.code for one in write_snippets(host=live_server.url, key=shop[1]) if one.id == "website")
        snippet = snippet.replace("waiting.load();", f"waiting.load({options});")
        shop_page[1] = f'<!doctype html><title>Shop</title><link rel="icon" href="data:,">{snippet}<h1>Shop</h1>'
        page = new_page()
        page.goto(f"{shop_page[0]}/shoes?utm_source=news")
        page.wait_for_function("window.analytics.initialized === true")
        return page

    return open_page


BATCHING = (
    "{integrations: {'Segment.io': {deliveryStrategy: {strategy: 'batching', config: {size: %d, timeout: %d}}}}}"
)


class TestVisits:
    def test_are_one_person_from_the_first_page_to_the_login(self, visit):
        page = visit()
        page.evaluate("analytics.track('Product Viewed', {product_id: 'sku-1', price: 19.9})")
        page.evaluate("analytics.identify('u-1', {email: 'ann@example.org'})")
        page.evaluate("analytics.group('acme', {name: 'Acme'})")

        found = wait_for(page, "Page Viewed", "Product Viewed", "Identify", "Group")

        (person,) = {profile_id for _, profile_id in found}
        view = queries.get_profile(profile_id=person)
        assert view.identifiers["user_id"] == ["u-1"]
        assert view.identifiers["email"] == ["ann@example.org"]
        assert view.identifiers["anonymous_id"] == [page.evaluate("analytics.user().anonymousId()")]

    def test_talk_to_nobody_else(self, visit, live_server: Any, shop_page: list[str]):
        hosts: set[str] = set()
        page = visit()
        wait_for(page, "Page Viewed")
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.reload()
        page.wait_for_function("window.analytics.initialized === true")
        wait_for(page, "Page Viewed", "Page Viewed")

        assert hosts - {""} == {address.split("/")[2] for address in (shop_page[0], live_server.url)}

    def test_say_where_they_came_from(self, visit):
        page = visit()
        wait_for(page, "Page Viewed")

        with connection.cursor() as cursor:
            cursor.execute("SELECT context->'campaign'->>'source', properties->>'path' FROM event")
            assert cursor.fetchall() == [("news", "/shoes")]


class TestBatches:
    def test_hold_several_messages(self, visit):
        page = visit(BATCHING % (3, 500))
        sent: list[Request] = []
        page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
        for number in range(5):
            page.evaluate(f"analytics.track('Viewed', {{number: {number}}})")

        wait_for(page, "Page Viewed", *["Viewed"] * 5)

        assert {request.url.rpartition("/")[2] for request in sent} == {"b"}
        assert len(sent) < 6

    def test_are_sent_when_the_page_is_left(self, visit):
        page = visit(BATCHING % (50, 60_000))
        page.evaluate("void analytics.track('Left')")
        page.wait_for_timeout(200)
        page.goto("about:blank")

        wait_for(page, "Page Viewed", "Left")


class TestTrouble:
    def test_with_the_network_loses_and_doubles_nothing(self, visit, complaints: Complaints):
        complaints.expect("ERR_INTERNET_DISCONNECTED")
        page = visit()
        wait_for(page, "Page Viewed")
        page.context.set_offline(True)
        for number in range(3):
            page.evaluate(f"void analytics.track('Viewed', {{number: {number}}})")
        page.wait_for_timeout(500)

        page.context.set_offline(False)

        wait_for(page, "Page Viewed", *["Viewed"] * 3, seconds=40)

    @pytest.mark.parametrize("options", ["", BATCHING % (3, 200)])
    def test_with_the_server_loses_and_doubles_nothing(self, visit, complaints: Complaints, options: str):
        """A message that was stored and then answered 503 comes again, too."""
        complaints.expect("503")
        page = visit(options)
        wait_for(page, "Page Viewed")
        troubles = iter(["before", "after", "before"])

        def sometimes(route: Route) -> None:
            trouble = next(troubles, None) if route.request.method == "POST" else None
            if trouble is None:
                route.continue_()
                return
            if trouble == "after":
                route.fetch()
            headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
            route.fulfill(status=503, json={"code": "unavailable"}, headers=headers | {"Retry-After": "1"})

        page.context.route("**/v1/*", sometimes)
        for number in range(3):
            page.evaluate(f"void analytics.track('Viewed', {{number: {number}}})")

        wait_for(page, "Page Viewed", *["Viewed"] * 3, seconds=40)


class TestBeacons:
    def test_arrive_whatever_their_type(self, visit, live_server: Any, shop: Any):
        page = visit()
        wait_for(page, "Page Viewed")
        page.evaluate(
            """([url, key]) => {
              const text = (event) => JSON.stringify({writeKey: key, anonymousId: "b", event});
              navigator.sendBeacon(url, text("Plain"));
              navigator.sendBeacon(url, new URLSearchParams({data: text("Form")}));
            }""",
            [f"{live_server.url}/v1/track", shop[1]],
        )

        wait_for(page, "Page Viewed", "Plain", "Form")
