"""Policies of traits, the passes over all profiles that try or apply one, what traits were, and what is disputed."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from identity.traits import Rule

RULES = (
    (Rule.NEWEST.value, "The newest"),
    (Rule.OLDEST.value, "The oldest"),
    (Rule.PRIORITY.value, "By source"),
    (Rule.FREQUENT.value, "The most frequent"),
    (Rule.COMPUTED.value, "Computed"),
)


class TraitPolicy(models.Model):
    """By which rule the value of a trait is chosen. A trait without a row goes by the newest."""

    trait = models.CharField(max_length=200, primary_key=True)
    rule = models.CharField(max_length=10, choices=RULES)
    sources = models.JSONField(default=list, help_text="For the rule by source: ids of sources, the best first.")
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "trait_policy"
        ordering = ["trait"]

    def __str__(self) -> str:
        return f"{self.trait}: {self.rule}"


class TraitHistory(models.Model):
    """What one message told of a person that its source had not said before; a null is a deletion."""

    pk = models.CompositePrimaryKey("profile_id", "at", "event_id")
    profile_id = models.BigIntegerField()
    at = models.DateTimeField()
    event_id = models.UUIDField(help_text="The event that said it; made up for what came otherwise.")
    source_id = models.BigIntegerField()
    origin_id = models.BigIntegerField(null=True, help_text="The profile it was first recorded for, if another.")
    recorded_at = models.DateTimeField()
    traits = models.JSONField()

    class Meta:
        db_table = "trait_history"
        indexes = [BrinIndex(fields=["recorded_at"], autosummarize=True, name="trait_history_recorded")]

    def __str__(self) -> str:
        return f"{self.profile_id} at {self.at}"


class PolicyRun(models.Model):
    """A pass over all profiles, by id, that tries a policy or applies one; batch by batch, by whoever has time."""

    class Kind(models.TextChoices):
        PREVIEW = "preview", "Preview"
        APPLY = "apply", "Change"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        REPLACED = "replaced", "Replaced by a later one"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    trait = models.CharField(max_length=200)
    rule = models.CharField(max_length=10, choices=RULES)
    sources = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    after_id = models.BigIntegerField(default=0, help_text="The last profile that was looked at.")
    until_id = models.BigIntegerField(help_text="The last profile there was when it began.")
    looked_at = models.BigIntegerField(default=0, help_text="Profiles that have the trait.")
    differing = models.BigIntegerField(default=0, help_text="Of them, those whose value would change or has changed.")
    examples = models.JSONField(default=list, help_text='`[{"profile", "before", "after"}…]`')
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "trait_policy_run"
        indexes = [models.Index(fields=["trait", "-id"], name="trait_policy_run_newest")]

    def __str__(self) -> str:
        return f"{self.kind} {self.trait}: {self.rule}"

    @property
    def progress(self) -> float:
        """The share of ids that it has passed."""
        return 1.0 if self.state != self.State.RUNNING else min(self.after_id / max(self.until_id, 1), 0.999)


class DisputeScan(models.Model):
    """A pass over all profiles that counts the traits for which sources disagree.

    What the newest finished one found stands in `ingestion.quality.models.TraitConflict`.
    """

    id = models.BigAutoField(primary_key=True)
    after_id = models.BigIntegerField(default=0)
    until_id = models.BigIntegerField()
    looked_at = models.BigIntegerField(default=0, help_text="Profiles.")
    disputed = models.BigIntegerField(default=0, help_text="Profiles with a trait that sources disagree about.")
    partial = models.JSONField(default=list, help_text="What was found so far, while it runs.")
    started_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "trait_dispute_scan"

    def __str__(self) -> str:
        return f"scan {self.pk}"

    @property
    def progress(self) -> float:
        return 1.0 if self.finished_at else min(self.after_id / max(self.until_id, 1), 0.999)
