"""Bearer tokens for the REST API."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from cdp.kernel.access.models import ApiToken

_USE_NOTED_EVERY = timedelta(minutes=1)


class TokenUser:
    """Stands in for a person where a token made the request."""

    is_authenticated = True
    is_active = True
    is_anonymous = False
    pk = None

    def __init__(self, token: ApiToken) -> None:
        self.token = token

    def __str__(self) -> str:
        return f"token {self.token.name}"

    def may(self, scope: str) -> bool:
        return self.token.may(scope)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer trb_…`"""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        if len(words) != 2:
            raise AuthenticationFailed("Send the token as: Authorization: Bearer <token>.", code="token_malformed")
        digest = ApiToken.digest_of(words[1].decode("latin-1"))
        token = ApiToken.objects.filter(digest=digest, revoked_at=None).first()
        if token is None:
            raise AuthenticationFailed("This token is unknown or was revoked.", code="token_unknown")
        self._note_use(token)
        return TokenUser(token), token

    def authenticate_header(self, _request: Request) -> str:
        return "Bearer"

    @staticmethod
    def _note_use(token: ApiToken) -> None:
        now = timezone.now()
        if token.last_used_at is None or now - token.last_used_at > _USE_NOTED_EVERY:
            ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
