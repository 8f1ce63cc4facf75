"""The accounts in the console, and the snippet of a source's page."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NARROW, WIDE, NewPage, fits
from tests.factories.ingestion import identify, message


@pytest.fixture
def acme(send: Callable[..., None]) -> None:
    send(
        *(
            identify(userId=f"u-{n}", traits={"name": name, "email": f"{n}@acme.example"})
            for n, name in enumerate(["Ann Lee", "Bo Diaz", "Cy Ochs"])
        ),
        *(
            message(
                type="group",
                event=...,
                userId=f"u-{n}",
                groupId="acme",
                traits={"name": "Acme Ltd", "plan": "business", "employees": 120, "address": {"city": "Rome"}},
            )
            for n in range(3)
        ),
        message(type="group", event=..., userId="u-1", groupId="globex-corporation-of-the-north"),
    )


class TestAccounts:
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_lead_to_their_members_and_back(
        self, log_in: NewPage, acme: None, screenshot: Callable[[Page, str], None], viewport: dict[str, int]
    ):
        page = log_in("marketer", viewport=viewport)
        page.goto("/accounts/")
        assert fits(page)
        screenshot(page, f"accounts-{viewport['width']}")

        page.get_by_role("link", name="Acme Ltd").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Acme Ltd")
        assert fits(page)
        screenshot(page, f"account-{viewport['width']}")

        page.get_by_role("link", name="Bo Diaz").click()
        expect(page.get_by_role("heading", name="Accounts 2")).to_be_visible()
        assert fits(page)
        screenshot(page, f"profile-{viewport['width']}")


class TestSourcePage:
    @pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
    def test_shows_the_snippet_for_a_website_first(
        self,
        log_in: NewPage,
        shop: Any,
        live_server: Any,
        screenshot: Callable[[Page, str], None],
        viewport: dict[str, int],
    ):
        page = log_in("engineer", viewport=viewport)
        page.goto("/sources/shop/")

        tab = page.get_by_role("tab", name="Website")
        expect(tab).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tabpanel")).to_contain_text(live_server.url)
        assert fits(page)
        screenshot(page, f"source-{viewport['width']}")
