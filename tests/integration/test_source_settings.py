"""The settings tab of a source."""

from typing import Any

import pytest
from django.test import Client

from ingestion.models import Source
from tests.factories.access import make_user
from tests.factories.ingestion import SourceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Source:
    return SourceFactory(slug="shop", name="Shop")


def as_(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


class TestDetails:
    def test_are_saved(self, shop: Source):
        sent = {"part": "details", "details-name": "Web shop", "details-description": "", "details-priority": "5"}

        answer = as_("engineer").post("/sources/shop/settings/", sent)

        shop.refresh_from_db()
        assert (answer.status_code, shop.name, shop.priority) == (302, "Web shop", 5)

    def test_say_what_is_wrong_and_keep_what_was(self, shop: Source):
        sent = {"part": "details", "details-name": "", "details-priority": "5"}

        answer = as_("engineer").post("/sources/shop/settings/", sent)

        shop.refresh_from_db()
        assert (answer.status_code, shop.name) == (422, "Shop")
        assert b"This field is required" in answer.content

    def test_are_only_for_engineers_to_change(self, shop: Source):
        assert as_("marketer").get("/sources/shop/settings/").status_code == 200
        assert as_("marketer").post("/sources/shop/settings/", {"part": "details"}).status_code == 403


class TestEnrichment:
    def test_is_saved(self, shop: Source):
        sent = {"part": "enrich", "enrich-ip": "drop", "enrich-own_hosts": "pay.example"}

        answer = as_("engineer").post("/sources/shop/settings/", sent)

        shop.refresh_from_db()
        assert answer.status_code == 302
        assert shop.settings["enrich"] == {"enabled": False, "ip": "drop", "own_hosts": "pay.example"}

    def test_refuses_another_policy(self, shop: Source):
        answer = as_("engineer").post("/sources/shop/settings/", {"part": "enrich", "enrich-ip": "sell"})

        assert answer.status_code == 422

    def test_says_that_the_file_of_countries_is_missing(self, shop: Source, settings):
        settings.GEOIP_FILE = "/nowhere.mmdb"

        answer = as_("marketer").get("/sources/shop/settings/")

        assert b"CDP_GEOIP_FILE names is missing" in answer.content


class TestSettingsOverTheApi:
    def change(self, **settings: object) -> Any:
        return as_("engineer").patch("/api/v1/sources/shop/", {"settings": settings}, content_type="application/json")

    def test_are_answered_whole(self, shop: Source):
        found = as_("engineer").get("/api/v1/sources/shop/").json()["settings"]

        assert found["rate"] == {"per_second": 0, "burst": 0}
        assert found.keys() >= {"clock", "enrich", "quality", "quarantine", "sessions"}

    def test_change_the_fields_that_are_named(self, shop: Source):
        first = self.change(rate={"per_second": 50})
        second = self.change(rate={"burst": 200}, clock={"allow_future": True})

        shop.refresh_from_db()
        assert (first.status_code, second.status_code) == (200, 200)
        assert shop.settings == {"rate": {"per_second": 50, "burst": 200}, "clock": {"allow_future": True}}

    @pytest.mark.parametrize(
        ("settings", "path"),
        [
            ({"rate": {"per_second": "many"}}, "/settings/rate/per_second"),
            ({"rate": {"per_second": -1}}, "/settings/rate/per_second"),
            ({"rate": {"a_day": 1}}, "/settings/rate/a_day"),
            ({"pace": {}}, "/settings/pace"),
            ({"rate": 5}, "/settings/rate"),
        ],
    )
    def test_say_which_part_is_wrong(self, shop: Source, settings: dict[str, Any], path: str):
        answer = self.change(**settings)

        assert (answer.status_code, answer.json()["code"], answer.json()["path"]) == (400, "settings_invalid", path)
