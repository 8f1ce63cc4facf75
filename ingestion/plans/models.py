"""Plans and their versions, what violated them, and plans tried against the past."""

import json
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from ingestion.models import Source
from ingestion.plans.contracts import Action, Kind


def _choices(of: type[Kind] | type[Action]) -> list[tuple[str, str]]:
    return [(member.value, member.value.replace("_", " ").capitalize()) for member in of]


class TrackingPlan(models.Model):
    """The plan of a source: its versions, of which one may be live and one a draft."""

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="tracking_plan")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "tracking_plan"

    def __str__(self) -> str:
        return f"plan of {self.source}"


class PlanVersion(models.Model):
    """One state of a plan. It gets its number when it goes live; `revision` grows with each save of a draft."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        LIVE = "live", "Live"
        RETIRED = "retired", "Retired"

    plan = models.ForeignKey(TrackingPlan, on_delete=models.CASCADE, related_name="versions")
    number = models.IntegerField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    revision = models.IntegerField(default=1)
    text = models.TextField(db_column="document", help_text="JSON as it was written: jsonb would sort its keys.")
    note = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "tracking_plan_version"
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number"),
            models.UniqueConstraint(fields=["plan"], condition=Q(state="live"), name="plan_one_live_version"),
            models.UniqueConstraint(fields=["plan"], condition=Q(state="draft"), name="plan_one_draft"),
            models.CheckConstraint(
                condition=Q(state="draft", number=None) | (~Q(state="draft") & Q(number__isnull=False)),
                name="plan_version_numbered_once_published",
            ),
        ]

    def __str__(self) -> str:
        return "Draft" if self.number is None else f"Version {self.number}"

    @property
    def document(self) -> dict[str, Any]:
        """See `ingestion.plans.document`."""
        found: dict[str, Any] = json.loads(self.text)
        return found


class ViolationGroup(models.Model):
    """Violations of one kind, at one place of one event, with one action: what is counted and charted."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="violation_groups", db_index=False)
    event = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=_choices(Kind))
    path = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=10, choices=_choices(Action))
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        db_table = "plan_violation_group"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "event", "kind", "path", "action"], name="plan_violation_group_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.kind} {self.path}"


class ViolationCount(models.Model):
    """Messages of a group by hour of arrival, each message once however often it was sent."""

    pk = models.CompositePrimaryKey("group_id", "hour")
    group = models.ForeignKey(ViolationGroup, on_delete=models.CASCADE, related_name="counts", db_index=False)
    hour = models.DateTimeField()
    messages = models.BigIntegerField()

    class Meta:
        db_table = "plan_violation_count"
        indexes = [models.Index(fields=["hour"], name="plan_violation_count_by_hour")]

    def __str__(self) -> str:
        return f"{self.hour} {self.messages}"


class ViolationSample(models.Model):
    """One of the newest messages of a group: where to find it, and in words what is wrong. No value of it."""

    id = models.BigAutoField(primary_key=True)
    group = models.ForeignKey(ViolationGroup, on_delete=models.CASCADE, related_name="samples")
    message_id = models.CharField(max_length=100)
    ts = models.DateTimeField(null=True, help_text="When it happened, where it was stored.")
    received_at = models.DateTimeField()
    text = models.CharField(max_length=300)

    class Meta:
        db_table = "plan_violation_sample"

    def __str__(self) -> str:
        return self.message_id


class BlockedMessage(models.Model):
    """A message that the plan turned away, so that sending it again counts nothing again."""

    id = models.UUIDField(primary_key=True)
    blocked_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "plan_blocked_message"

    def __str__(self) -> str:
        return str(self.id)


class PlanTrial(models.Model):
    """A plan held against what is stored: how far it is, and what it found.

    Workers take it on batch by batch with the row locked; `cursor_ts` and `cursor_id` say where the next one begins.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Failed"

    id = models.BigAutoField(primary_key=True)
    plan = models.ForeignKey(TrackingPlan, on_delete=models.CASCADE, related_name="trials")
    text = models.TextField(db_column="document")
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    since = models.DateTimeField()
    until = models.DateTimeField()
    total = models.BigIntegerField()
    looked_at = models.BigIntegerField(default=0)
    blocked = models.BigIntegerField(default=0)
    cursor_ts = models.DateTimeField()
    cursor_id = models.UUIDField()
    result = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "plan_trial"
        indexes = [models.Index(fields=["state"], name="plan_trial_running", condition=Q(state="running"))]

    def __str__(self) -> str:
        return f"trial {self.pk}"
