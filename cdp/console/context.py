"""What every screen's frame needs: who is looking, and what they may open."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from cdp.kernel.access.roles import Scope


@dataclass(frozen=True)
class NavItem:
    label: str
    icon: str
    url: str
    active: bool


# (group, label, icon, url name, scope that opens it, what lights it); without a scope: staff of the Django admin.
_NAV: tuple[tuple[str, str, str, str, Scope | None, tuple[str, ...]], ...] = (
    ("", "Home", "home", "console:home", Scope.SEGMENTS_READ, ("console:home",)),
    (
        "Customers",
        "Profiles",
        "users",
        "console:profiles",
        Scope.PROFILES_READ,
        ("console:profile", "console:duplicates"),
    ),
    (
        "Customers",
        "Accounts",
        "building",
        "console:group-accounts",
        Scope.PROFILES_READ,
        ("console:group-account",),
    ),
    ("Customers", "Traits", "list-details", "traits:list", Scope.PROFILES_READ, ("traits:",)),
    ("Customers", "Segments", "chart-pie-2", "segments:list", Scope.SEGMENTS_READ, ("segments:",)),
    ("Customers", "Computed traits", "math-function", "computed:list", Scope.SEGMENTS_READ, ("computed:",)),
    ("Identity", "Review", "user-question", "review:queue", Scope.PROFILES_READ, ("review:",)),
    ("Identity", "Matching", "arrows-join", "matching:status", Scope.PROFILES_READ, ("matching:",)),
    ("Identity", "Evaluation", "microscope", "evaluation:overview", Scope.PROFILES_READ, ("evaluation:",)),
    ("Identity", "Identifiers", "fingerprint", "identifiers:list", Scope.PROFILES_READ, ("identifiers:",)),
    ("Pipeline", "Sources", "login-2", "sources:list", Scope.EVENTS_READ, ("sources:",)),
    ("Pipeline", "Alerts", "bell", "alerts:list", Scope.EVENTS_READ, ("alerts:",)),
    ("Pipeline", "Dictionary", "book-2", "console:dictionary", Scope.EVENTS_READ, ("console:dictionary",)),
    ("Pipeline", "Destinations", "send", "destinations:list", Scope.SEGMENTS_READ, ("destinations:",)),
    ("Pipeline", "Deliveries", "truck-delivery", "destinations:deliveries", Scope.SEGMENTS_READ, ()),
    ("Developers", "API docs", "api", "api-docs", Scope.SEGMENTS_READ, ("api-docs",)),
    ("Developers", "Admin", "settings", "admin:index", None, ()),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"organisation": settings.ORGANISATION, "may": {}, "nav": []}
    return {"organisation": settings.ORGANISATION, "may": permissions(user), "nav": navigation(request, user)}


def permissions(user: Any) -> dict[str, bool]:
    """`may.segments_write` in a template."""
    return {scope.name.lower(): user.may(scope) for scope in Scope}


def navigation(request: HttpRequest, user: Any) -> list[tuple[str, list[NavItem]]]:
    match = request.resolver_match
    here = match.view_name if match else ""
    groups: dict[str, list[NavItem]] = {}
    for group, label, icon, name, scope, lit_by in _NAV:
        if not (user.is_staff if scope is None else user.may(scope)):
            continue
        active = _is_deliveries(here) == (label == "Deliveries") and (here == name or here.startswith(lit_by or "\0"))
        groups.setdefault(group, []).append(NavItem(label=label, icon=icon, url=reverse(name), active=active))
    return list(groups.items())


def _is_deliveries(view_name: str) -> bool:
    return view_name.startswith("destinations:deliver")
