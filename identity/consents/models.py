"""How consent stands per profile and purpose, and whose answer may be out of date. R: G1, D1"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from consent.policy import Standing


class ProfileConsent(models.Model):
    """`state` before `until`, `becomes` from then on: `consent.policy.course` of the person's choices.

    Who has no row is unknown, and stays so.
    """

    pk = models.CompositePrimaryKey("profile_id", "purpose_id")
    profile_id = models.BigIntegerField()
    purpose_id = models.BigIntegerField()
    state = models.CharField(max_length=7, choices=[(one.value, one.value) for one in Standing])
    until = models.DateTimeField(null=True)
    becomes = models.CharField(max_length=7, null=True, choices=[(one.value, one.value) for one in Standing])

    class Meta:
        db_table = "profile_consent"
        indexes = [models.Index(fields=["purpose_id", "profile_id"], name="profile_consent_by_purpose")]

    def __str__(self) -> str:
        return f"profile {self.profile_id}: {self.state}"


class StaleConsent(models.Model):
    """Profiles whose identifiers are other ones now, or are known under another spelling (`kinds`, `values`)."""

    id = models.BigAutoField(primary_key=True)
    profile_ids = ArrayField(models.BigIntegerField(), db_default=[])
    kinds = ArrayField(models.TextField(), db_default=[])
    values = ArrayField(models.TextField(), db_default=[])

    class Meta:
        db_table = "stale_consent"

    def __str__(self) -> str:
        return f"{len(self.profile_ids)} profiles, {len(self.kinds)} identifiers"
