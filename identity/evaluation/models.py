"""What was measured, when, and of which version of the model. R: C2"""

from django.conf import settings
from django.db import models

from identity.candidates.models import MatchModel, MatchRun


class MatchEvaluation(models.Model):
    """One evaluation: of everything, or of an uploaded file that says which source ids are one person."""

    class Kind(models.TextChoices):
        PROFILES = "profiles", "All profiles"
        FILE = "file", "Labelled file"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    run = models.OneToOneField(MatchRun, null=True, on_delete=models.SET_NULL, related_name="evaluation")
    model = models.ForeignKey(MatchModel, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=200, blank=True, help_text="Of the file.")
    upload = models.BinaryField(null=True, help_text="The rows of the file, compressed, until they are evaluated.")
    result = models.JSONField(null=True, help_text="`identity.evaluation.contracts`; ids, and no personal data.")
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "match_evaluation"
        indexes = [models.Index(fields=["kind", "-id"], name="match_evaluation_latest")]

    def __str__(self) -> str:
        return f"evaluation {self.pk} ({self.kind})"
