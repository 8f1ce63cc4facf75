"""The contract of a destination kind: whatever is in `activation/destinations/` passes it."""

import json

import pytest
from django import forms

from activation.destinations import DestinationKind, get_kind, kinds
from activation.destinations.base import Message, Target
from activation.egress import Answer
from activation.errors import DestinationError, InvalidDestinationError, UnknownKindError
from tests.factories.activation import NOW, Receiver, Reply, receiving

MESSAGE = Message(id="0b0e7f2a-0000-4000-8000-000000000001", body=json.dumps({"type": "test", "data": {}}).encode())
SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)

# Per kind, its settings for a receiver at this address.
SETTINGS = {"webhook": lambda url: {"url": url}}


@pytest.fixture(autouse=True)
def receivers_may_be_local(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]


@pytest.fixture(params=sorted(kinds()))
def kind(request) -> DestinationKind:
    return get_kind(request.param)


def target(kind: DestinationKind, receiver: Receiver, *, number: int) -> Target:
    return Target(id=-number, config=kind.clean(SETTINGS[kind.kind](receiver.url)), secrets=SECRETS)


class TestEveryKind:
    def test_says_what_it_is(self, kind):
        assert kind.kind.isidentifier()
        assert all((kind.label, kind.description, kind.icon))
        assert issubclass(kind.settings_form, forms.Form)
        assert 1 <= kind.concurrency <= 64

    def test_keeps_clean_settings_as_they_are(self, kind):
        clean = kind.clean(SETTINGS[kind.kind]("https://example.com/hook"))

        assert kind.clean(clean) == clean
        assert json.loads(json.dumps(clean)) == clean
        assert kind.describe(clean)

    def test_refuses_settings_that_it_does_not_know_or_that_are_missing(self, kind):
        good = SETTINGS[kind.kind]("https://example.com/hook")

        for wrong in ({**good, "surprise": 1}, {}):
            with pytest.raises(InvalidDestinationError) as caught:
                kind.clean(wrong)
            assert caught.value.path.startswith("/config/")

    def test_hands_over_the_message_and_the_answer(self, kind):
        with receiving(Receiver(reply=Reply(200, body=b"taken"))) as receiver:
            answer = kind.send(MESSAGE, to=target(kind, receiver, number=1), now=NOW)

            assert isinstance(answer, Answer)
            assert (answer.status, answer.text) == (200, "taken")
            assert len(receiver.received) == 1

    @pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
    def test_raises_its_one_error_when_the_receiver_does_not_take_it(self, kind, status):
        with (
            receiving(Receiver(reply=Reply(status, body=b"no"))) as receiver,
            pytest.raises(DestinationError) as caught,
        ):
            kind.send(MESSAGE, to=target(kind, receiver, number=2), now=NOW)

        assert (caught.value.status, caught.value.response) == (status, "no")
        assert not caught.value.permanent

    def test_raises_it_when_nobody_is_there(self, kind):
        with receiving() as receiver:
            gone = target(kind, receiver, number=3)

        with pytest.raises(DestinationError) as caught:
            kind.send(MESSAGE, to=gone, now=NOW)

        assert caught.value.status is None
        assert not caught.value.permanent

    def test_raises_it_for_good_where_the_address_is_not_allowed(self, kind, settings):
        with receiving() as receiver:
            inside = target(kind, receiver, number=4)
            settings.EGRESS_ALLOWED_HOSTS = []

            with pytest.raises(DestinationError) as caught:
                kind.send(MESSAGE, to=inside, now=NOW)

        assert caught.value.permanent
        assert receiver.received == []


class TestGetKind:
    def test_says_which_kind_there_is_not(self):
        with pytest.raises(UnknownKindError, match="pigeon"):
            get_kind("pigeon")


class TestWebhookAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "https://example.com",
            "https://example.com:8443/a/b?c=d",
            "http://receiver:9000/hook",
            "https://münchen.example/hook",
            "http://127.0.0.1:8001/hook",
        ],
    )
    def test_may_be(self, url):
        assert get_kind("webhook").clean({"url": url}) == {"url": url}

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "example.com/hook",
            "ftp://example.com/hook",
            "file:///etc/passwd",
            "https:///hook",
            "https://user:secret@example.com/hook",
            "https://example.com/hook#part",
            "https://example.com:99999/hook",
            "http://10.0.0.1/hook",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]:8000/hook",
            "http://[::ffff:10.0.0.1]/hook",
            "https://example.com/" + "x" * 2_000,
            "https://exa mple.com/",
        ],
    )
    def test_may_not_be(self, url):
        with pytest.raises(InvalidDestinationError) as caught:
            get_kind("webhook").clean({"url": url})

        assert caught.value.path == "/config/url"
