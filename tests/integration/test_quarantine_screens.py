"""The quarantine in the console."""

from typing import Any

import pytest
from django.test import Client

from cdp import pipeline
from cdp.kernel.access.roles import Role
from ingestion.models import Source
from ingestion.quarantine.models import QuarantinedMessage, Reason, Replay
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, message
from tests.integration.conftest import drain_all, rows

HOME = "/sources/shop/quarantine/"


@pytest.fixture
def erin(database: None) -> Client:
    client = Client()
    client.force_login(make_user(Role.ENGINEER))
    return client


@pytest.fixture
def held(accept) -> Reason:
    """Three messages whose event stands in the wrong field."""
    accept(*(message(event=..., name="Seen", messageId=f"bad-{n}", properties={"tag": "<b>"}) for n in range(3)))
    drain_all(NOW)
    return Reason.objects.get()


def shown(client: Client, address: str, **query: Any) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


class TestQuarantine:
    def test_empty_says_that_all_is_well(self, erin: Client, source: Source):
        assert "Nothing is held back" in shown(erin, HOME)

    def test_lists_reasons(self, erin: Client, held: Reason):
        page = shown(erin, HOME)

        assert "event_missing" in page
        assert f"{HOME}reasons/{held.pk}/" in page

    def test_finds_messages(self, erin: Client, held: Reason):
        page = shown(erin, HOME, message_id="bad-1")

        assert "&lt;b&gt;" in page
        assert "bad-1" in page
        assert "bad-2" not in page
        assert "No message matches" in shown(erin, HOME, text="nothing like it")
        assert "No message matches" in shown(erin, HOME, person="somebody@else.example")

    @pytest.mark.parametrize("query", [{"since": "nonsense"}, {"text": "\x00"}, {"state": "odd"}, {"after": "x"}])
    def test_takes_nonsense_calmly(self, erin: Client, held: Reason, query: dict[str, str]):
        shown(erin, HOME, **query)

    def test_comes_in_pages(self, erin: Client, accept):
        accept(*(message(event=...) for _ in range(30)))
        drain_all(NOW)
        reason = Reason.objects.get()

        first = erin.get(f"{HOME}reasons/{reason.pk}/").context["page"]
        second = erin.get(f"{HOME}reasons/{reason.pk}/", {"after": first.next}).context["page"]

        assert (len(first), len(second), second.next) == (25, 5, "")

    def test_is_not_for_strangers(self, client: Client, held: Reason):
        assert client.get(HOME).status_code == 302


class TestReason:
    def test_tries_a_fix_without_storing(self, erin: Client, held: Reason):
        steps = {"op": ["rename", "rename"], "path": ["/name", ""], "to": ["event", ""]}

        answer = erin.post(f"{HOME}reasons/{held.pk}/try/", steps)

        assert "<strong>3 of 3</strong>" in answer.content.decode()
        assert rows("SELECT count(*) FROM event") == [(0,)]

    def test_says_which_step_makes_no_sense(self, erin: Client, held: Reason):
        answer = erin.post(f"{HOME}reasons/{held.pk}/try/", {"op": "remove", "path": "name", "to": ""})

        assert answer.status_code == 422
        assert "/0/path" in answer.content.decode()

    def test_replays_with_the_fix(self, erin: Client, held: Reason):
        form = {"op": "rename", "path": "/name", "to": "event", "criteria": f'{{"reason": {held.pk}}}'}

        answer = erin.post(f"{HOME}replay/", form)
        replay = Replay.objects.get()
        while pipeline.replay(now=NOW):
            pass

        assert answer.headers["Location"] == f"{HOME}replays/{replay.pk}/"
        assert "<strong>3</strong> stored" in shown(erin, f"{HOME}replays/{replay.pk}/")
        assert rows("SELECT count(*) FROM event") == [(3,)]
        assert "Nothing waits" in shown(erin, f"{HOME}reasons/{held.pk}/")

    def test_discards_and_takes_back(self, erin: Client, held: Reason):
        back = f"{HOME}reasons/{held.pk}/"
        form = {"criteria": f'{{"reason": {held.pk}}}', "discard_reason": "tests", "back": back}

        assert erin.post(f"{HOME}discard/", form).headers["Location"] == back
        assert "tests" in shown(erin, back, state="discarded")
        erin.post(f"{HOME}restore/", {"criteria": form["criteria"], "back": "https://elsewhere.example/"})

        assert set(QuarantinedMessage.objects.values_list("state", flat=True)) == {"held"}

    def test_changes_nothing_for_who_may_only_read(self, held: Reason):
        client = Client()
        client.force_login(make_user(Role.ANALYST))

        assert "Replay 3 with it" not in shown(client, f"{HOME}reasons/{held.pk}/")
        for form in ("replay", "discard", "restore"):
            assert client.post(f"{HOME}{form}/", {"criteria": "{}"}).status_code == 403


class TestMessage:
    def test_says_what_is_still_wrong_and_where(self, erin: Client, held: Reason):
        one = QuarantinedMessage.objects.first()

        answer = erin.post(f"{HOME}messages/{one.pk}/", {"payload": '{"type": "track", "event": "A", "userId": []}'})

        assert answer.status_code == 422
        assert "/userId" in answer.content.decode()
        assert "&quot;userId&quot;: []" in answer.content.decode()
        assert not Replay.objects.exists()

    def test_is_replayed_when_it_is_mended(self, erin: Client, held: Reason):
        one = QuarantinedMessage.objects.get(message_id="bad-1")

        erin.post(
            f"{HOME}messages/{one.pk}/", {"payload": '{"type":"track","event":"A","userId":"u","messageId":"1"}'}
        )
        while pipeline.replay(now=NOW):
            pass

        one.refresh_from_db()
        assert one.state == "replayed"
        assert rows("SELECT count(*) FROM event") == [(1,)]
        assert "Replayed" in shown(erin, f"{HOME}messages/{one.pk}/")
