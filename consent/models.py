"""Purposes and the append-only ledger of consent choices. R: G1, G3"""

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Purpose(models.Model):
    """Why data is collected or used. Each is agreed to, or not, on its own."""

    class Kind(models.TextChoices):
        COLLECTION = "collection", "Collection (asked when data arrives)"
        ACTIVATION = "activation", "Activation (asked before data is sent on)"

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    requires_opt_in = models.BooleanField(
        default=True, help_text="Without a recorded choice the answer is no. Off: yes until somebody objects."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ConsentRecord(models.Model):
    """One choice of one person about one purpose. Never changed, never deleted: PostgreSQL refuses both.

    The person is known here by hashed identifiers only (`consent.subjects.subject_hash`), so the ledger can
    outlive the profile. Fields follow ISO/IEC TS 27560.
    """

    class State(models.TextChoices):
        GRANTED = "granted", "Granted"
        DENIED = "denied", "Denied"
        WITHDRAWN = "withdrawn", "Withdrawn"
        EXPIRED = "expired", "Expired"

    class Method(models.TextChoices):
        BANNER = "banner", "Cookie banner"
        API = "api", "API"
        FORM = "form", "Form"
        DOUBLE_OPT_IN = "double_opt_in", "Double opt-in"
        IMPORT = "import", "Import"

    id = models.BigAutoField(primary_key=True)
    subjects = ArrayField(models.CharField(max_length=64), help_text="Hashes of the identifiers that chose.")
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="records")
    state = models.CharField(max_length=12, choices=State.choices)
    legal_basis = models.CharField(max_length=40, default="consent")
    jurisdiction = models.CharField(max_length=10, blank=True)
    notice = models.CharField(max_length=100, blank=True)
    notice_version = models.CharField(max_length=40, blank=True)
    method = models.CharField(max_length=20, choices=Method.choices)
    evidence = models.JSONField(default=dict, blank=True)
    actor = models.CharField(max_length=150, blank=True, help_text="Who recorded it: a source, a token or a person.")
    happened_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    external_id = models.CharField(
        max_length=100, null=True, blank=True, unique=True, help_text="The sender's id: sending it again adds nothing."
    )

    class Meta:
        ordering = ["-id"]
        indexes = [GinIndex(fields=["subjects"], name="consent_record_by_subject")]
        triggers = [
            pgtrigger.Trigger(
                name="append_only",
                level=pgtrigger.Statement,  # TRUNCATE has no rows to fire for
                when=pgtrigger.Before,
                operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Truncate,
                func="RAISE EXCEPTION 'The consent ledger is append-only: % is refused', TG_OP;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose_id} {self.state} at {self.happened_at:%Y-%m-%d %H:%M}"


class ConsentNews(models.Model):
    """Whose choices were just recorded: identifiers as the door spells them, kept until the profiles have followed.

    The one place of this room where they are not hashed, for the moments that it takes: a hash leads to nobody.
    """

    id = models.BigAutoField(primary_key=True)
    kinds = ArrayField(models.TextField())
    values = ArrayField(models.TextField())

    class Meta:
        db_table = "consent_news"

    def __str__(self) -> str:
        return f"{len(self.kinds)} identifiers"


class SubjectKey(models.Model):
    """Which key made the ledger's hashes: its fingerprint, one row. With another key nobody would be recognised."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    fingerprint = models.CharField(max_length=64)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="consent_subject_key_one")]

    def __str__(self) -> str:
        return self.fingerprint


class ConsentState(models.Model):
    """The latest choice per hashed identifier and purpose: the ledger, folded for quick questions."""

    subject = models.CharField(max_length=64)
    purpose = models.ForeignKey(Purpose, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, choices=ConsentRecord.State.choices)
    happened_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    record = models.ForeignKey(ConsentRecord, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "purpose"], name="consent_state_one_per_purpose")]

    def __str__(self) -> str:
        return f"{self.purpose_id} {self.state}"
