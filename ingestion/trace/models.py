"""What was dropped and is in no quarantine, and the requests that were refused at the door."""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models


class DroppedMessage(models.Model):
    """A message that was dropped, under each of the keys that somebody may look for it by.

    A key is the message's own (from source and messageId), or that of an identifier: half of its hash. There is no
    payload and no identifier, so that nothing is kept of those who do not want it. Written only by binary COPY.
    """

    class Reason(models.TextChoices):
        NO_CONSENT = "no_consent", "No consent"
        DUPLICATE = "duplicate", "Duplicate"

    id = models.BigAutoField(primary_key=True)
    key = models.UUIDField(db_index=True)
    at = models.DateTimeField(help_text="When it was received.")
    source_id = models.BigIntegerField()
    reason = models.CharField(max_length=20, choices=Reason.choices)
    event = models.CharField(max_length=200)
    message_id = models.CharField(max_length=100)
    purpose_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "dropped_message"
        indexes = [BrinIndex(fields=["at"], name="dropped_message_by_time")]

    def __str__(self) -> str:
        return f"{self.event} {self.reason}"


class RefusedRequests(models.Model):
    """How many requests were refused in an hour, by status and code. `source_id` is 0 where the key was unknown."""

    pk = models.CompositePrimaryKey("source_id", "hour", "status", "code")
    source_id = models.BigIntegerField()
    hour = models.DateTimeField()
    status = models.SmallIntegerField()
    code = models.CharField(max_length=40)
    requests = models.BigIntegerField()

    class Meta:
        db_table = "refused_requests"

    def __str__(self) -> str:
        return f"{self.hour} {self.status} {self.requests}"


class LeftOutTraits(models.Model):
    """How many messages of an hour set a trait whose name is reserved for a computed one."""

    pk = models.CompositePrimaryKey("source_id", "hour", "trait")
    source_id = models.BigIntegerField()
    hour = models.DateTimeField()
    trait = models.CharField(max_length=200)
    messages = models.BigIntegerField()

    class Meta:
        db_table = "left_out_traits"

    def __str__(self) -> str:
        return f"{self.hour} {self.trait} {self.messages}"
