"""Scopes on API views: `scopes = {"GET": "segments:read", "POST": "segments:write"}`."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request


class HasScope(BasePermission):
    """A view names its scopes as `read_scope` and `write_scope`; one that names none is refused to all."""

    message = "Your token or role does not carry the scope that this needs."
    code = "scope_missing"

    def has_permission(self, request: Request, view: Any) -> bool:
        user = request.user
        if not user or not user.is_authenticated:
            return False
        scope = getattr(view, "read_scope" if request.method in SAFE_METHODS else "write_scope", None)
        return scope is not None and user.may(scope)
