"""The accounts that people belong to, and the page of one."""

from dataclasses import replace

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cdp.console import customer
from cdp.kernel.access.roles import Scope
from cdp.kernel.screens import after_param, requires, take_page
from identity.accounts import queries
from identity.viewing import mask_profile
from ingestion.dictionary.viewing import masker_for

PAGE = 50


@requires(Scope.PROFILES_READ)
def accounts(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:200]
    after = after_param(request)
    found = queries.search(text=text, limit=PAGE + 1, before_id=after)
    context = {
        "q": text,
        "after": after,
        "page": take_page(found, key=lambda account: account.id, size=PAGE),
        "total": None if text else queries.count_accounts(),
    }
    return render(request, "console/group_accounts.html", context)


@requires(Scope.PROFILES_READ)
def account(request: HttpRequest, account_id: int) -> HttpResponse:
    view = queries.get_account(account_id=account_id)
    if view is None:
        raise Http404("There is no account with this id.")
    after = after_param(request)
    masker = masker_for(request.user)
    found = [
        replace(member, profile=mask_profile(member.profile, masker))
        for member in queries.members(account_id=view.id, limit=PAGE + 1, after_id=after or 0)
    ]
    context = {
        "account": view,
        "after": after,
        "page": take_page(found, key=lambda member: member.profile.id, size=PAGE),
        "traits": customer.list_traits(profile=view, sources=customer.source_names()),
    }
    return render(request, "console/group_account.html", context)
