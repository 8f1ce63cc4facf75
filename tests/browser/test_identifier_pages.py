"""Identity → Identifiers in the browser: trying a value, a dry run, the change itself, and a warning acted on."""

from django.utils import timezone
from playwright.sync_api import Page, expect

from identity.kinds import run as runs
from identity.kinds.models import KindRun
from tests.browser.conftest import NARROW, fits
from tests.factories.ingestion import identify, track
from tests.integration.conftest import rows


def finish_runs() -> None:
    for run in KindRun.objects.filter(state="running"):
        while runs.continue_run(run_id=run.pk, clock=timezone.now):
            pass


def confirm(page: Page) -> None:
    page.once("dialog", lambda dialog: dialog.accept())


class TestIdentifiers:
    def test_a_change_is_tried_and_carried_out(self, log_in, send, screenshot):
        send(
            identify(userId=..., anonymousId="a-1", traits={"email": "ann.smith@gmail.com"}),
            identify(userId=..., anonymousId="a-2", traits={"email": "annsmith@googlemail.com"}),
            identify(userId="bob", traits={"email": "b.o.b@gmail.com"}),
            identify(userId="eve", traits={"email": "test@test.com"}),
            track("Bought", userId="bob", context={"externalIds": [{"id": "C-1", "type": "card"}]}),
        )
        page = log_in("engineer")
        page.goto("/identifiers/")
        expect(page.get_by_role("link", name="Configure card")).to_be_visible()
        screenshot(page, "identifiers")

        page.get_by_role("link", name="E-mail address").click()
        page.get_by_label("Gmail ignores dots").check()
        page.get_by_label("Blocked values").fill("test@test.com")
        page.get_by_label("A value as it is sent").fill("Ann.Smith@gmail.com")
        expect(page.locator("#tried-result")).to_contain_text("annsmith@gmail.com")
        page.get_by_label("A value as it is sent").fill("Test@Test.com")
        expect(page.locator("#tried-result")).to_contain_text("on the list of blocked values")

        page.get_by_role("button", name="Dry run").click()
        expect(page.locator("#run")).to_contain_text("Looking at stored identifiers")
        finish_runs()
        expect(page.locator("#run")).to_contain_text("What saving would do")
        expect(page.locator("#run")).to_contain_text("would merge two people")
        screenshot(page, "identifiers-dry-run")
        assert ("ann.smith@gmail.com",) in rows("SELECT value FROM identifier")

        page.get_by_role("button", name="Save").click()
        expect(page.locator("#run")).to_contain_text("Changing stored identifiers")
        finish_runs()
        expect(page.locator("#run")).to_contain_text("What the change did")
        assert rows("SELECT value FROM identifier WHERE kind = 'email' ORDER BY 1") == [
            ("annsmith@gmail.com",),
            ("bob@gmail.com",),
        ]

    def test_a_shared_value_is_blocked_at_one_click(self, log_in, send, screenshot):
        send(*(track("Seen", userId=f"u-{n}", anonymousId="tablet-7") for n in range(150)))
        send(*(identify(userId=f"v-{n}", traits={"email": "test@test.com"}) for n in range(40)))
        send(track("Seen", userId="u-1", anonymousId="a-1"), track("Seen", userId="u-2", anonymousId="a-1"))
        page = log_in("engineer")
        page.goto("/identifiers/conflicts/")
        screenshot(page, "identifiers-conflicts")
        page.goto("/identifiers/warnings/")
        screenshot(page, "identifiers-warnings")

        tablet = page.get_by_role("article", name="tablet-7")
        confirm(page)
        tablet.get_by_role("button", name="Block this value").click()
        expect(tablet).to_contain_text("blocked by")
        finish_runs()

        assert rows("SELECT count(*) FROM identifier WHERE value = 'tablet-7'") == [(0,)]

    def test_kinds_are_put_in_order_by_keyboard(self, log_in, database):
        page = log_in("engineer")
        page.goto("/identifiers/")

        page.get_by_label("Let Phone number decide earlier").focus()
        page.keyboard.press("Enter")

        expect(page.locator("#kinds li").nth(1)).to_contain_text("Phone number")
        expect(page.get_by_label("Let Phone number decide earlier")).to_be_focused()

    def test_fits_a_phone_and_the_dark(self, log_in, send, screenshot):
        send(*(track("Seen", userId=f"u-{n}", anonymousId="tablet-7") for n in range(30)))
        page = log_in("engineer", viewport=NARROW, color_scheme="dark")

        for name in ("", "kinds/email/", "warnings/", "conflicts/"):
            page.goto(f"/identifiers/{name}")
            screenshot(page, f"identifiers-narrow-{name.strip('/').replace('/', '-') or 'list'}")
            assert fits(page), name
