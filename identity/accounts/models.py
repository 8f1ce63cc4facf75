"""Accounts and who belongs to them. R: A2, C1"""

from django.db import models


class Account(models.Model):
    """A group profile. `traits` and `provenance` are kept as those of a person are (`identity.models.Profile`)."""

    id = models.BigAutoField(primary_key=True)
    group_id = models.CharField(max_length=254, unique=True)
    traits = models.JSONField(default=dict)
    provenance = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "account"

    def __str__(self) -> str:
        return self.group_id


class AccountMember(models.Model):
    """A person of an account, from the first message that said so to the last. Follows the person when they merge.

    A merged profile may have several rows of one account: one for each of its origins that belongs to it.
    """

    pk = models.CompositePrimaryKey("profile_id", "account_id", "origin_id")
    profile_id = models.BigIntegerField()
    account_id = models.BigIntegerField()
    origin_id = models.BigIntegerField(help_text="The profile it was first recorded for.")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        db_table = "account_member"
        indexes = [models.Index(fields=["account_id", "profile_id"], name="account_member_by_account")]

    def __str__(self) -> str:
        return f"profile {self.profile_id} of account {self.account_id}"
