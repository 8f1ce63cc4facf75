"""The sessions that can still change. What became of them is in the event log."""

from django.db import models


class DeviceSession(models.Model):
    """One visit of one device, from its first event to its last. R: A2

    Times count in microseconds since 2000, as `ingestion.contracts.Incoming` has them. The key is the device and the
    first event; the session's id follows from both. `due` is when to look at it again: while it is open, to end it;
    once it has ended, to forget it. It moves on only then, and not with every event, so that an update of `last` and
    `state` touches no index. Written by `ingestion.sessions.rows`.
    """

    pk = models.CompositePrimaryKey("profile_id", "device", "first", "first_id")
    profile_id = models.BigIntegerField()
    device = models.UUIDField(help_text="Made from the source and the anonymous id.")
    first = models.BigIntegerField()
    first_id = models.UUIDField(help_text="The first event.")
    last = models.BigIntegerField()
    due = models.BigIntegerField(db_index=True)
    ended = models.BooleanField(help_text="Session Ended is in the event log.")
    source_id = models.BigIntegerField()
    origin_id = models.BigIntegerField(null=True, help_text="The profile it was first recorded for, if another.")
    state = models.TextField(help_text="What was counted, as `ingestion.sessions.tally.Tally` in JSON.")

    class Meta:
        db_table = "device_session"

    def __str__(self) -> str:
        return f"{self.device} {self.first}"
