"""Logging in, one's own account, and the pages for when something is wrong."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy

from cdp.kernel.access.roles import ROLE_SCOPES, Role
from cdp.kernel.forms import style
from cdp.kernel.screens import requires

ROLE_MEANINGS = {
    Role.ADMIN: "Everything, the admin included.",
    Role.MARKETER: "Build segments and send them to destinations.",
    Role.ANALYST: "Look at profiles, events and segments.",
    Role.ENGINEER: "Set up sources and destinations.",
    Role.PRIVACY_OFFICER: "Audit consent and answer requests of customers.",
}


class LoginForm(AuthenticationForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        style(self)


class PasswordForm(PasswordChangeForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].widget.attrs.pop("autofocus")  # the page is also for looking at one's roles
        style(self)


login = LoginView.as_view(
    template_name="console/login.html",
    authentication_form=LoginForm,
    redirect_authenticated_user=True,
    next_page=reverse_lazy("console:home"),
)


@requires()
def account(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    form = PasswordForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        update_session_auth_hash(request, user)
        messages.success(request, "Your password is changed.")
        return redirect("console:account")
    roles = [(role, ROLE_MEANINGS[role], sorted(ROLE_SCOPES[role])) for role in sorted(user.roles)]
    return render(request, "console/account.html", {"form": form, "roles": roles})
