"""The columnar copy of the event log. Its rows are written and read by hand: see `ingestion.blocks`."""

from django.db import models

from ingestion.models import EventName


class PropertyColumn(models.Model):
    """A property of the events of one name that questions over everybody ask about."""

    name = models.ForeignKey(EventName, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    path = models.TextField(help_text="As in a segment's definition, without lists.")
    asked_on = models.DateField(help_text="The last day on which somebody did.")

    class Meta:
        db_table = "event_column"
        constraints = [models.UniqueConstraint(fields=["name", "path"], name="event_column_once")]

    def __str__(self) -> str:
        return f"{self.name}: {self.path}"
