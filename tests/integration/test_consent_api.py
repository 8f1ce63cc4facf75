"""`/api/v1/consent/` as its clients see it."""

import json
from datetime import UTC, datetime

import pytest
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from consent.contracts import State
from consent.models import ConsentRecord, Purpose
from tests.factories.consent import ANNA, PurposeFactory, choose

pytestmark = pytest.mark.django_db

RECORDS = "/api/v1/consent/records/"
DECISION = "/api/v1/consent/decision/"
PURPOSES = "/api/v1/consent/purposes/"


def client_with(*scopes: str) -> APIClient:
    _, token = ApiToken.issue(name=f"test {' '.join(scopes)}", scopes=list(scopes))
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture
def client() -> APIClient:
    return client_with("consent:read", "consent:write")


@pytest.fixture
def purpose() -> Purpose:
    return PurposeFactory(slug="marketing")


def body(**fields: object) -> dict[str, object]:
    given = {
        "subjects": [{"kind": "email", "value": "Anna@Example.com"}],
        "purpose": "marketing",
        "state": "granted",
        "method": "form",
        "happened_at": "2026-01-02T03:04:05Z",
        "external_id": "form-1",
    }
    return {name: value for name, value in (given | fields).items() if value is not ...}


@pytest.mark.usefixtures("purpose")
class TestCreateRecords:
    def test_records_one(self, client):
        answer = client.post(RECORDS, body())

        record = ConsentRecord.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {"id": record.pk, "created": True}
        assert record.happened_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert record.actor == "token test consent:read consent:write"

    def test_answers_200_and_the_same_record_when_sent_again(self, client):
        first = client.post(RECORDS, body())

        again = client.post(RECORDS, body())

        assert again.status_code == 200
        assert again.json() == {"id": first.json()["id"], "created": False}

    def test_records_a_list(self, client):
        answer = client.post(RECORDS, [body(), body(external_id="form-2"), body(external_id=...)])

        assert answer.status_code == 201
        assert [each["created"] for each in answer.json()["results"]] == [True, True, True]
        assert ConsentRecord.objects.count() == 3

    def test_takes_now_where_no_time_is_given(self, client):
        before = datetime.now(UTC)

        client.post(RECORDS, body(happened_at=...))

        assert before <= ConsentRecord.objects.get().happened_at <= datetime.now(UTC)

    @pytest.mark.parametrize(
        ("wrong", "code", "path"),
        [
            ({"purpose": "nothing"}, "purpose_unknown", "/purpose"),
            ({"state": "maybe"}, "invalid_choice", "/state"),
            ({"subjects": []}, "empty", "/subjects"),
            ({"subjects": [{"kind": "user_id", "value": "null"}]}, "subject_missing", "/subjects"),
            ({"subjects": [{"kind": "email"}]}, "required", "/subjects/0/value"),
            ({"evidence": {"text": "a\x00b"}}, "unstorable", None),
            ({"evidence": {"text": "\ud800"}}, "unstorable", None),
            ({"method": "telepathy"}, "invalid_choice", "/method"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, client, wrong, code, path):
        answer = client.post(RECORDS, json.dumps(body(**wrong)), content_type="application/json")

        assert answer.status_code == 400
        assert answer.json()["code"] == code
        assert answer.json().get("path") == path
        assert not ConsentRecord.objects.exists()

    def test_says_which_of_a_list_is_wrong(self, client):
        unknown = client.post(RECORDS, [body(), body(purpose="nothing")])
        malformed = client.post(RECORDS, [body(), body(state="maybe")])

        assert unknown.json()["path"] == "/1/purpose"
        assert malformed.json()["path"] == "/1/state"

    def test_refuses_a_token_that_only_reads(self):
        assert client_with("consent:read").post(RECORDS, body()).status_code == 403


class TestListRecords:
    def test_finds_by_identifier_purpose_and_state(self, client, purpose):
        mine = choose(purpose, State.GRANTED)
        other = choose(PurposeFactory(slug="analytics"), State.DENIED)
        choose(purpose, State.GRANTED, ("user_id", "u-2"))

        by_person = client.get(RECORDS, {"kind": "email", "value": " ANNA@example.com"}).json()
        by_both = client.get(RECORDS, {"kind": "email", "value": ANNA[1], "purpose": "marketing"}).json()
        by_state = client.get(RECORDS, {"state": "denied"}).json()

        assert [each["id"] for each in by_person["results"]] == [other, mine]
        assert [each["id"] for each in by_both["results"]] == [mine]
        assert [each["id"] for each in by_state["results"]] == [other]
        assert by_both["results"][0]["purpose"] == "marketing"
        assert "anna" not in str(by_both)

    def test_pages(self, client, purpose):
        made = [choose(purpose, State.GRANTED) for _ in range(5)]

        first = client.get(RECORDS, {"page_size": 2}).json()
        second = client.get(first["next"]).json()
        last = client.get(second["next"]).json()

        pages = [[each["id"] for each in page["results"]] for page in (first, second, last)]
        assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
        assert last["next"] is None

    def test_asks_for_kind_and_value_together(self, client):
        assert client.get(RECORDS, {"kind": "email"}).status_code == 400

    def test_refuses_a_token_without_the_scope(self):
        assert client_with("profiles:read").get(RECORDS).status_code == 403


class TestDecision:
    def test_answers_with_the_record_that_decided(self, client, purpose):
        record = choose(purpose, State.GRANTED)

        answer = client.get(DECISION, {"purpose": "marketing", "kind": "email", "value": "Anna@example.com"})

        assert answer.json() == {"allowed": True, "reason": "granted", "record": record}

    def test_says_no_to_who_never_chose(self, client, purpose):
        answer = client.get(DECISION, {"purpose": purpose.slug, "kind": "email", "value": "ben@example.com"})

        assert answer.json() == {"allowed": False, "reason": "no_choice", "record": None}

    def test_is_as_strict_as_the_strictest_of_several_identifiers(self, client, purpose):
        choose(purpose, State.GRANTED)
        choose(purpose, State.WITHDRAWN, ("user_id", "u-1"))

        answer = client.get(f"{DECISION}?purpose=marketing&kind=email&value=anna@example.com&kind=user_id&value=u-1")

        assert answer.json()["reason"] == "withdrawn"

    def test_says_404_to_a_purpose_that_is_not_there(self, client):
        answer = client.get(DECISION, {"purpose": "nothing", "kind": "email", "value": "a@b.de"})

        assert (answer.status_code, answer.json()["code"]) == (404, "purpose_unknown")

    @pytest.mark.usefixtures("purpose")
    def test_needs_as_many_kinds_as_values(self, client):
        assert client.get(f"{DECISION}?purpose=marketing&kind=email&value=a&value=b").status_code == 400
        assert client.get(f"{DECISION}?purpose=marketing").status_code == 400


class TestPurposes:
    def test_can_be_added_and_renamed_but_keep_their_slug_and_kind(self, client):
        made = client.post(PURPOSES, {"slug": "email", "name": "E-mail", "kind": "activation"})
        changed = client.patch(f"{PURPOSES}email/", {"name": "Letters", "slug": "other", "kind": "collection"})

        assert made.status_code == 201
        assert changed.json()["name"] == "Letters"
        assert (changed.json()["slug"], changed.json()["kind"]) == ("email", "activation")
        assert [each["slug"] for each in client.get(PURPOSES).json()["results"]] == ["email"]

    def test_cannot_be_deleted(self, client, purpose):
        assert client.delete(f"{PURPOSES}{purpose.slug}/").status_code == 405
