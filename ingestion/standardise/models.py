"""The rules of a source, in the order in which they are applied."""

from django.db import models
from django.db.models import Q

from ingestion.models import Source
from ingestion.standardise.rules import RuleSpec


class StandardRule(models.Model):
    """A rule for one field. A deleted one is kept for a day, so that it can be brought back."""

    class Of(models.TextChoices):
        PROPERTIES = "properties", "Property of events"
        TRAITS = "traits", "Trait of people"

    class OnFailure(models.TextChoices):
        KEEP = "keep", "Keep the value and flag it"
        NULL = "null", "Empty the field"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="standard_rules")
    position = models.IntegerField()
    of = models.CharField(max_length=10, choices=Of.choices, default=Of.PROPERTIES)
    event = models.CharField(max_length=200, blank=True, help_text="Empty for every event, and for traits.")
    field = models.CharField(max_length=200)
    kind = models.CharField(max_length=20)
    options = models.JSONField(default=dict, blank=True)
    on_failure = models.CharField(max_length=10, choices=OnFailure.choices, default=OnFailure.KEEP)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "standard_rule"
        ordering = ["position", "id"]
        indexes = [
            models.Index(fields=["source", "position"], name="standard_rule_order", condition=Q(deleted_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.field}"

    @property
    def spec(self) -> RuleSpec:
        return RuleSpec(
            field=self.field,
            kind=self.kind,
            of="traits" if self.of == self.Of.TRAITS else "properties",
            event=self.event,
            options=self.options,
            on_failure="null" if self.on_failure == self.OnFailure.NULL else "keep",
            enabled=self.enabled,
        )
