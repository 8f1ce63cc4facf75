"""Signatures after Standard Webhooks 1.0.0, and the secrets that make them, encrypted at rest. R: F1, G11

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import functools
import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from standardwebhooks import Webhook

from activation.errors import SecretsUnreadableError

PREFIX = "whsec_"
SECRET_BYTES = 32
KEEP_OLD_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A secret and until when it signs; None is for good. During a rotation two or more sign side by side."""

    text: str
    expires_at: datetime | None = None

    def signs(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now


def new_secret() -> SigningSecret:
    return SigningSecret(PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def rotate(kept: Iterable[SigningSecret], *, now: datetime, keep_old_for: timedelta) -> list[SigningSecret]:
    """The new secret first, then the old ones that go on signing for a while."""
    until = now + keep_old_for
    old = [SigningSecret(secret.text, min(secret.expires_at or until, until)) for secret in kept if secret.signs(now)]
    return [new_secret(), *(secret for secret in old if secret.signs(now))]


def signature_headers(*, message_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and one space-separated `v1,…` signature per secret."""
    text = body.decode()
    signatures = " ".join(_signer(secret).sign(msg_id=message_id, timestamp=at, data=text) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signatures,
    }


def seal(kept: Iterable[SigningSecret]) -> str:
    """The secrets as they are stored: encrypted under SECRET_KEY."""
    plain = [[secret.text, secret.expires_at.isoformat() if secret.expires_at else None] for secret in kept]
    return _vault().encrypt(json.dumps(plain).encode()).decode()


def unseal(sealed: str) -> list[SigningSecret]:
    """The stored secrets; also those that an earlier SECRET_KEY sealed, while it is in SECRET_KEY_FALLBACKS."""
    if not sealed:
        return []
    try:
        plain = json.loads(_vault().decrypt(sealed.encode()))
    except InvalidToken:
        raise SecretsUnreadableError(
            "The signing secrets were sealed with another SECRET_KEY: put that one in CDP_SECRET_KEY, or rotate."
        ) from None
    return [SigningSecret(text, datetime.fromisoformat(until) if until else None) for text, until in plain]


@functools.lru_cache(maxsize=256)
def _signer(secret: str) -> Webhook:
    return Webhook(secret)


def _vault() -> MultiFernet:
    return _vault_of(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@functools.lru_cache(maxsize=4)
def _vault_of(*keys: str) -> MultiFernet:
    return MultiFernet([Fernet(_derive(key)) for key in keys])


def _derive(key: str) -> bytes:
    digest = hashlib.blake2b(key.encode(), digest_size=32, person=b"cdp.signing.v1")
    return base64.urlsafe_b64encode(digest.digest())
