"""The receiver's mailbox: it believes what is signed, counts tries, forgets the oldest, and fails when asked to."""

import json
from datetime import UTC, datetime, timedelta

from standardwebhooks.webhooks import Webhook

from cdp.demo.receiver.mailbox import KEPT, LONGEST_FAILURE, Mailbox, verify

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def now() -> datetime:
    return datetime.now(UTC)


def signed(body: bytes, *, message_id: str = "msg_1", secret: str = SECRET, at: datetime | None = None):
    at = at or now()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
        "content-type": "application/json",
    }


BODY = json.dumps({"type": "segment.entered", "data": {"segment": {"name": "High value"}}}).encode()


class TestVerify:
    def test_believes_a_signed_body(self):
        assert verify(headers=signed(BODY), body=BODY, secret=SECRET) == ""

    def test_refuses_another_secret(self):
        assert verify(headers=signed(BODY, secret=OTHER), body=BODY, secret=SECRET)

    def test_refuses_a_changed_body(self):
        assert verify(headers=signed(BODY), body=BODY.replace(b"High", b"Low"), secret=SECRET)

    def test_refuses_an_old_timestamp(self):
        assert verify(headers=signed(BODY, at=now() - timedelta(minutes=10)), body=BODY, secret=SECRET)

    def test_refuses_missing_headers(self):
        assert verify(headers={}, body=BODY, secret=SECRET)

    def test_says_that_it_knows_no_secret(self):
        assert "load_demo" in verify(headers=signed(BODY), body=BODY, secret="")

    def test_refuses_a_signed_body_that_is_no_json(self):
        assert "read" in verify(headers=signed(b"{"), body=b"{", secret=SECRET)


class TestMailbox:
    def take(self, mailbox, *, message_id="msg_1", secret=SECRET):
        return mailbox.take(
            headers=signed(BODY, message_id=message_id, secret=secret), body=BODY, secret=SECRET, now=now()
        )

    def test_accepts_what_is_signed(self):
        message = self.take(Mailbox())

        assert (message.status, message.problem, message.type) == (204, "", "segment.entered")
        assert message.data == {"segment": {"name": "High value"}}

    def test_refuses_and_shows_what_is_not(self):
        mailbox = Mailbox()

        message = self.take(mailbox, secret=OTHER)

        assert message.status == 401
        assert mailbox.messages() == [message]

    def test_counts_the_tries_of_one_message(self):
        mailbox = Mailbox()
        mailbox.fail_for(seconds=60, now=now())
        first = self.take(mailbox)
        mailbox.fail_for(seconds=0, now=now())
        second = self.take(mailbox)

        assert [(message.status, message.attempt) for message in (first, second)] == [(500, 1), (204, 2)]
        assert mailbox.counts() == {"total": 2, "accepted": 1, "failed": 1, "refused": 0}

    def test_fails_only_as_long_as_it_was_told(self):
        mailbox = Mailbox()
        at = now()

        mailbox.fail_for(seconds=10, now=at)

        assert mailbox.failing_for(now=at + timedelta(seconds=4)) == 6
        assert mailbox.failing_for(now=at + timedelta(seconds=11)) == 0

    def test_fails_an_hour_at_most(self):
        mailbox = Mailbox()

        mailbox.fail_for(seconds=10**9, now=now())

        assert mailbox.failing_for(now=now()) <= LONGEST_FAILURE

    def test_keeps_the_last_messages_only(self):
        mailbox = Mailbox()

        for number in range(KEPT + 3):
            self.take(mailbox, message_id=f"msg_{number}")

        kept = mailbox.messages()
        assert len(kept) == KEPT
        assert (kept[0].webhook_id, kept[-1].webhook_id) == (f"msg_{KEPT + 2}", "msg_3")
        assert mailbox.counts()["total"] == KEPT + 3

    def test_shows_a_body_that_is_no_json(self):
        message = Mailbox().take(headers={}, body=b"\xff<xml>", secret=SECRET, now=now())

        assert "<xml>" in message.pretty
        assert message.type == ""
