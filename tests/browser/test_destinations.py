"""Destinations and deliveries in a browser."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from activation.models import Destination
from activation.operations import deliver_due
from tests.browser.conftest import NARROW, SCHEMES, WIDE, fits
from tests.factories.activation import Reply, make_destination, make_segment, make_subscription, owe, receiving


@pytest.fixture
def receiver(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]
    with receiving() as server:
        yield server


class TestDestination:
    def test_shows_its_secret_once_with_a_button_that_copies(self, log_in, database):
        page = log_in("engineer")
        page.goto("/destinations/new/")
        page.get_by_label("Name", exact=True).fill("CRM")
        page.get_by_label("URL").fill("https://example.com/hook")
        page.get_by_role("button", name="Create destination").click()

        secret = page.locator("#signing-secret").inner_text()
        page.get_by_role("button", name="Copy the signing secret").click()
        expect(page.get_by_text("Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == secret
        page.get_by_role("tab", name="Node.js").click()
        expect(page.locator("#code-node")).to_contain_text("npm install standardwebhooks")
        page.get_by_role("link", name="I have kept the secret").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("CRM")
        expect(page.get_by_text(secret)).to_have_count(0)

    def test_says_beside_the_field_what_is_wrong(self, log_in, database, complaints):
        complaints.expect("422")
        page = log_in("engineer")
        page.goto("/destinations/new/")
        page.get_by_label("Name", exact=True).fill("CRM")
        page.get_by_label("URL").fill("nothing")

        page.get_by_role("button", name="Create destination").click()

        expect(page.locator(".field-error")).to_contain_text("Give a full address")
        expect(page.get_by_label("Name", exact=True)).to_have_value("CRM")

    def test_sends_a_test_and_shows_what_came_back(self, log_in, database, receiver):
        receiver.replies = [Reply(200, body=b"thank you"), Reply(503, body=b"too busy")]
        destination = make_destination(receiver.url)
        page = log_in("marketer")
        page.goto(f"/destinations/{destination.slug}/")

        page.get_by_role("button", name="Send test").click()
        expect(page.locator("#test-result")).to_contain_text("thank you")
        page.get_by_role("button", name="Send test").click()
        expect(page.locator("#test-result")).to_contain_text("too busy")

    def test_pauses_resumes_and_rotates(self, log_in, database):
        destination = make_destination("https://example.com/hook")
        page = log_in("marketer")
        page.goto(f"/destinations/{destination.slug}/")

        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("What is owed waits here.").first).to_be_visible()
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        page.get_by_label("More actions").click()
        page.get_by_role("button", name="Rotate the secret").click()
        page.get_by_role("button", name="Rotate", exact=True).click()

        expect(page.locator("#signing-secret")).to_contain_text("whsec_")
        assert Destination.objects.get().state == "active"

    def test_changes_and_ends_subscriptions(self, log_in, database):
        subscription = make_subscription(make_destination("https://example.com/hook"), make_segment())
        name = subscription.segment.name
        page = log_in("marketer")
        page.goto(f"/destinations/{subscription.destination.slug}/")

        page.get_by_label(f"Change what it hears of {name}").click()
        page.get_by_role("dialog").get_by_label("when somebody leaves").uncheck()
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(page.locator("#subscriptions")).to_contain_text("entries · of everybody")
        page.get_by_label(f"Stop hearing of {name}").click()
        page.get_by_role("dialog").get_by_role("button", name="Stop").click()

        expect(page.get_by_text("None yet: choose one below.")).to_be_visible()


class TestDeliveries:
    def test_follow_a_message_until_it_is_taken(self, log_in, database, receiver):
        receiver.replies = [Reply(500, body=b"broken")]
        delivery = owe(make_subscription(make_destination(receiver.url)), now=timezone.now())[0]
        page = log_in("marketer")
        page.goto("/deliveries/")
        expect(page.get_by_text("Waiting").nth(1)).to_be_visible()

        deliver_due(now=timezone.now())
        expect(page.locator("#deliveries code")).to_have_text("500")
        page.get_by_role("link", name="Anna").click()
        expect(page.get_by_text("broken")).to_be_visible()
        page.get_by_role("button", name="Send now").click()
        deliver_due(now=timezone.now())
        page.reload()

        expect(page.get_by_text("Taken, with 200")).to_be_visible()
        assert {received.webhook_id for received in receiver.received} == {str(delivery.message_id)}

    @pytest.mark.parametrize("scheme", SCHEMES)
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_fit_the_window(self, log_in, database, receiver, viewport, scheme, screenshot):
        delivery = owe(make_subscription(make_destination(receiver.url)), now=timezone.now())[0]
        deliver_due(now=timezone.now())
        page = log_in("marketer", viewport=viewport, color_scheme=scheme)
        addresses = {
            "destinations": "/destinations/",
            "destination-new": "/destinations/new/",
            "destination": f"/destinations/{delivery.destination.slug}/",
            "deliveries": "/deliveries/",
            "delivery": f"/deliveries/{delivery.pk}/",
        }
        for name, address in addresses.items():
            page.goto(address)
            assert fits(page), name
            screenshot(page, f"{name}-{viewport['width']}-{scheme}")
