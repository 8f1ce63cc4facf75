"""Columns of traits, packed by ranges of profile ids, and what has changed since they were packed."""

from django.db import models

LONGEST_PATH = 300


class TraitColumn(models.Model):
    """A trait that is asked of everybody. The column of no path holds which profiles there are."""

    class State(models.TextChoices):
        BUILDING = "building", "Being built"
        BUILT = "built", "Built"
        DECLINED = "declined", "Too many different values"

    id = models.BigAutoField(primary_key=True)
    path = models.CharField(max_length=LONGEST_PATH, unique=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.BUILDING)
    built_to = models.BigIntegerField(default=0, help_text="While it is built: profiles below are in its blocks.")
    asked_at = models.DateTimeField(help_text="As of a day: it is not written more often.")
    declined_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "trait_column"

    def __str__(self) -> str:
        return self.path or "profiles"


class TraitBlock(models.Model):
    """A column's part for the profiles from `start` on: little-endian codes of `width` bytes, one for each id.

    -1 is no value; places at the end may be missing. The column of profiles has a bit for each id. A start of -1
    holds the words that count before those of the blocks: see `packing`.
    """

    pk = models.CompositePrimaryKey("column_id", "start")
    column_id = models.BigIntegerField()
    start = models.BigIntegerField()
    width = models.SmallIntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "trait_block"

    def __str__(self) -> str:
        return f"column {self.column_id} from {self.start}"


class TraitValues(models.Model):
    """What a column's codes from `first` on stand for: JSON texts, one a line."""

    pk = models.CompositePrimaryKey("column_id", "first")
    column_id = models.BigIntegerField()
    first = models.IntegerField()
    data = models.BinaryField()

    class Meta:
        db_table = "trait_values"

    def __str__(self) -> str:
        return f"column {self.column_id} from value {self.first}"


class TraitNote(models.Model):
    """Profiles that came, went or changed a trait, written by whoever did it in the same transaction."""

    id = models.BigAutoField(primary_key=True)
    profiles = models.BinaryField(help_text="Their ids, little-endian, 8 bytes each.")

    class Meta:
        db_table = "trait_note"

    def __str__(self) -> str:
        return f"note {self.pk}"
