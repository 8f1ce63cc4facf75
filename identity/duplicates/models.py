"""What one look at the base for people who are in it more than once has found."""

from django.db import models


class DuplicateReport(models.Model):
    """A count of profiles that say exactly the same, by a hash of what the matcher knows of each.

    `examples` is ``[[profile id…]…]``, the largest groups first, a few profiles of each.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    seconds = models.FloatField()
    records = models.BigIntegerField(help_text="Records of people that tell enough to be compared.")
    groups = models.BigIntegerField()
    profiles = models.BigIntegerField(help_text="Profiles in these groups.")
    examples = models.JSONField(default=list)
    shared = models.JSONField(
        default=list, help_text='`[{"fields": […], "pairs", "probability", "pair"}…]` of the pairs that wait.'
    )

    class Meta:
        db_table = "duplicate_report"

    def __str__(self) -> str:
        return f"{self.groups} groups at {self.at}"
