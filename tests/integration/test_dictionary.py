"""The data dictionary, and who sees personal data in clear. R: A7, G9"""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from cdp.kernel.access.roles import Role
from ingestion.dictionary import operations, queries
from ingestion.dictionary.masking import Pii
from ingestion.dictionary.models import DictionaryEntry
from ingestion.models import Source
from ingestion.quality.fold import fold_samples
from ingestion.quality.observe import forget_samples
from segments.operations import create_segment
from tests.factories.access import make_user
from tests.factories.ingestion import identify, track
from tests.integration.conftest import drain_all, rows

URL = "/api/v1/dictionary/"
ENTRY = "/dictionary/entry/"


@pytest.fixture
def traffic(accept, source: Source) -> None:
    forget_samples()
    accept(
        identify(userId="customer-1", traits={"email": "anna@example.org", "name": "Anna Smith", "plan": "pro"}),
        track("Paid", userId="customer-1", properties={"total": 12.5, "coupon": "A", "name": "Milk"}),
        track("Paid", userId="customer-1", properties={"total": "12", "email": "anna@example.org"}),
        now=timezone.now(),
    )
    drain_all()
    fold_samples()


def api(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=" ".join(scopes), scopes=list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def person(role: str) -> Client:
    client = Client()
    client.force_login(make_user(role))
    return client


def say(kind: str, path: str, event: str = "", **words: str) -> DictionaryEntry:
    return operations.describe(kind=kind, event=event, path=path, by="test", now=timezone.now(), **words)


class TestReadLines:
    def test_has_every_event_property_and_trait_that_was_seen(self, traffic: None, source: Source):
        found = queries.read_lines(now=timezone.now())

        assert list(found)[:3] == [("trait", "", "email"), ("trait", "", "name"), ("trait", "", "plan")]
        total = found["property", "Paid", "total"]
        assert (total.types, total.share, total.volume, total.sources) == (
            {"number": 0.5, "text": 0.5},
            1.0,
            2,
            [source.slug],
        )
        assert total.is_mixed
        assert found["property", "Paid", "coupon"].share == 0.5
        assert found["event", "", "Paid"].volume == 2
        assert found["event", "", "Paid"].last_seen is not None

    def test_takes_the_class_from_the_name_unless_somebody_said_one(self, traffic: None):
        say("trait", "plan", pii="sensitive")
        found = queries.read_lines(now=timezone.now())

        assert (found["trait", "", "email"].pii, found["trait", "", "email"].pii_stated) == (Pii.CONTACT, False)
        assert (found["trait", "", "plan"].pii, found["trait", "", "plan"].pii_stated) == (Pii.SENSITIVE, True)
        assert found["property", "Paid", "name"].pii is Pii.NONE

    def test_tells_the_types_of_each_day(self, traffic: None):
        line = queries.read_lines(now=timezone.now())["property", "Paid", "total"]

        ((_, kinds),) = queries.type_history(line=line, now=timezone.now())

        assert kinds == {"number": 1, "text": 1}


class TestScreen:
    def test_lists_filters_and_says_which_segments_read_what(self, traffic: None):
        definition = {
            "type": "event", "event": "Paid", "where": [{"property": "coupon", "op": "eq", "value": "A"}],
            "measure": "count", "op": "gte", "value": 1,
        }  # fmt: skip
        create_segment(slug="coupons", name="Coupon lovers", definition=definition, user=None, now=timezone.now())
        client = person("analyst")

        def paths(**filters: str) -> set[str]:
            return {line.path for line in client.get("/dictionary/", filters).context["page"]}

        assert "Coupon lovers" in client.get("/dictionary/", {"q": "coupon"}).content.decode()
        assert paths(kind="trait") == {"email", "name", "plan"}
        assert paths(pii="contact") == {"email"}
        assert paths(q="tot") == {"total"}
        assert paths(event="Paid", kind="event") == {"Paid"}
        assert paths(source="nothing") == set()

    def test_an_entry_is_described_in_place(self, traffic: None):
        client = person("engineer")
        place = {"kind": "property", "event": "Paid", "path": "total"}

        form = client.get(ENTRY, place | {"edit": "1"}).content.decode()
        row = client.post(ENTRY, place | {"description": "What was paid", "owner": "Shop team", "type": "number"})

        assert "Types by day" in form
        assert "What was paid" in row.content.decode()
        entry = DictionaryEntry.objects.get()
        assert (entry.description, entry.owner, entry.type) == ("What was paid", "Shop team", "number")
        assert "total" not in {line.path for line in client.get("/dictionary/", {"undocumented": "1"}).context["page"]}

    @pytest.mark.parametrize(("role", "status"), [("analyst", 403), ("marketer", 403), ("privacy officer", 200)])
    def test_engineers_and_privacy_officers_describe(self, traffic: None, role: str, status: int):
        answer = person(role).post(ENTRY, {"kind": "trait", "path": "plan", "pii": "sensitive"})

        assert answer.status_code == status

    def test_is_exported_as_csv_without_formulas(self, traffic: None):
        say("trait", "plan", description="=1+1")

        text = person("analyst").get("/dictionary/export/?kind=trait").content.decode("utf-8-sig")

        lines = text.splitlines()
        assert lines[0].startswith("kind,event,path,description")
        assert [line.split(",")[2] for line in lines[1:]] == ["email", "name", "plan"]
        assert "'=1+1" in text


class TestApi:
    def test_lists_in_pages(self, traffic: None):
        client = api("events:read")

        first = client.get(URL, {"page_size": 3}).json()
        second = client.get(first["next"]).json()

        assert [line["path"] for line in first["results"]] == ["email", "name", "plan"]
        assert second["results"][0]["kind"] == "event"
        assert client.get(URL, {"kind": "trait", "q": "plan"}).json()["results"][0]["types"] == {"text": 1.0}

    def test_describes(self, traffic: None):
        change = {"kind": "property", "event": "Paid", "path": "total", "description": "Paid", "pii": "personal"}

        answer = api("sources:write").patch(URL, change)

        assert answer.status_code == 200, answer.json()
        assert (answer.json()["description"], answer.json()["pii"], answer.json()["pii_stated"]) == (
            "Paid",
            "personal",
            True,
        )

    @pytest.mark.parametrize(
        ("change", "code", "path"),
        [
            ({"kind": "property", "path": "total"}, "event_mismatch", "/event"),
            ({"kind": "trait", "path": "plan", "pii": "secret"}, "invalid_choice", "/pii"),
            ({"kind": "trait", "path": "plan", "description": "x" * 1001}, "max_length", "/description"),
        ],
    )
    def test_says_what_is_wrong(self, database: None, change: dict[str, Any], code: str, path: str):
        answer = api("sources:write").patch(URL, change)

        assert (answer.status_code, answer.json()["code"], answer.json()["path"]) == (400, code, path)

    def test_changing_needs_the_scope(self, database: None):
        assert api("events:read").patch(URL, {"kind": "trait", "path": "a"}).status_code == 403


def profile_id() -> int:
    return rows("SELECT id FROM profile")[0][0]


class TestMasking:
    CLEAR = (Role.ADMIN, Role.MARKETER, Role.ENGINEER, Role.PRIVACY_OFFICER)

    def pages(self, role: str) -> str:
        client = person(role)
        addresses = ["/profiles/", f"/profiles/{profile_id()}/", "/profiles/search/?q=customer-1", "/sources/shop/"]
        addresses += ["/", f"/profiles/{profile_id()}/events/", "/sources/shop/standardise/"]
        return "".join(client.get(address).content.decode() for address in addresses)

    @pytest.mark.parametrize("role", CLEAR)
    def test_these_roles_see_clear_values(self, traffic: None, role: Role):
        page = self.pages(role)

        assert "anna@example.org" in page
        assert "Anna Smith" in page

    def test_an_analyst_sees_masked_ones_everywhere(self, traffic: None):
        page = self.pages("analyst")

        assert "anna@example.org" not in page
        assert "Anna Smith" not in page
        assert "customer-1<" not in page
        assert "a•••@e•••.org" in page
        assert "Milk" in page

    def test_a_token_needs_the_scope(self, traffic: None):
        id_ = profile_id()
        masked, clear = api("profiles:read", "events:read"), api("profiles:read", "events:read", "pii:read")

        def seen(client: APIClient) -> list[Any]:
            one = client.get(f"/api/v1/profiles/{id_}/").json()
            listed = client.get("/api/v1/profiles/").json()["results"][0]
            found = client.get("/api/v1/profiles/lookup/", {"kind": "user_id", "value": "customer-1"}).json()
            events = client.get(f"/api/v1/profiles/{id_}/events/").json()["results"]
            paid = {event["properties"].get("email") for event in events}
            return [one["traits"]["email"], one["identifiers"]["email"], listed["traits"]["name"], found["id"], paid]

        assert seen(clear) == ["anna@example.org", ["anna@example.org"], "Anna Smith", id_, {None, "anna@example.org"}]
        assert seen(masked) == ["a•••@e•••.org", ["a•••@e•••.org"], "A•••", id_, {None, "a•••@e•••.org"}]

    def test_a_class_that_somebody_sets_acts_at_once(self, traffic: None):
        say("trait", "plan", pii="sensitive")
        say("trait", "name", pii="none")

        traits = api("profiles:read").get(f"/api/v1/profiles/{profile_id()}/").json()["traits"]

        assert traits == {"email": "a•••@e•••.org", "name": "Anna Smith", "plan": "•••"}

    def test_the_builder_suggests_no_value_that_is_masked(self, traffic: None):
        def values(role: str, trait: str) -> list[Any]:
            answer = person(role).get("/segments/builder/suggest/", {"of": "values", "trait": trait}).json()
            return [one["value"] for one in answer["results"]]

        assert values("marketer", "email") == ["anna@example.org"]
        assert values("analyst", "email") == []
        assert values("analyst", "plan") == ["pro"]

    def test_suggestions_come_with_their_descriptions(self, traffic: None):
        say("trait", "plan", description="What they pay for")

        answer = person("marketer").get("/segments/builder/suggest/", {"of": "traits"}).json()

        assert {one["value"]: one.get("description") for one in answer["results"]}["plan"] == "What they pay for"

    def test_quarantined_messages_are_masked_too(self, traffic: None, accept):
        accept({"type": "track", "userId": "customer-1", "properties": {"email": "anna@example.org"}})
        drain_all()

        def payload(*scopes: str) -> str:
            (held,) = api("sources:write", "events:read", *scopes).get("/api/v1/quarantine/").json()["results"]
            return str(held["payload"])

        masked = payload()

        assert "anna@example.org" in payload("pii:read")
        assert "anna@example.org" not in masked
        assert "a•••@e•••.org" in masked
