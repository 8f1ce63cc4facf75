"""People and tokens in the admin, and the base of every admin page: scopes decide, not Django's permissions."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from cdp.kernel.access.models import ApiToken, AuditEntry, User
from cdp.kernel.access.roles import Role, Scope

if TYPE_CHECKING:  # Django's own classes take no type arguments at run time
    ModelAdmin = admin.ModelAdmin[Any]
    UserModelAdmin = DjangoUserAdmin[User]
else:
    ModelAdmin = admin.ModelAdmin
    UserModelAdmin = DjangoUserAdmin

STAFF_ROLES = frozenset({Role.ADMIN, Role.PRIVACY_OFFICER})
"""The roles that work in the admin."""


class ScopedAdmin(ModelAdmin):
    """Opens to whoever's role carries `read_scope`; without a `write_scope` nobody changes anything."""

    read_scope: Scope = Scope.ADMIN
    write_scope: Scope | None = None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _may(request, self.read_scope)

    def has_view_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return _may(request, self.read_scope)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _may(request, self.write_scope)

    def has_change_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return _may(request, self.write_scope)

    def has_delete_permission(self, request: HttpRequest, _obj: Any = None) -> bool:
        return _may(request, self.write_scope)


def _may(request: HttpRequest, scope: Scope | None) -> bool:
    user: Any = request.user
    return scope is not None and user.is_active and user.is_staff and user.may(scope)


admin.site.unregister(Group)  # groups are the roles: they come with the product


@admin.register(User)
class UserAdmin(ScopedAdmin, UserModelAdmin):
    """A person's groups are their roles; who may open the admin follows from them."""

    write_scope = Scope.ADMIN
    list_display = ("username", "email", "first_name", "last_name", "role_names", "is_active", "last_login")
    list_filter = ("groups", "is_active")
    filter_horizontal = ("groups",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Roles", {"fields": ("groups", "is_active", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "usable_password", "password1", "password2")}),)
    readonly_fields = ("last_login", "date_joined")

    @admin.display(description="roles")
    def role_names(self, user: User) -> str:
        return ", ".join(sorted(role.value for role in user.roles)) or "none"

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, _obj: Any = None) -> tuple[str, ...]:
        """Only a superuser makes another."""
        own: Any = request.user
        return self.readonly_fields if own.is_superuser else (*self.readonly_fields, "is_superuser")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        let_staff_follow_roles(form.instance)


def let_staff_follow_roles(user: User) -> None:
    """Who has a role that works in the admin may open it; who lost the last such role may not."""
    names = set(user.groups.values_list("name", flat=True))
    user.is_staff = user.is_superuser or any(role.value in names for role in STAFF_ROLES)
    user.save(update_fields=["is_staff"])


@admin.register(ApiToken)
class ApiTokenAdmin(ScopedAdmin):
    """Tokens as they can be told apart; the token itself is nowhere to be had. Issued by `manage.py add_token`."""

    list_display = ("name", "hint", "scope_names", "created_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at", "last_used_at")
    search_fields = ("name", "hint")
    fields = ("name", "hint", "scopes", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    @admin.display(description="scopes")
    def scope_names(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.action(description="Revoke the chosen tokens", permissions=["view"])
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        revoked = tokens.filter(revoked_at=None).update(revoked_at=timezone.now())
        self.message_user(request, f"Revoked {revoked} of {tokens.count()} tokens.")


@admin.register(AuditEntry)
class AuditEntryAdmin(ScopedAdmin):
    """What people and tokens took out: read, never changed."""

    read_scope = Scope.CONSENT_READ
    list_display = ("at", "actor", "action", "details")
    list_filter = ("action", "at")
    search_fields = ("actor",)
    fields = readonly_fields = ("at", "actor", "action", "details")
