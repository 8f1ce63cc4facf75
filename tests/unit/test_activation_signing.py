"""Signatures that receivers verify, and secrets that nobody reads in the database."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from activation.errors import SecretsUnreadableError
from activation.signing import SigningSecret, new_secret, rotate, seal, signature_headers, unseal

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class TestSignatureHeaders:
    def sign(self, *secrets: str, body: bytes = '{"name":"Zoë"}'.encode()) -> dict[str, str]:
        return signature_headers(message_id="msg-1", at=datetime.now(UTC), body=body, secrets=secrets)

    def test_verify_with_every_secret(self):
        one, two = new_secret().text, new_secret().text

        headers = self.sign(one, two)

        for secret in (one, two):
            assert Webhook(secret).verify('{"name":"Zoë"}', headers) == {"name": "Zoë"}

    def test_do_not_verify_another_body_id_or_secret(self):
        secret = new_secret().text
        headers = self.sign(secret)

        for wrong_secret, body, wrong in (
            (new_secret().text, '{"name":"Zoë"}', {}),
            (secret, '{"name":"Zoe"}', {}),
            (secret, '{"name":"Zoë"}', {"webhook-id": "msg-2"}),
        ):
            with pytest.raises(WebhookVerificationError):
                Webhook(wrong_secret).verify(body, headers | wrong)

    def test_match_the_example_of_the_specification(self):
        headers = signature_headers(
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            at=datetime.fromtimestamp(1614265330, UTC),
            body=b'{"test": 2432232314}',
            secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        )

        assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class TestNewSecret:
    def test_has_the_prefix_and_is_drawn_afresh(self):
        one, two = new_secret(), new_secret()

        assert one.text.startswith("whsec_")
        assert one != two
        assert one.signs(NOW + 1_000 * DAY)


class TestRotate:
    def test_puts_the_new_one_first_and_lets_the_old_one_sign_on(self):
        old = new_secret()

        new, kept = rotate([old], now=NOW, keep_old_for=DAY)

        assert new.expires_at is None
        assert kept == SigningSecret(old.text, NOW + DAY)

    def test_does_not_prolong_what_was_ending_and_drops_what_has_ended(self):
        ending, ended = SigningSecret("whsec_YQ==", NOW + DAY / 2), SigningSecret("whsec_Yg==", NOW)

        rotated = rotate([ending, ended], now=NOW, keep_old_for=DAY)

        assert rotated[1:] == [ending]

    def test_can_drop_the_old_ones_at_once(self):
        assert len(rotate([new_secret()], now=NOW, keep_old_for=timedelta())) == 1


class TestSeal:
    def test_hides_the_secrets_and_brings_them_back(self):
        secrets = [new_secret(), SigningSecret("whsec_YQ==", NOW)]

        sealed = seal(secrets)

        assert "whsec" not in sealed
        assert unseal(sealed) == secrets

    def test_survives_a_rotation_of_the_secret_key(self, settings):
        secrets = [new_secret()]
        sealed = seal(secrets)
        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "the next one"

        assert unseal(sealed) == secrets

    def test_says_what_to_do_when_the_key_is_lost(self, settings):
        sealed = seal([new_secret()])
        settings.SECRET_KEY = "a stranger"

        with pytest.raises(SecretsUnreadableError, match="CDP_SECRET_KEY"):
            unseal(sealed)
