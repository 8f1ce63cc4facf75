"""Messages that could not be taken in: each once, in groups by reason, and what is done about them."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from ingestion.models import Source


class Reason(models.Model):
    """Why messages of one event of a source are held. It outlives them: its counts are never lost.

    `path` is the place of the bad part with `*` for any number in it, so that the third product's price and the
    seventh's are one reason.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="reasons")
    code = models.CharField(max_length=60)
    path = models.CharField(max_length=200, blank=True)
    event = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=500)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    times = models.BigIntegerField(help_text="Messages that came, each repetition counted.")

    class Meta:
        db_table = "quarantine_reason"
        constraints = [
            models.UniqueConstraint(fields=["source", "code", "path", "event"], name="quarantine_reason_once")
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.code} {self.path}"


class ReasonHour(models.Model):
    """How many messages came for a reason in an hour."""

    pk = models.CompositePrimaryKey("reason_id", "hour")
    reason = models.ForeignKey(Reason, on_delete=models.CASCADE, related_name="hours", db_index=False)
    hour = models.DateTimeField()
    messages = models.BigIntegerField()

    class Meta:
        db_table = "quarantine_hour"

    def __str__(self) -> str:
        return f"{self.hour} {self.messages}"


class QuarantinedMessage(models.Model):
    """A message as it came, with the reason and the path of the bad part.

    `key` makes the same message one row, however often it is sent: from its messageId, or from its bytes where it
    has none. The fields from `inbox_id` on say how it came, so that it can be decoded again as it would have been.
    """

    class State(models.TextChoices):
        HELD = "held", "Held"
        REPLAYING = "replaying", "Being replayed"
        REPLAYED = "replayed", "Replayed"
        DISCARDED = "discarded", "Discarded"

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="quarantined", db_index=False)
    reason = models.ForeignKey(Reason, on_delete=models.CASCADE, related_name="messages", db_index=False)
    key = models.UUIDField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.HELD)
    message_id = models.CharField(max_length=100, blank=True)
    event = models.CharField(max_length=200, blank=True)
    code = models.CharField(max_length=60)
    path = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=500)
    payload = models.BinaryField()
    edited = models.BinaryField(null=True, help_text="What somebody made of the payload, to be replayed in its place.")
    people = ArrayField(models.CharField(max_length=64), default=list, help_text="Hashes of the identifiers in it.")
    received_at = models.DateTimeField()
    last_received_at = models.DateTimeField()
    times = models.IntegerField(default=1)
    inbox_id = models.BigIntegerField(default=0)
    position = models.IntegerField(default=0, help_text="Its place in the request; -1 is the request as a whole.")
    route = models.CharField(max_length=20, default="batch")
    remote_addr = models.CharField(max_length=45, blank=True)
    batch_context = models.BinaryField(default=b"")
    sent_at = models.CharField(max_length=100, null=True)
    history = models.JSONField(default=list, help_text="Earlier reasons, oldest first, each with the time it fell.")
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=150, blank=True)
    discard_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        db_table = "quarantined_message"
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="quarantined_message_once")]
        indexes = [
            models.Index(fields=["source", "state", "-id"], name="quarantined_by_source"),
            models.Index(fields=["reason", "state", "-id"], name="quarantined_by_reason"),
            GinIndex(fields=["people"], name="quarantined_by_person"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.path}"


class Replay(models.Model):
    """Messages on their way back: what was asked for, and how far it is.

    A worker holds the row while it works at a batch; `after` moves in the transaction that settles the batch, so
    that a killed worker's batch has not happened and the next worker goes on from there.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="replays")
    criteria = models.JSONField(help_text="Which messages: see contracts.Criteria.")
    operations = models.JSONField(default=list, help_text="What is done to each before: see fix.")
    asked_by = models.CharField(max_length=150, blank=True)
    asked_at = models.DateTimeField()
    after = models.BigIntegerField(default=0)
    upto = models.BigIntegerField()
    total = models.IntegerField()
    done = models.IntegerField(default=0)
    stored = models.IntegerField(default=0)
    duplicates = models.IntegerField(default=0)
    refused = models.IntegerField(default=0, help_text="Dropped, since the person does not consent.")
    failed = models.IntegerField(default=0, help_text="Back in quarantine, with their new reason.")
    finished_at = models.DateTimeField(null=True)
    cancelled = models.BooleanField(default=False)

    class Meta:
        db_table = "quarantine_replay"
        indexes = [models.Index(fields=["id"], name="quarantine_replay_open", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return f"replay {self.pk}"

    @property
    def state(self) -> str:
        if self.finished_at is None:
            return "running"
        return "cancelled" if self.cancelled else "done"

    @property
    def percent(self) -> int:
        return 100 if self.state == "done" or not self.total else min(99, self.done * 100 // self.total)
