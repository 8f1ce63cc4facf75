"""Sources, the inbox, the event log and what did not get into it."""

from django.db import models
from django.db.models import Q

from consent.models import Purpose


class Source(models.Model):
    """Where events come from: a website, an app, a server, a CRM."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=40, default="http")
    description = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    priority = models.SmallIntegerField(
        default=100, help_text="Of two traits of the same instant, the source with the lower number wins."
    )
    purpose = models.ForeignKey(
        Purpose,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="sources",
        limit_choices_to={"kind": Purpose.Kind.COLLECTION},
        help_text="Asked at the door: events of people who said no to it are dropped and counted.",
    )
    settings = models.JSONField(default=dict, blank=True, help_text="See ingestion.settings.")
    rules_version = models.IntegerField(default=0, help_text="Grows when a rule for its messages changes.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class WriteKey(models.Model):
    """Lets a sender write to a source. Kept as a hash; two may live at once while one replaces the other."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="write_keys")
    hint = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.hint}…"


class InboxItem(models.Model):
    """One acknowledged HTTP request, not yet drained. The body is zstd-compressed JSON, kept out of line."""

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    received_at = models.DateTimeField()
    kind = models.CharField(max_length=10, help_text="The route: batch, or the type of a single message.")
    events = models.IntegerField()
    remote_addr = models.CharField(max_length=45, blank=True)
    body = models.BinaryField()

    class Meta:
        db_table = "inbox"

    def __str__(self) -> str:
        return f"inbox item {self.pk}"


class EventName(models.Model):
    """The dictionary of event names: the event log holds its short id.

    `value_property` is the property that fills `event.value` for this name (revenue, total, price or value),
    fixed when the first event brings a number in one of them.
    """

    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=200, unique=True)
    type = models.CharField(max_length=10)
    value_property = models.CharField(max_length=20, null=True)
    first_seen_at = models.DateTimeField()

    class Meta:
        db_table = "event_name"

    def __str__(self) -> str:
        return self.name


class Event(models.Model):
    """The event log, range-partitioned by month on `ts` (migration 0002). Written only by binary COPY."""

    pk = models.CompositePrimaryKey("ts", "id", "profile_id")
    ts = models.DateTimeField()
    id = models.UUIDField()
    profile_id = models.BigIntegerField()
    name = models.ForeignKey(EventName, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    value = models.FloatField(null=True)
    properties = models.JSONField()
    context = models.JSONField()
    source = models.ForeignKey(Source, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    received_at = models.DateTimeField()
    origin_id = models.BigIntegerField(null=True, help_text="The profile it was first recorded for, if another.")

    class Meta:
        managed = False
        db_table = "event"

    def __str__(self) -> str:
        return str(self.id)


class HourlyCount(models.Model):
    """What became of a source's events, by hour of arrival: every drop is counted with a reason."""

    class Outcome(models.TextChoices):
        STORED = "stored", "Stored"
        DUPLICATE = "duplicate", "Duplicate"
        QUARANTINED = "quarantined", "Quarantined"
        NO_CONSENT = "no_consent", "Dropped: no consent"

    pk = models.CompositePrimaryKey("source_id", "hour", "outcome")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="hourly_counts", db_index=False)
    hour = models.DateTimeField()
    outcome = models.CharField(max_length=20, choices=Outcome.choices)
    events = models.BigIntegerField()

    class Meta:
        db_table = "hourly_count"
        constraints = [models.CheckConstraint(condition=Q(events__gt=0), name="hourly_count_positive")]

    def __str__(self) -> str:
        return f"{self.hour} {self.outcome} {self.events}"
