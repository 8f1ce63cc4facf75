"""The console in a browser: log in, look around, follow a customer, set up a source."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from tests.browser.conftest import NARROW, WIDE, fits
from tests.factories.access import PASSWORD, make_user
from tests.factories.ingestion import identify, track

MINUTE = timedelta(minutes=1)


@pytest.fixture
def anna(send) -> None:
    """One customer with a story."""
    now = timezone.now()
    send(
        identify(userId="u-1", traits={"name": "Anna Smith", "email": "anna@example.org", "city": "Graz"}),
        *(
            track(
                "Order Completed" if number % 2 else "Product Viewed",
                userId="u-1",
                timestamp=(now - number * MINUTE).isoformat(),
                properties={"revenue": number + 0.5, "name": f"Thing {number}"},
            )
            for number in range(70)
        ),
    )


class TestLogin:
    def test_by_keyboard_alone(self, new_page, database):
        make_user("analyst", username="ann", password=PASSWORD)
        page = new_page()

        page.goto("/profiles/")
        expect(page.locator("[name=username]")).to_be_focused()
        page.keyboard.type("ann")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")

        expect(page).to_have_url(re.compile(r"^[^?]*/profiles/$"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Profiles")

    def test_out_again(self, log_in):
        page = log_in("analyst")

        page.goto("/")
        page.get_by_role("button", name=re.compile("^Menu of")).click()
        page.get_by_role("button", name="Log out").click()

        expect(page.get_by_role("heading", name=re.compile("^Log in"))).to_be_visible()


class TestFrame:
    @pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["1280", "390"])
    def test_every_screen_fits_and_is_free_of_errors(self, log_in, anna, screenshot, viewport, scheme):
        page = log_in("admin", viewport=viewport, color_scheme=scheme)

        for path in ("/", "/profiles/", "/sources/", "/sources/new/", "/sources/shop/", "/account/", "/api/docs/"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            screenshot(page, f"{path.strip('/').replace('/', '-') or 'home'}-{viewport['width']}-{scheme}")
            assert fits(page), path
        page.goto("/profiles/?q=anna")
        page.get_by_role("link", name=re.compile("Anna Smith")).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Anna Smith")
        page.wait_for_load_state("networkidle")
        screenshot(page, f"profile-{viewport['width']}-{scheme}")
        assert fits(page)

    def test_follows_the_system_until_somebody_chooses(self, log_in):
        page = log_in("analyst", color_scheme="dark")
        theme = page.locator("html")

        page.goto("/account/")
        expect(theme).to_have_attribute("data-bs-theme", "dark")
        page.emulate_media(color_scheme="light")
        expect(theme).to_have_attribute("data-bs-theme", "light")

        page.get_by_role("button", name=re.compile("^Menu of")).click()
        page.get_by_role("button", name="Dark").click()
        expect(theme).to_have_attribute("data-bs-theme", "dark")
        expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
        page.reload()
        expect(theme).to_have_attribute("data-bs-theme", "dark")

    def test_the_menu_of_a_narrow_screen_opens_and_leads_on(self, log_in):
        page = log_in("marketer", viewport=NARROW)

        page.goto("/")
        expect(page.locator(".sidebar")).not_to_be_in_viewport()
        page.get_by_role("button", name="Open the menu").click()
        page.locator(".sidebar").get_by_role("link", name="Profiles", exact=True).click()

        expect(page).to_have_url(re.compile(r"/profiles/$"))

    def test_skips_to_the_content(self, log_in):
        page = log_in("marketer")

        page.goto("/profiles/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")

        expect(page.locator("#content")).to_be_focused()

    def test_marks_where_one_is(self, log_in):
        page = log_in("marketer")

        page.goto("/sources/")

        expect(page.locator('.sidebar [aria-current="page"]')).to_have_text(re.compile("Sources"))


class TestSearch:
    def test_slash_arrow_and_enter_lead_to_a_profile(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/account/")

        page.locator("h1").click()
        page.keyboard.press("/")
        page.keyboard.type("anna")
        expect(page.locator("#search-results a")).to_have_count(1)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")

        expect(page.get_by_role("heading", level=1)).to_contain_text("Anna Smith")

    def test_escape_closes_the_answers(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/account/")

        page.locator("#search").fill("anna")
        expect(page.locator("#search-results a")).to_have_count(1)
        page.locator("#search").press("Escape")

        expect(page.locator("#search-results")).to_be_hidden()

    def test_enter_lists_all_answers(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/")

        page.locator("#search").fill("anna@")
        page.locator("#search").press("Enter")

        expect(page).to_have_url(re.compile(r"/profiles/\?q=anna%40$"))
        expect(page.locator("tbody tr")).to_have_count(1)


class TestHome:
    def test_counts_move_without_a_reload(self, log_in, send):
        page = log_in("marketer")
        page.goto("/")
        profiles = page.locator("#home-numbers .stat-value").first
        expect(profiles).to_have_text("0")

        send(identify(userId="u-1"), identify(userId="u-2"))

        expect(profiles).to_have_text("2")

    def test_draws_the_chart_again_in_the_other_colours(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/")
        chart = page.locator("[data-chart]")
        expect(chart).to_have_attribute("data-drawn", "yes")
        before = chart.screenshot()

        page.emulate_media(color_scheme="dark")

        page.wait_for_timeout(600)
        assert chart.screenshot() != before
        expect(page.locator("[data-chart] canvas")).to_have_count(1)

    def test_shows_the_numbers_of_the_chart_as_a_table(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/")

        page.get_by_text("Show as a table").click()

        expect(page.locator(".chart-table tbody tr")).to_have_count(30)

    def test_a_chart_answers_the_pointer(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/")
        chart = page.locator("[data-chart]")
        expect(chart).to_have_attribute("data-drawn", "yes")
        box = chart.bounding_box()

        page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] / 2)

        expect(page.locator(".chart-tip-title")).to_be_visible()


class TestProfile:
    def test_timeline_grows_as_one_scrolls(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/profiles/?q=u-1")
        page.get_by_role("link", name=re.compile("Anna Smith")).click()
        items = page.locator(".story-item")
        expect(items).to_have_count(30)

        page.locator(".story-more").scroll_into_view_if_needed()
        expect(items).to_have_count(60)
        page.locator(".story-more").scroll_into_view_if_needed()

        expect(items).to_have_count(71)
        expect(page.locator(".story-more")).to_have_count(0)

    def test_timeline_shows_one_kind_of_event(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/profiles/?q=u-1")
        page.get_by_role("link", name=re.compile("Anna Smith")).click()

        page.get_by_label("Show only").select_option("Product Viewed")

        expect(page.locator(".story-item")).to_have_count(30)
        expect(page.locator(".story-name", has_text="Order Completed")).to_have_count(0)

    def test_an_event_opens_by_keyboard(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/profiles/?q=u-1")
        page.get_by_role("link", name=re.compile("Anna Smith")).click()
        event = page.locator(".story-item details").nth(1)

        event.locator("> summary").focus()
        page.keyboard.press("Enter")

        expect(event.get_by_text("revenue")).to_be_visible()

    def test_an_identifier_is_copied(self, log_in, anna):
        page = log_in("marketer")
        page.goto("/profiles/?q=u-1")
        page.get_by_role("link", name=re.compile("Anna Smith")).click()

        page.get_by_role("button", name="Copy email").click()

        expect(page.locator(".copy.is-copied")).to_have_count(1)
        assert page.evaluate("navigator.clipboard.readText()") == "anna@example.org"


class TestSource:
    def test_from_the_form_to_the_first_event(self, log_in, live_server):
        import httpx

        from cdp.demo.drain import drain_all

        page = log_in("engineer")
        page.goto("/sources/")
        page.get_by_role("link", name="Create the first source").click()
        page.get_by_label("Name", exact=True).fill("Web shop – Österreich")
        expect(page.locator("#id_slug")).to_have_value("web-shop-osterreich")
        page.get_by_role("button", name="Create the source").click()

        expect(page).to_have_url(re.compile(r"/sources/web-shop-osterreich/$"))
        key = page.locator("#secret").inner_text()
        expect(page.locator("#curl")).to_contain_text(f"{live_server.url}/v1/track")
        expect(page.locator("#curl")).to_contain_text(key)
        expect(page.get_by_text("Waiting for the first event")).to_be_visible()
        httpx.post(f"{live_server.url}/v1/track", json=track("Hello"), auth=(key, "")).raise_for_status()
        drain_all(clock=timezone.now)

        expect(page.locator(".stream-name")).to_have_text("Hello")
        page.reload()
        expect(page.locator("#secret")).to_have_count(0)

    def test_key_and_snippets_are_copied(self, log_in, shop):
        page = log_in("engineer")
        page.goto("/sources/shop/")

        page.get_by_role("tab", name="Python").click()
        expect(page.locator("#panel-curl")).to_be_hidden()
        page.locator("#panel-python").get_by_role("button", name=re.compile("^Copy")).click()

        expect(page.locator("#panel-python .copy")).to_have_text(re.compile("Copied"))
        assert "analytics.write_key" in page.evaluate("navigator.clipboard.readText()")

    def test_tabs_move_by_arrow_keys(self, log_in, shop):
        page = log_in("engineer")
        page.goto("/sources/shop/")

        page.get_by_role("tab", name="Website").focus()
        page.keyboard.press("ArrowLeft")

        expect(page.get_by_role("tab", name="Plain script")).to_be_focused()
        expect(page.locator("#panel-browser")).to_be_visible()

    def test_pauses_only_after_a_question(self, log_in, shop):
        page = log_in("engineer")
        page.goto("/sources/shop/")

        page.get_by_role("button", name="Pause").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Pause the source").click()

        expect(page.locator(".notice")).to_contain_text("Shop is paused")
        page.get_by_role("button", name="Dismiss").click()
        expect(page.locator(".notice")).to_have_count(0)

    def test_rotates_its_key(self, log_in, shop):
        page = log_in("engineer")
        page.goto("/sources/shop/")

        page.get_by_role("button", name="Rotate the key").click()
        page.get_by_role("button", name="Make a key").click()

        expect(page.locator("#secret")).to_have_text(re.compile("^wk_"))
        expect(page).to_have_url(re.compile(r"/sources/shop/$"))
        expect(page.get_by_role("button", name="Revoke", exact=True)).to_have_count(2)

    def test_the_browser_snippet_works_on_another_site(self, log_in, live_server, shop, new_page, tmp_path):
        from ingestion.models import InboxItem
        from ingestion.snippets import write_snippets

        code = next(one.code for one in write_snippets(host=live_server.url, key=shop[1]) if one.id == "browser")
        site = new_page()
        site.route("http://127.0.0.1:18999/", lambda route: route.fulfill(body=code, content_type="text/html"))

        with site.expect_response(re.compile("/v1/page$")) as answer:
            site.goto("http://127.0.0.1:18999/")

        assert answer.value.status == 200
        assert InboxItem.objects.get().source_id == shop[0].pk


class TestGoneSession:
    def test_leads_back_to_the_login_instead_of_breaking_the_page(self, log_in, database):
        page = log_in("marketer")
        page.goto("/profiles/")

        page.context.clear_cookies()
        page.locator("#search").fill("anna")

        expect(page).to_have_url(re.compile(r"/login/\?next=/profiles/$"))


class TestApiDocs:
    def test_list_the_operations(self, log_in, screenshot):
        page = log_in("engineer")

        page.goto("/api/docs/")

        groups = page.locator(".opblock-tag")
        expect(groups.filter(has_text="accounts")).to_be_visible(timeout=60_000)
        expect(groups.filter(has_text="trait-policies")).to_be_visible()
        page.get_by_placeholder("Filter by tag").fill("profiles")
        expect(groups).to_have_count(1)
        groups.click()
        expect(page.get_by_text("/api/v1/profiles/", exact=True).first).to_be_visible()
        screenshot(page, "api-docs")
