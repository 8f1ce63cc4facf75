"""What every screen shares: who may open it, pages by key, and messages to the person looking."""

import functools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.contrib.auth.mixins import AccessMixin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django_htmx.http import HttpResponseClientRedirect

from cdp.kernel.access.roles import Scope

Row = TypeVar("Row")
View = Callable[..., HttpResponseBase]

PAGE_SIZE = 50


def check_access(request: HttpRequest, *, scope: Scope | str | None) -> HttpResponseBase | None:
    """None when the person may go on; a way to the login when nobody is logged in; else 403."""
    user: Any = request.user
    if not user.is_authenticated:
        return _login(request)
    if scope is not None and not user.may(scope):
        raise PermissionDenied(f"Your roles do not carry {Scope(scope).value}, which this page needs.")
    return None


def _login(request: HttpRequest) -> HttpResponseBase:
    if getattr(request, "htmx", False):
        return HttpResponseClientRedirect(redirect_to_login(_page_of(request)).url)
    return redirect_to_login(request.get_full_path())


def _page_of(request: Any) -> str:
    """The page that asked for a fragment: that is where the person wants to be after logging in."""
    return str(request.htmx.current_url_abs_path or "/")


def requires(scope: Scope | str | None = None, *, write: Scope | str | None = None) -> Callable[[View], View]:
    """Open a view to logged-in people who hold `scope`; requests that change something also need `write`."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            refused = check_access(request, scope=scope)
            if refused is None and write is not None and request.method not in {"GET", "HEAD", "OPTIONS"}:
                refused = check_access(request, scope=write)
            return refused or view(request, *args, **kwargs)

        return guarded

    return decorate


class ScopeMixin(AccessMixin):
    """The same for class-based views: `read_scope`, and `write_scope` for requests that change something."""

    read_scope: Scope | str | None = None
    write_scope: Scope | str | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        refused = check_access(request, scope=self.read_scope)
        if refused is None and request.method not in {"GET", "HEAD", "OPTIONS"}:
            refused = check_access(request, scope=self.write_scope)
        response: HttpResponseBase = refused or super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        return response


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list and the key that the next one starts after; `next` is empty on the last."""

    items: list[Row]
    next: str

    def __iter__(self) -> Any:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def take_page(rows: Iterable[Row], *, key: Callable[[Row], Any], size: int = PAGE_SIZE) -> Page[Row]:
    """Make a page of `rows`, which were asked for with a limit of `size + 1` to see whether more follow."""
    found = list(rows)
    items = found[:size]
    return Page(items=items, next=str(key(items[-1])) if len(found) > size else "")


def after_param(request: HttpRequest, name: str = "after") -> int | None:
    """The page key that the address carries; nonsense there is the first page."""
    raw = request.GET.get(name, "")
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 19 else None


def toast(response: HttpResponse, message: str, *, level: str = "success") -> HttpResponse:
    """Have the browser show `message` when this fragment arrives (for a full page use django.contrib.messages)."""
    response["HX-Trigger"] = json.dumps({"toast": {"message": message, "level": level}})
    return response
