"""Reads of this room."""

from collections.abc import Iterable

from django.db.models import Count, Max, Min, Q

import identity.queries
from identity.accounts.contracts import AccountView, Member, Membership
from identity.accounts.models import Account, AccountMember
from identity.contracts import Suggestion
from identity.queries import canonical_id, get_profiles


def get_account(*, account_id: int) -> AccountView | None:
    return next(iter(_views(Account.objects.filter(pk=account_id))), None)


def search(*, text: str = "", limit: int = 25, before_id: int | None = None) -> list[AccountView]:
    """Accounts by the beginning of their id or by a part of their name, newest first."""
    found = Account.objects.order_by("-id")
    if text.strip():
        found = found.filter(Q(group_id__startswith=text.strip()) | Q(traits__name__icontains=text.strip()))
    if before_id is not None:
        found = found.filter(pk__lt=before_id)
    return _views(found[:limit])


def count_accounts() -> int:
    return Account.objects.count()


def members(*, account_id: int, limit: int = 25, after_id: int = 0) -> list[Member]:
    """The people of an account, by their ids."""
    found = AccountMember.objects.filter(account_id=account_id, profile_id__gt=after_id)
    spans = found.values_list("profile_id").annotate(Min("first_seen_at"), Max("last_seen_at"))
    rows = list(spans.order_by("profile_id")[:limit])
    profiles = get_profiles(ids=[profile_id for profile_id, _, _ in rows])
    return [Member(profiles[profile_id], *span) for profile_id, *span in rows if profile_id in profiles]


def accounts_of(*, profile_id: int) -> list[Membership]:
    """The accounts of a person, the one that was named last first."""
    found = AccountMember.objects.filter(profile_id=canonical_id(profile_id)).values_list("account_id")
    spans = found.annotate(first=Min("first_seen_at"), last=Max("last_seen_at"))
    rows = list(spans.order_by("-last", "account_id"))
    views = {
        view.id: view for view in _views(Account.objects.filter(pk__in=[account_id for account_id, _, _ in rows]))
    }
    return [Membership(views[account_id], *span) for account_id, *span in rows if account_id in views]


def trait_names(*, limit: int) -> list[Suggestion]:
    """Traits that accounts have, with how many of a sample have each."""
    return identity.queries.trait_names(limit=limit, of="account")


def trait_values(*, trait: str, limit: int) -> list[Suggestion]:
    return identity.queries.trait_values(trait=trait, limit=limit, of="account")


def _views(accounts: Iterable[Account]) -> list[AccountView]:
    rows = list(accounts)
    counts = dict(
        AccountMember.objects.filter(account_id__in=[row.pk for row in rows])
        .values_list("account_id")
        .annotate(members=Count("profile_id", distinct=True))
    )
    return [
        AccountView(
            row.pk, row.group_id, row.traits, row.provenance, counts.get(row.pk, 0), row.created_at, row.updated_at
        )
        for row in rows
    ]
