"""What is known of the quality of each source, the rules for its values, and the alerts."""

import uuid

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q

from ingestion.models import EventName, Source


class Volume(models.Model):
    """Stored events by hour of arrival, exact; `flagged` of them broke a value rule."""

    pk = models.CompositePrimaryKey("source_id", "name_id", "hour")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.ForeignKey(EventName, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    hour = models.DateTimeField()
    events = models.BigIntegerField()
    flagged = models.BigIntegerField(default=0)

    class Meta:
        db_table = "quality_volume"
        indexes = [models.Index(fields=["source", "hour"], name="quality_volume_by_hour")]

    def __str__(self) -> str:
        return f"{self.hour} {self.name_id} {self.events}"


class Receipt(models.Model):
    """What the door acknowledged and the drain has taken out of the inbox, by hour of arrival."""

    pk = models.CompositePrimaryKey("source_id", "hour")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    hour = models.DateTimeField()
    requests = models.BigIntegerField()
    events = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "quality_receipt"

    def __str__(self) -> str:
        return f"{self.hour} {self.events}"


class Sample(models.Model):
    """A stored event that waits for being profiled; written by binary COPY, removed within a minute or two."""

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    name = models.ForeignKey(
        EventName, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    profile_id = models.BigIntegerField()
    event_id = models.UUIDField()
    ts = models.DateTimeField()
    received_at = models.DateTimeField()
    properties = models.BinaryField()

    class Meta:
        db_table = "quality_sample"

    def __str__(self) -> str:
        return str(self.event_id)


class HourShape(models.Model):
    """Of the events looked at in an hour: how many, how many came late, and what they brought.

    `shape` is ``{path: [events with a value, events with null, {type: values}]}``.
    """

    pk = models.CompositePrimaryKey("source_id", "name_id", "hour")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.ForeignKey(EventName, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    hour = models.DateTimeField()
    seen = models.BigIntegerField()
    late = models.BigIntegerField()
    shape = models.JSONField()

    class Meta:
        db_table = "quality_hour"

    def __str__(self) -> str:
        return f"{self.hour} {self.seen}"


class DaySummary(models.Model):
    """The statistics of a day (UTC, of arrival): an `EventSummary`, encoded."""

    pk = models.CompositePrimaryKey("source_id", "name_id", "day")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.ForeignKey(EventName, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    day = models.DateField()
    data = models.BinaryField()

    class Meta:
        db_table = "quality_day"

    def __str__(self) -> str:
        return str(self.day)


class Property(models.Model):
    """When a property of an event was first and last seen; the empty path is the event itself."""

    pk = models.CompositePrimaryKey("source_id", "name_id", "path")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.ForeignKey(EventName, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    path = models.CharField(max_length=200)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        db_table = "quality_property"

    def __str__(self) -> str:
        return self.path


class ValueRule(models.Model):
    """What the values of a property may be. Checked on every event of its source and name; breaking it flags."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="value_rules")
    event = models.CharField(max_length=200)
    path = models.CharField(max_length=200)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    allowed = models.JSONField(default=list, blank=True, help_text="Texts, numbers or true/false; empty: any value.")
    shortest = models.IntegerField(null=True, blank=True)
    longest = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "quality_rule"
        ordering = ["event", "path"]
        constraints = [models.UniqueConstraint(fields=["source", "event", "path"], name="quality_rule_once")]

    def __str__(self) -> str:
        return f"{self.event} {self.path}"


class FlaggedValue(models.Model):
    """A stored value that stands out and waits for a person's word."""

    class Kind(models.TextChoices):
        RULE = "rule", "Breaks a rule"
        OUTLIER = "outlier", "Outlier"

    class State(models.TextChoices):
        OPEN = "open", "To review"
        FINE = "fine", "Fine"
        WRONG = "wrong", "Wrong"

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="flagged_values", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    event = models.CharField(max_length=200)
    path = models.CharField(max_length=200)
    value = models.JSONField(null=True)
    why = models.CharField(max_length=300)
    profile_id = models.BigIntegerField()
    event_id = models.UUIDField()
    happened_at = models.DateTimeField()
    received_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "quality_flag"
        indexes = [models.Index(fields=["source", "state", "-id"], name="quality_flag_by_source")]

    def __str__(self) -> str:
        return f"{self.event} {self.path}"


class DuplicateScan(models.Model):
    """What one look for near-duplicates found: same person, event and properties within seconds, another messageId.

    `examples` is ``[{"event", "profile", "ids": [two], "seconds"}…]``.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    scanned = models.IntegerField()
    found = models.IntegerField()
    examples = models.JSONField(default=list)

    class Meta:
        db_table = "quality_duplicate_scan"
        indexes = [models.Index(fields=["source", "-at"], name="quality_duplicate_scan_newest")]

    def __str__(self) -> str:
        return f"{self.found} of {self.scanned}"


class TraitConflict(models.Model):
    """A trait for which two sources disagree, as of the last scan. `first` is the source with the smaller id.

    `examples` is ``[{"profile", "values": [of first, of second]}…]``.
    """

    first = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+")
    trait = models.CharField(max_length=200)
    compared = models.IntegerField(help_text="People of whom both sources say something.")
    differing = models.IntegerField()
    examples = models.JSONField(default=list)
    scanned_at = models.DateTimeField()

    class Meta:
        db_table = "quality_trait_conflict"
        ordering = ["-differing", "trait"]
        constraints = [models.UniqueConstraint(fields=["first", "second", "trait"], name="quality_conflict_once")]

    def __str__(self) -> str:
        return self.trait


class Load(models.Model):
    """A load that a sender announced: how many messages it meant to send, and their checksum."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="loads")
    key = models.CharField(max_length=100)
    count = models.BigIntegerField()
    checksum = models.CharField(max_length=16, blank=True)
    stated_at = models.DateTimeField()

    class Meta:
        db_table = "quality_load"
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="quality_load_once")]

    def __str__(self) -> str:
        return self.key


class LoadTally(models.Model):
    """What of a load has arrived: messages whose context bears its id, and the exclusive or of their hashes."""

    pk = models.CompositePrimaryKey("source_id", "key")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=100)
    stored = models.BigIntegerField()
    checksum = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "quality_load_tally"

    def __str__(self) -> str:
        return self.key


class QualityScore(models.Model):
    """The score of a source on a day, as it was last worked out; `parts` is ``{part: 0 to 100}``."""

    pk = models.CompositePrimaryKey("source_id", "day")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    score = models.SmallIntegerField()
    parts = models.JSONField()
    computed_at = models.DateTimeField()

    class Meta:
        db_table = "quality_score"

    def __str__(self) -> str:
        return f"{self.day} {self.score}"


# --- Alerts -------------------------------------------------------------------------------------------------


class AlertRule(models.Model):
    """A kind of alert that somebody set otherwise than it comes: off, or with another threshold."""

    kind = models.CharField(max_length=20, primary_key=True)
    enabled = models.BooleanField(default=True)
    threshold = models.FloatField()

    class Meta:
        db_table = "alert_rule"

    def __str__(self) -> str:
        return self.kind


class Alert(models.Model):
    """Something about a source that somebody should know: one row from when it began to when it was over."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Seen"
        RESOLVED = "resolved", "Resolved"

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=20)
    subject = models.CharField(max_length=420, blank=True, help_text="The event or property that it is about.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    message = models.CharField(max_length=500)
    value = models.FloatField(null=True)
    usual = models.FloatField(null=True)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    healthy_checks = models.SmallIntegerField(default=0, help_text="Checks in a row that found nothing wrong.")
    acknowledged_by = models.CharField(max_length=150, blank=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "alert"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "kind", "subject"], condition=~Q(state="resolved"), name="alert_once_while_it_lasts"
            )
        ]
        indexes = [BrinIndex(fields=["opened_at"], autosummarize=True, name="alert_by_time")]

    def __str__(self) -> str:
        return self.message


class AlertChannel(models.Model):
    """Where alerts go: e-mail addresses, or a webhook. `secrets` are sealed by the room that signs."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"

    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    recipients = models.JSONField(default=list, help_text="E-mail addresses.")
    url = models.CharField(max_length=500, blank=True)
    secrets = models.TextField(blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        db_table = "alert_channel"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AlertDelivery(models.Model):
    """One message about an alert to one channel, from when it is owed until it is sent or given up."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        DELIVERED = "delivered", "Delivered"
        DEAD = "dead", "Given up"

    class Event(models.TextChoices):
        OPENED = "opened", "Opened"
        RESOLVED = "resolved", "Resolved"

    id = models.BigAutoField(primary_key=True)
    message_id = models.UUIDField(default=uuid.uuid4, unique=True)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=10, choices=Event.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.SmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "alert_delivery"
        constraints = [models.UniqueConstraint(fields=["alert", "channel", "event"], name="alert_delivery_once")]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="alert_delivery_waiting")
        ]

    def __str__(self) -> str:
        return str(self.message_id)
