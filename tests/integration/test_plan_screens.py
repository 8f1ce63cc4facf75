"""The plan tab of a source, without a browser."""

import json

import pytest
from django.test import Client
from django.utils import timezone

from ingestion.models import Source
from ingestion.plans import operations, queries
from tests.factories.access import make_user
from tests.factories.ingestion import SourceFactory
from tests.factories.plans import live_plan, plan_document

pytestmark = pytest.mark.django_db
ROOT = "/sources/shop/plan/"


@pytest.fixture
def shop() -> Source:
    return SourceFactory(slug="shop", name="Shop")


def as_(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


class TestScreens:
    def test_say_what_to_do_where_there_is_nothing(self, shop: Source):
        pages = {name: as_("engineer").get(ROOT + name).content for name in ("", "violations/", "try/", "versions/")}

        assert b"Infer from traffic" in pages[""]
        assert b"No plan is live" in pages["violations/"]
        assert b"Make a plan first" in pages["try/"]
        assert b"Nothing was published yet" in pages["versions/"]

    def test_can_be_read_by_marketers_and_changed_by_engineers(self, shop: Source):
        live_plan(shop)
        marketer = as_("marketer")

        assert [marketer.get(ROOT + name).status_code for name in ("", "violations/", "try/", "versions/")] == [
            200
        ] * 4
        for name in ("start/", "infer/", "save/", "discard/", "publish/", "off/", "try/", "versions/1/restore/"):
            assert marketer.post(ROOT + name).status_code == 403, name

    def test_start_empty(self, shop: Source):
        as_("engineer").post(f"{ROOT}start/")

        draft = queries.draft(source=shop)
        assert draft is not None
        assert draft.document["events"] == {}

    def test_say_that_there_is_no_traffic_to_infer_from(self, shop: Source):
        answer = as_("engineer").post(f"{ROOT}infer/", follow=True)

        assert b"has sent no events in the last 7 days" in answer.content


class TestSave:
    def save(self, document: object, revision: int = 0) -> tuple[int, dict[str, object]]:
        body = json.dumps({"document": document, "revision": revision})
        answer = as_("engineer").post(f"{ROOT}save/", body, content_type="application/json")
        return answer.status_code, answer.json()

    def test_answers_the_new_revision(self, shop: Source):
        assert self.save(plan_document()) == (200, {"revision": 1})
        assert self.save(plan_document(), 1) == (200, {"revision": 2})

    def test_answers_what_is_wrong_and_where(self, shop: Source):
        status, said = self.save({"events": {"A": {"schema": {"type": "string"}}}})

        assert (status, said["code"], said["path"]) == (422, "schema_not_object", "/events/A/schema/type")

    def test_does_not_overwrite_what_somebody_else_saved(self, shop: Source):
        self.save(plan_document())

        assert self.save({}, 0)[0] == 409

    @pytest.mark.parametrize("body", ["", "[]", '{"document": {}}', '{"revision": NaN}', "[" * 100_000])
    def test_refuses_what_no_editor_sends(self, shop: Source, body: str):
        answer = as_("engineer").post(f"{ROOT}save/", body, content_type="application/json")

        assert answer.status_code == 422


class TestVersions:
    def test_are_compared_and_restored(self, shop: Source):
        live_plan(shop)
        live_plan(shop, wrong_type="block")
        engineer = as_("engineer")

        page = engineer.get(f"{ROOT}versions/").content.decode()
        engineer.post(f"{ROOT}versions/1/restore/")

        live = queries.live(source=shop)
        assert "wrong type: flag → block" in page
        assert live is not None
        assert (live.number, live.document) == (3, plan_document())

    def test_are_not_published_unseen(self, shop: Source):
        now = timezone.now()
        operations.save_draft(source=shop, document=plan_document(), now=now)
        operations.save_draft(source=shop, document=plan_document(wrong_type="block"), now=now)

        answer = as_("engineer").post(f"{ROOT}publish/", {"revision": 1, "note": ""})

        assert (answer.status_code, queries.live(source=shop)) == (422, None)
        assert b"since you looked at it" in answer.content

    def test_can_be_switched_off_and_the_draft_discarded(self, shop: Source):
        live_plan(shop)
        operations.save_draft(source=shop, document={}, now=timezone.now())
        engineer = as_("engineer")

        engineer.post(f"{ROOT}off/")
        engineer.post(f"{ROOT}discard/")

        assert (queries.live(source=shop), queries.draft(source=shop)) == (None, None)
