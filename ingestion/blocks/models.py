"""The columnar copy of the event log. Its rows are written and read by hand: see `ingestion.blocks`."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from ingestion.models import EventName


class PropertyColumn(models.Model):
    """A property of the events of one name that questions over everybody ask about."""

    class State(models.TextChoices):
        KEPT = "kept", "Kept"
        TOO_VARIED = "too_varied", "Too many or too long values for a dictionary"

    name = models.ForeignKey(EventName, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    path = models.TextField(help_text="As in a segment's definition, without lists.")
    asked_on = models.DateField(help_text="The last day on which somebody did.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.KEPT, db_default=State.KEPT)

    class Meta:
        db_table = "event_column"
        constraints = [models.UniqueConstraint(fields=["name", "path"], name="event_column_once")]

    def __str__(self) -> str:
        return f"{self.name}: {self.path}"


class ColumnValues(models.Model):
    """A piece of a column's dictionary: its values from the code `first` on, as a JSON list."""

    pk = models.CompositePrimaryKey("column_id", "first")
    column_id = models.BigIntegerField()
    first = models.IntegerField()
    values = models.TextField()

    class Meta:
        db_table = "event_column_values"

    def __str__(self) -> str:
        return f"{self.column_id} from {self.first}"


class Block(models.Model):
    """One column of the events of one name in a stretch of time, as `ingestion.blocks.pack` writes it.

    `since` and `until` count ticks of ten minutes since 2000; the stretches of a name never overlap. `part` is the id
    of a `PropertyColumn`, or one of `ingestion.blocks.parts`.
    """

    pk = models.CompositePrimaryKey("name_id", "since", "part")
    name_id = models.IntegerField()
    since = models.IntegerField()
    part = models.BigIntegerField()
    until = models.IntegerField()
    events = models.IntegerField()
    fold = models.IntegerField(help_text="The round of `Move` at which it was built.")
    data = models.BinaryField()

    class Meta:
        db_table = "event_block"

    def __str__(self) -> str:
        return f"{self.name_id} from {self.since}: {self.part}"


class Note(models.Model):
    """Profiles whose events of a name changed on a day (since 2000) that blocks may hold already."""

    name_id = models.IntegerField()
    day = models.IntegerField()
    profile_ids = ArrayField(models.BigIntegerField())
    noted_at = models.DateTimeField()

    class Meta:
        db_table = "event_block_note"
        indexes = [models.Index(fields=["name_id", "day"], name="event_block_note_day")]

    def __str__(self) -> str:
        return f"{self.name_id} on {self.day}"


class Move(models.Model):
    """A profile whose events another has absorbed, while there are blocks that still name it."""

    profile_id = models.BigIntegerField(primary_key=True)
    leads_to = models.BigIntegerField(db_index=True)
    fold = models.IntegerField(null=True, help_text="The round in which blocks take it in.")

    class Meta:
        db_table = "event_block_move"

    def __str__(self) -> str:
        return f"{self.profile_id} -> {self.leads_to}"


class Seal(models.Model):
    """The one row that says which events are to be noted, and which may be put into blocks.

    Times are microseconds since 2000. `waits_for` are the virtual transactions that may not have seen
    `noted_until`; null while that has not been looked at.
    """

    id = models.IntegerField(primary_key=True)
    noted_until = models.BigIntegerField()
    sealed_until = models.BigIntegerField()
    waits_for = ArrayField(models.TextField(), null=True)
    fold = models.IntegerField(default=0, help_text="The round of taking in what merges moved.")

    class Meta:
        db_table = "event_block_seal"

    def __str__(self) -> str:
        return str(self.sealed_until)
