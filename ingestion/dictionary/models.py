"""What people say of events, properties and traits. What the traffic says of them is in `ingestion.quality`."""

from django.db import models

from ingestion.dictionary.masking import Pii


class DictionaryEntry(models.Model):
    """The words of one event, property or trait. Without a row it has none, and the class that its name suggests."""

    class Kind(models.TextChoices):
        EVENT = "event", "Event"
        PROPERTY = "property", "Property"
        TRAIT = "trait", "Trait"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    event = models.CharField(max_length=200, blank=True, help_text="Of a property; an event's own name is its path.")
    path = models.CharField(max_length=200)
    description = models.CharField(max_length=1_000, blank=True)
    owner = models.CharField(max_length=100, blank=True)
    type = models.CharField(max_length=40, blank=True, help_text="What it should be; empty: as it is seen.")
    pii = models.CharField(
        max_length=12, blank=True, choices=[(one.value, one.label) for one in Pii], help_text="Empty: by its name."
    )
    changed_at = models.DateTimeField()
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "dictionary_entry"
        constraints = [models.UniqueConstraint(fields=["kind", "event", "path"], name="dictionary_entry_once")]

    def __str__(self) -> str:
        return f"{self.event} {self.path}".strip()
