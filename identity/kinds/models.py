"""Kinds of identifiers, and where people's identifiers met that could not be linked. R: C1"""

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

SKETCH_BITS = 2_048


class SketchField(models.Field):  # type: ignore[type-arg]
    """A bit string of `SKETCH_BITS`, which PostgreSQL can unite with another."""

    def db_type(self, connection: Any) -> str:  # noqa: ARG002
        return f"bit({SKETCH_BITS})"


class IdentifierKind(models.Model):
    """How values of a kind are read, and how many of them a profile may have. `*` stands for kinds without a row."""

    name = models.CharField(max_length=30, unique=True)
    label = models.CharField(max_length=60, blank=True)
    icon = models.CharField(max_length=40, default="id")
    normaliser = models.CharField(max_length=20, default="exact", help_text="See identity.kinds.normalisers.")
    options = models.JSONField(default=dict, blank=True)
    priority = models.SmallIntegerField(help_text="The lower number decides.")
    limit_ever = models.PositiveIntegerField(null=True, blank=True)
    limit_yearly = models.PositiveIntegerField(null=True, blank=True)
    limit_monthly = models.PositiveIntegerField(null=True, blank=True)
    limit_weekly = models.PositiveIntegerField(null=True, blank=True)
    blocked = models.JSONField(default=list, blank=True)
    patterns = models.JSONField(default=list, blank=True)
    min_length = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(254)])
    min_distinct = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(36)]
    )
    enabled = models.BooleanField(default=True)
    protected = models.BooleanField(default=False)
    updated_at = models.DateTimeField(null=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "identifier_kind"
        ordering = ["priority", "name"]

    def __str__(self) -> str:
        return self.label or self.name


class IdentifierSpelling(models.Model):
    """Another spelling under which an identifier was sent. Consent knows people by how they were spelt at the door."""

    pk = models.CompositePrimaryKey("kind", "value", "said")
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=254, help_text="As the kind spells it.")
    said = models.CharField(max_length=254, help_text="As the door spelt it.")

    class Meta:
        db_table = "identifier_spelling"

    def __str__(self) -> str:
        return f"{self.kind}:{self.value} ({self.said})"


class ConflictGroup(models.Model):
    """Identifiers that met and were not linked, counted per value that they share.

    `people` is a sketch of how many different others it met: bit h of 2,048 is set for another whose hash is h.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DISMISSED = "dismissed", "Dismissed"
        BLOCKED = "blocked", "Value blocked"
        MERGED = "merged", "Merged"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=254)
    reason = models.CharField(max_length=40)
    limit_of = models.CharField(max_length=30, blank=True, help_text="The kind whose limit was in the way.")
    messages = models.BigIntegerField()
    people = SketchField()
    written = models.SmallIntegerField(default=0, help_text="The slot of the sample that is written over next.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "identity_conflict_group"
        constraints = [
            models.UniqueConstraint(fields=["kind", "value", "reason", "limit_of"], name="identity_conflict_group_key")
        ]
        indexes = [models.Index(fields=["state", "last_at"], name="identity_conflict_group_newest")]

    def __str__(self) -> str:
        return f"{self.kind}:{self.value} {self.reason}"


class ConflictSample(models.Model):
    """One of the last messages of a group; its `slot` is written over in turn."""

    pk = models.CompositePrimaryKey("group_id", "slot")
    group = models.ForeignKey(ConflictGroup, on_delete=models.CASCADE, related_name="samples", db_index=False)
    slot = models.SmallIntegerField()
    at = models.DateTimeField()
    source_id = models.BigIntegerField()
    message_id = models.CharField(max_length=100)
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=254, help_text="The identifier that was not linked.")
    profile_id = models.BigIntegerField(null=True, help_text="The profile that the event went to.")
    other_id = models.BigIntegerField(null=True, help_text="The profile that the identifier leads to.")

    class Meta:
        db_table = "identity_conflict_sample"

    def __str__(self) -> str:
        return self.message_id


class ConflictDay(models.Model):
    """Messages with a conflict by day of arrival."""

    pk = models.CompositePrimaryKey("day", "kind", "reason")
    day = models.DateField()
    kind = models.CharField(max_length=30)
    reason = models.CharField(max_length=40)
    messages = models.BigIntegerField()

    class Meta:
        db_table = "identity_conflict_day"

    def __str__(self) -> str:
        return f"{self.day} {self.kind} {self.reason}"


class KindRun(models.Model):
    """A change of a kind tried on the stored identifiers, or carried out on them: how far it is, what it found.

    Workers take it on batch by batch with the row locked; `cursor` is the last kind and value that was looked at.
    """

    class Mode(models.TextChoices):
        TRY = "try", "Dry run"
        APPLY = "apply", "Change"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Stopped"
        FAILED = "failed", "Failed"

    kind = models.CharField(max_length=30)
    mode = models.CharField(max_length=5, choices=Mode.choices)
    proposal: Any = models.JSONField(help_text="The settings that are tried or carried out.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    error = models.CharField(max_length=500, blank=True)
    after = models.CharField(max_length=20, blank=True, help_text="The transaction that must have ended before.")
    cursor = models.CharField(max_length=300, blank=True)
    total = models.BigIntegerField()
    looked_at = models.BigIntegerField(default=0)
    respelt = models.BigIntegerField(default=0)
    together = models.BigIntegerField(default=0, help_text="Became the same as another identifier of the profile.")
    merged = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0, help_text="Met one of a profile that it may not be merged with.")
    blocked = models.BigIntegerField(default=0)
    profiles = models.BigIntegerField(default=0, help_text="How many profiles lose an identifier.")
    samples: Any = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "identifier_kind_run"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.mode} {self.kind}"

    @property
    def percent(self) -> int:
        return 100 if self.state == self.State.DONE else min(99, self.looked_at * 100 // max(self.total, 1))


class KindRunValue(models.Model):
    """What a dry run has to remember from batch to batch: where a new spelling would lead, who would lose a value."""

    pk = models.CompositePrimaryKey("run_id", "value", "lost")
    run = models.ForeignKey(KindRun, on_delete=models.CASCADE, related_name="values", db_index=False)
    value = models.CharField(max_length=300, help_text="With its kind before it.")
    lost = models.BooleanField()
    profile_id = models.BigIntegerField()

    class Meta:
        db_table = "identifier_kind_run_value"

    def __str__(self) -> str:
        return self.value
