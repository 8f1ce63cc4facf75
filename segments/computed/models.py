"""Computed traits, the passes that compute them for everybody, and what they came to for each profile."""

from django.conf import settings
from django.db import models


class ComputedTrait(models.Model):
    """A trait that follows from its definition. `live_version` is the one that profiles have, 0 for none yet."""

    class State(models.TextChoices):
        COMPUTING = "computing", "Computing"
        LIVE = "live", "Live"
        PAUSED = "paused", "Paused"
        FAILED = "failed", "Failed"

    name = models.CharField(max_length=60, unique=True, help_text="Of the trait, as segments read it.")
    label = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    definition = models.JSONField()
    version = models.IntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.COMPUTING)
    error = models.CharField(max_length=500, blank=True)
    live_version = models.IntegerField(default=0)
    live_definition = models.JSONField(null=True)
    live_bounds = models.JSONField(null=True, help_text="Of RFM: the four bounds of each score.")
    holders = models.BigIntegerField(default=0, help_text="Profiles that had it when it was last computed for all.")
    computed_at = models.DateTimeField(null=True, help_text="When it was last computed for everybody.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "computed_trait"
        ordering = ["label", "id"]

    def __str__(self) -> str:
        return self.name


class ComputedPass(models.Model):
    """A version being computed aside, by id of profile; the row is locked by whoever is at it, batch by batch."""

    trait = models.OneToOneField(ComputedTrait, on_delete=models.CASCADE, related_name="computing")
    version = models.IntegerField()
    definition = models.JSONField()
    bounds = models.JSONField(null=True)
    begun = models.BooleanField(default=False, help_text="Whether changes are followed in it yet.")
    after_id = models.BigIntegerField(default=0, help_text="The last profile that was looked at.")
    until_id = models.BigIntegerField(default=0, help_text="The last profile there was when it began.")
    touched_at = models.DateTimeField(help_text="The heartbeat of whoever is at it.")

    class Meta:
        db_table = "computed_pass"

    def __str__(self) -> str:
        return f"{self.trait_id} version {self.version}"

    @property
    def progress(self) -> float:
        """The share of ids that it has passed."""
        return min(self.after_id / max(self.until_id, 1), 0.999) if self.begun else 0.0


class ComputedValue(models.Model):
    """What a version comes to for a profile, and when that changes by time alone; no row where neither is."""

    pk = models.CompositePrimaryKey("profile_id", "trait_id", "version")
    profile_id = models.BigIntegerField()
    trait = models.ForeignKey(
        ComputedTrait, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    version = models.IntegerField()
    value = models.JSONField(null=True)
    due = models.DateTimeField(null=True)
    computed_at = models.DateTimeField()

    class Meta:
        db_table = "computed_value"
        indexes = [
            models.Index(fields=["due"], name="computed_value_due", condition=models.Q(due__isnull=False)),
            models.Index(fields=["trait", "version", "profile_id"], name="computed_value_by_trait"),
        ]

    def __str__(self) -> str:
        return f"{self.trait_id} of {self.profile_id}"
