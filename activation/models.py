"""Destinations, what they subscribe to, and every delivery. R: F1"""

import uuid

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from consent.models import Purpose
from segments.models import Segment, Transition


class Destination(models.Model):
    """A tool that acts on segments. `config` and `secrets` have the shape that its kind's form asks for."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        DISABLED = "disabled", "Disabled by the receiver"

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=40, default="webhook")
    config = models.JSONField(default=dict)
    secrets = models.TextField(blank=True, editable=False, help_text="Signing secrets, encrypted.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    state_reason = models.CharField(max_length=300, blank=True)
    failures = models.IntegerField(default=0, editable=False, help_text="Failed tries since the last that succeeded.")
    failing_since = models.DateTimeField(null=True, editable=False)
    held_until = models.DateTimeField(null=True, editable=False, help_text="Nothing is sent before this instant.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """Tell this destination when somebody enters or leaves this segment, if the purpose allows it."""

    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="subscriptions")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="subscriptions")
    on_enter = models.BooleanField(default=True)
    on_exit = models.BooleanField(default=False)
    purpose = models.ForeignKey(
        Purpose,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="subscriptions",
        limit_choices_to={"kind": Purpose.Kind.ACTIVATION},
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["destination", "segment"], name="subscription_once"),
            models.CheckConstraint(condition=Q(on_enter=True) | Q(on_exit=True), name="subscription_listens"),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id} to {self.destination_id}"


class Delivery(models.Model):
    """One message to one destination, from the moment it is planned until it is delivered or given up."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        DELIVERED = "delivered", "Delivered"
        DEAD = "dead", "Given up"
        SUPPRESSED = "suppressed", "Held back: no consent"

    id = models.BigAutoField(primary_key=True)
    message_id = models.UUIDField(default=uuid.uuid4, unique=True, help_text="The webhook-id, the same on every try.")
    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, related_name="deliveries")
    subscription = models.ForeignKey(Subscription, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    profile_id = models.BigIntegerField()
    transition_id = models.BigIntegerField()
    event = models.CharField(max_length=10, choices=Transition.Kind.choices)
    payload = models.JSONField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING)
    attempts = models.SmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)
    last_status = models.SmallIntegerField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    consent_record_id = models.BigIntegerField(null=True, help_text="The record that allowed it, or held it back.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subscription", "transition_id"], name="delivery_once_per_transition"),
        ]
        indexes = [
            models.Index(
                fields=["destination", "next_attempt_at"], condition=Q(state="pending"), name="delivery_waiting"
            ),
            BrinIndex(fields=["created_at"], autosummarize=True, name="delivery_by_time"),
            models.Index(fields=["destination", "-id"], name="delivery_by_destination"),
            models.Index(fields=["profile_id"], name="delivery_by_profile"),
        ]

    def __str__(self) -> str:
        return str(self.message_id)


class Attempt(models.Model):
    """One try at a delivery: what was answered, and how long it took."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    duration_ms = models.IntegerField()
    status = models.SmallIntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    response = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [BrinIndex(fields=["at"], autosummarize=True, name="attempt_by_time")]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.status}"
