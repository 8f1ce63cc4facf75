"""Who is given to a manual segment, and the uploads that gave them."""

from django.conf import settings
from django.db import models

from segments.models import Segment


class GivenMember(models.Model):
    """An origin (decision 6) that was put into a segment: in is whatever profile it leads to now.

    So merges, their undoing and splits move nothing here: `origin_id` is the key on a cluster too.
    """

    pk = models.CompositePrimaryKey("origin_id", "segment_id")
    origin_id = models.BigIntegerField()
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="given_members", db_constraint=False, db_index=False
    )
    given_at = models.DateTimeField()
    upload_id = models.BigIntegerField(null=True, help_text="The upload that put it in.")

    class Meta:
        db_table = "given_member"
        indexes = [models.Index(fields=["segment", "origin_id"], name="given_member_by_segment")]

    def __str__(self) -> str:
        return f"{self.origin_id} given to {self.segment_id}"


class Upload(models.Model):
    """A list of identifiers: read, then matched with profiles, then applied by a person; it can be taken back.

    `columns` are ``{"name", "kind"}``, a kind of "" is left out. `counts` say how many lines were what.
    """

    class Mode(models.TextChoices):
        ADD = "add", "Add them"
        REPLACE = "replace", "Replace everybody by them"
        REMOVE = "remove", "Remove them"

    class State(models.TextChoices):
        CHOOSING = "choosing", "Columns to confirm"
        MATCHING = "matching", "Looking people up"
        READY = "ready", "Ready to apply"
        APPLYING = "applying", "Applying"
        APPLIED = "applied", "Applied"
        UNDONE = "undone", "Taken back"
        FAILED = "failed", "Failed"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="uploads")
    file_name = models.CharField(max_length=200)
    described = models.CharField(max_length=100)
    body = models.BinaryField(help_text="The file, compressed; dropped once it is applied.")
    columns = models.JSONField(default=list)
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.ADD)
    create_unknown = models.BooleanField(default=False, help_text="Make profiles of identifiers that lead to nobody.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.CHOOSING)
    total = models.IntegerField(default=0)
    done = models.IntegerField(default=0)
    counts = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    touched_at = models.DateTimeField(help_text="The heartbeat of whoever works on it.")
    applied_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "segment_upload"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.file_name


class UploadLine(models.Model):
    """A line of a list: what it says, and whom that leads to."""

    class Outcome(models.TextChoices):
        FOUND = "found", "Found"
        UNKNOWN = "unknown", "Unknown"
        AMBIGUOUS = "ambiguous", "Leads to several people"
        DUPLICATE = "duplicate", "Somebody of a line above"
        INVALID = "invalid", "No identifier"

    pk = models.CompositePrimaryKey("upload_id", "number")
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="lines", db_index=False)
    number = models.IntegerField()
    said = models.JSONField(help_text="[kind, value as it was written] of each column.")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    origin_id = models.BigIntegerField(null=True)

    class Meta:
        db_table = "segment_upload_line"
        indexes = [models.Index(fields=["upload", "outcome", "number"], name="upload_line_by_outcome")]

    def __str__(self) -> str:
        return f"{self.upload_id} line {self.number}"


class UploadEffect(models.Model):
    """What an upload changed: an origin that it put in, or took out."""

    pk = models.CompositePrimaryKey("upload_id", "origin_id")
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="effects", db_index=False)
    origin_id = models.BigIntegerField()
    added = models.BooleanField()

    class Meta:
        db_table = "segment_upload_effect"

    def __str__(self) -> str:
        return f"{self.upload_id} {'added' if self.added else 'removed'} {self.origin_id}"
