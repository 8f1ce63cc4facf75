"""The list and the page of a segment in a browser, and the whole line: build, send an event, watch, receive."""

import re
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from standardwebhooks.webhooks import Webhook

from cdp import pipeline
from segments import computations, lifecycle
from segments.models import Segment
from segments.operations import create_segment
from tests.browser.conftest import NARROW, SCHEMES, WIDE, fits
from tests.factories.activation import Receiver, make_destination, make_subscription, receiving
from tests.factories.ingestion import identify, track

BOUGHT = {"type": "event", "event": "Order Completed", "measure": "count", "op": "gte", "value": 1}
CHOOSE_AT_ONCE = """() => {
  new MutationObserver((_, observer) => {
    const purposes = document.querySelector("#export-purpose");
    if (!purposes) return;
    observer.disconnect();
    purposes.selectedIndex = purposes.options.length - 1;
    purposes.dispatchEvent(new Event("change", { bubbles: true }));
  }).observe(document.body, { childList: true, subtree: true });
}"""


@pytest.fixture
def receiver(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]
    with receiving() as server:
        yield server


@pytest.fixture
def anna(send) -> None:
    ordered = (timezone.now() - timedelta(days=2)).isoformat()
    send(
        identify(userId="anna", traits={"name": "Anna", "email": "anna@example.org"}),
        track("Order Completed", userId="anna", timestamp=ordered, properties={"revenue": 600}),
    )


def compute() -> None:
    for segment_id in computations.waiting(now=timezone.now()):
        pipeline.recompute(segment_id=segment_id, now=timezone.now())


@pytest.fixture
def buyers(anna) -> Segment:
    segment = create_segment(name="Buyers", definition={"type": "all", "of": [BOUGHT]}, now=timezone.now())
    compute()
    return segment


def choose(page: Page, name: str, text: str, option: str) -> None:
    box = page.get_by_role("combobox", name=name)
    box.click()
    box.press_sequentially(text)
    page.get_by_role("option", name=option).first.click()


class TestTheWholeLine:
    def test_from_an_event_over_http_to_a_signed_webhook(self, log_in, live_server, shop, anna, receiver: Receiver):
        page = log_in("marketer")

        # 1. A marketer makes a destination and keeps its secret.
        page.goto("/destinations/")
        page.get_by_role("link", name="New destination").click()
        page.get_by_label("Name", exact=True).fill("CRM")
        page.get_by_label("URL").fill(receiver.url)
        page.get_by_role("button", name="Create destination").click()
        secret = page.locator("#signing-secret").inner_text()

        # 2. Builds a segment by clicking.
        page.goto("/segments/new/")
        page.get_by_role("button", name="Something they did").click()
        choose(page, "Event", "order", "Order Completed")
        page.get_by_label("Measure").select_option("total of")
        choose(page, "Property", "rev", "revenue")
        page.get_by_label("Value").fill("500")
        expect(page.locator("[data-part=count]")).to_have_text("1")
        page.get_by_label("Name", exact=True).fill("Big spenders")
        page.get_by_role("button", name="Publish").first.click()
        expect(page.get_by_text("Computing who is in")).to_be_visible()
        compute()
        expect(page.get_by_role("heading", name="Members 1")).to_be_visible(timeout=30_000)

        # 3. Sends it to the destination.
        page.get_by_role("link", name="Send somewhere").click()
        page.get_by_role("link", name="CRM").click()
        expect(page.get_by_label("Segment", exact=True)).to_have_value("big-spenders")
        page.get_by_role("button", name="Add segment").click()
        expect(page.get_by_role("link", name="Big spenders")).to_be_visible()

        # 4. Somebody spends: an event over HTTP, as an SDK sends it.
        page.goto("/segments/big-spenders/")
        event = {"event": "Order Completed", "userId": "ben", "properties": {"revenue": 700}}
        answer = httpx.post(f"{live_server.url}/v1/track", json=event, auth=(shop[1], ""))
        assert answer.json() == {"success": True}
        now = timezone.now()
        assert pipeline.drain(now=now).stored == 1
        assert pipeline.evaluate(now=now).entered == 1
        pipeline.deliver(now=timezone.now())

        # 5. The page fills by itself, and the receiver has a message that verifies.
        expect(page.locator("#feed")).to_contain_text("ben entered")
        expect(page.locator("#segment-stats .stat-value").first).to_have_text("2")
        [received] = receiver.received
        message = Webhook(secret).verify(received.body, dict(received.headers))
        assert message["type"] == "segment.entered"
        assert message["data"]["profile"]["identifiers"] == {"user_id": ["ben"]}
        page.goto("/deliveries/")
        page.get_by_role("link", name="ben").click()
        expect(page.get_by_text("Taken, with 200")).to_be_visible()


class TestList:
    def test_leads_from_nothing_to_a_template(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/segments/")

        page.get_by_role("link", name="Lapsed big spenders").click()

        expect(page.locator(".condition")).to_have_count(2)
        expect(page.locator("[data-part=count]")).to_have_text("0")
        expect(page.get_by_label("Name", exact=True)).to_have_value("Lapsed big spenders")

    def test_finds_and_opens(self, log_in, buyers):
        page = log_in("marketer")
        page.goto("/segments/")
        page.get_by_label("Find by name or description").fill("BUY")
        page.keyboard.press("Enter")

        page.get_by_role("link", name="Buyers").click()

        expect(page).to_have_url(re.compile("/segments/buyers/$"))


class TestSegmentPage:
    def test_searches_members_as_one_types(self, log_in, buyers):
        page = log_in("analyst")
        page.goto("/segments/buyers/")
        search = page.get_by_label("Find a member")

        search.press_sequentially("zoe")
        expect(page.get_by_text("No member like this")).to_be_visible()
        search.fill("ann")

        expect(page.locator("#members")).to_contain_text("a•••@e•••.org")
        expect(page.get_by_role("link", name="Edit")).to_be_hidden()

    def test_draws_its_charts_and_tells_who_they_are(self, log_in, buyers):
        named = {"type": "trait", "trait": "name", "op": "exists"}
        create_segment(name="Named", definition=named, now=timezone.now())
        compute()
        page = log_in("marketer")
        page.goto("/segments/buyers/")

        expect(page.locator("[data-chart][data-drawn]")).to_have_count(2)
        page.get_by_label("Trait").select_option("name")
        expect(page.locator("#breakdown")).to_contain_text("100%")
        page.get_by_role("button", name="In Buyers and Named").click()
        expect(page.locator(".combination")).to_contain_text("Anna")
        page.get_by_role("link", name="Make a segment of these").click()
        expect(page.locator(".condition")).to_have_count(2)
        expect(page.locator("[data-part=count]")).to_have_text("1")

    def test_takes_members_out_for_a_purpose(self, log_in, buyers):
        page = log_in("marketer")
        page.goto("/segments/buyers/")
        page.get_by_role("button", name="Export").click()
        page.get_by_label("What is it for?").select_option("No purpose: internal analysis")
        page.get_by_label("Why is it needed?").fill("Counting for the board")

        with page.expect_download() as taken:
            page.get_by_role("button", name="Download CSV").click()

        assert taken.value.suggested_filename.startswith("buyers-")
        assert "anna@example.org" in taken.value.path().read_text()
        expect(page.locator("#export-progress")).to_contain_text("1 person in the file, 0 left out")

    def test_hears_a_purpose_that_is_chosen_before_the_form_is_wired(self, log_in, buyers):
        page = log_in("marketer")
        page.goto("/segments/buyers/")
        page.evaluate(CHOOSE_AT_ONCE)

        page.get_by_role("button", name="Export").click()

        expect(page.get_by_label("Why is it needed?")).to_be_visible()

    def test_a_paused_feed_stands_still_until_it_is_filtered(self, log_in, buyers):
        page = log_in("marketer")
        page.goto("/segments/buyers/")
        expect(page.locator("#feed")).to_contain_text("Anna")
        page.get_by_label("Pause").check()

        page.get_by_label("Entries or exits").select_option("Left")

        expect(page.locator("#feed")).to_contain_text("Nobody like this")

    def test_asks_before_it_is_deleted(self, log_in, buyers):
        page = log_in("marketer")
        page.goto("/segments/buyers/")

        page.get_by_role("button", name="More").click()
        page.get_by_role("button", name="Delete this segment").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="More").click()
        page.get_by_role("button", name="Delete this segment").click()
        page.get_by_role("button", name="Delete segment").click()

        expect(page.get_by_text("“Buyers” is deleted.")).to_be_visible()
        assert not Segment.objects.exists()

    def test_cannot_be_deleted_while_it_is_used(self, log_in, buyers):
        make_subscription(make_destination("https://example.com/hook"), buyers)
        page = log_in("marketer")
        page.goto("/segments/buyers/")

        page.get_by_role("button", name="More").click()
        page.get_by_role("button", name="Delete this segment").click()

        expect(page.get_by_role("dialog")).to_contain_text("This segment is in use")
        expect(page.get_by_role("button", name="Delete segment")).to_have_count(0)

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_fits_the_window(self, log_in, buyers, viewport, scheme, screenshot):
        page = log_in("marketer", viewport=viewport, color_scheme=scheme)
        for name, address in (("segments", "/segments/"), ("segment", "/segments/buyers/")):
            page.goto(address)
            expect(page.get_by_text("Buyers").first).to_be_visible()
            assert fits(page)
            screenshot(page, f"{name}-{viewport['width']}-{scheme}")


@pytest.fixture
def lived(buyers) -> Segment:
    """Two versions, a draft, a folder and tags; and another segment that is only a draft."""
    now = timezone.now()
    paid = {"type": "trait", "trait": "plan", "op": "eq", "value": "paid"}
    more = {"type": "all", "of": [BOUGHT | {"value": 2, "window": {"last": "60d"}}, paid]}
    lifecycle.change(segment_id=buyers.pk, definition=more, folder="Spring sale", tags=["mail", "VIP"], now=now)
    compute()
    lifecycle.save_draft(segment_id=buyers.pk, definition={"type": "any", "of": [BOUGHT]}, now=now)
    lifecycle.create_draft(name="Soon", definition=more, now=now)
    return Segment.objects.get(pk=buyers.pk)


class TestLife:
    def test_is_lived_by_its_buttons(self, log_in, lived):
        page = log_in("marketer")
        page.goto("/segments/buyers/")
        expect(page.get_by_text("An edit waits as a draft")).to_be_visible()
        page.get_by_role("button", name="Discard").click()
        page.locator("#toasts").get_by_role("button", name="Undo").click()
        expect(page.get_by_text("An edit waits as a draft")).to_be_visible()

        page.get_by_text("Version 2", exact=False).last.click()
        page.get_by_role("link", name="What changed").click()
        expect(page.locator(".difference ins").first).to_contain_text("in the last 60 days")
        page.get_by_role("button", name="Restore").click()
        expect(page.get_by_text("Version 1 is restored, as version 3.")).to_be_visible()
        expect(page.get_by_text("Version 2 stays live until it is done")).to_be_visible()

        page.goto("/segments/")
        page.get_by_label("Tick Buyers").check()
        page.get_by_label("Folder to move to").fill("Autumn")
        page.get_by_role("button", name="Move", exact=True).click()
        expect(page.locator("tbody .folder")).to_have_text("Autumn")

        page.goto("/segments/buyers/edit/")
        page.get_by_label("Name", exact=True).fill("Buyers, later")
        page.get_by_role("button", name="Add a condition").or_(
            page.get_by_role("button", name="Something they did")
        ).first.click()
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Save as draft").first.click()
        expect(page.get_by_text("is kept as a draft")).to_be_visible()

    @pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "dark"), (NARROW, "light")], ids=["wide", "narrow"])
    def test_fits_the_window(self, log_in, lived, viewport, scheme, screenshot):
        page = log_in("marketer", viewport=viewport, color_scheme=scheme)
        for name, address in (
            ("life-list", "/segments/"),
            ("life-segment", "/segments/buyers/"),
            ("life-compare", "/segments/buyers/compare/?from=1&to=2"),
            ("life-edit", "/segments/buyers/edit/"),
            ("life-draft", "/segments/soon/"),
        ):
            page.goto(address)
            if name == "life-list":
                page.get_by_label("Tick Buyers").check()
            screenshot(page, f"{name}-{viewport['width']}-{scheme}")
            assert fits(page), name
