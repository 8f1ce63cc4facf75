"""People and API tokens."""

import hashlib
import secrets
from functools import cached_property

from django.contrib.auth.models import AbstractUser
from django.db import models

from cdp.kernel.access.roles import ROLE_SCOPES, Role, Scope


class User(AbstractUser):
    """A person who logs in. What they may do follows from the groups (roles) they are in."""

    @cached_property
    def roles(self) -> frozenset[Role]:
        if self.is_superuser:
            return frozenset({Role.ADMIN})
        names = set(self.groups.values_list("name", flat=True))
        return frozenset(role for role in Role if role.value in names)

    @cached_property
    def scopes(self) -> frozenset[Scope]:
        return frozenset(scope for role in self.roles for scope in ROLE_SCOPES[role])

    def may(self, scope: Scope | str) -> bool:
        return Scope(scope) in self.scopes


class ApiToken(models.Model):
    """A bearer token for `/api/v1/`. Only its hash is kept: the token is shown once, when it is made."""

    PREFIX = "trb_"

    name = models.CharField(max_length=100, unique=True)
    hint = models.CharField(max_length=12, editable=False, help_text="The first characters, to tell tokens apart.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def digest_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()

    @classmethod
    def issue(cls, *, name: str, scopes: list[str]) -> tuple["ApiToken", str]:
        """Make a token; returns the row and the token itself, which cannot be had again."""
        token = cls.PREFIX + secrets.token_urlsafe(32)
        checked = sorted(Scope(scope).value for scope in scopes)
        row = cls.objects.create(name=name, hint=token[:8], digest=cls.digest_of(token), scopes=checked)
        return row, token

    def may(self, scope: Scope | str) -> bool:
        return Scope.ADMIN.value in self.scopes or Scope(scope).value in self.scopes


class AuditEntry(models.Model):
    """Something that somebody did and that others may have to answer for: who, when, what, and on what terms."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200, help_text="A person's user name, or `token NAME`.")
    action = models.CharField(max_length=60)
    details = models.JSONField(default=dict)

    class Meta:
        db_table = "access_audit"
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["action", "-id"], name="access_audit_newest")]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action}"
