"""Pairs that were drawn at random to be judged blindly, and what people said of them. R: C3"""

from django.conf import settings
from django.db import models

from identity.candidates.models import Label


class Draw(models.Model):
    """A pair drawn at random among those of about its score, with what was compared as it was then.

    `stands_for` is how many pairs there were in its `stratum` when it was drawn; all that were drawn from a stratum
    share them out among themselves.
    """

    id = models.BigAutoField(primary_key=True)
    one_id = models.BigIntegerField()
    other_id = models.BigIntegerField()
    score = models.FloatField(help_text="Log2 odds of the probability.")
    probability = models.FloatField()
    stratum = models.SmallIntegerField()
    stands_for = models.FloatField()
    shown = models.JSONField(help_text="`[[field, one's value, the other's value]…]`: what a judge sees.")
    judges = models.SmallIntegerField(default=1, help_text="How many people are asked.")
    place = models.FloatField(help_text="A random number, by which they are asked.")
    drawn_at = models.DateTimeField()
    drawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "match_draw"
        constraints = [models.UniqueConstraint(fields=["one_id", "other_id"], name="match_draw_pair")]

    def __str__(self) -> str:
        return f"{self.one_id} ~ {self.other_id}, drawn"


class Verdict(models.Model):
    """What somebody said of a drawn pair, without having seen its score."""

    class Answer(models.TextChoices):
        SAME = "same", "Same person"
        DIFFERENT = "different", "Different people"
        UNSURE = "unsure", "Cannot tell"

    id = models.BigAutoField(primary_key=True)
    draw = models.ForeignKey(Draw, on_delete=models.CASCADE, related_name="verdicts")
    answer = models.CharField(max_length=10, choices=Answer.choices)
    label = models.OneToOneField(Label, null=True, on_delete=models.SET_NULL, related_name="+")
    given_at = models.DateTimeField()
    given_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        db_table = "match_verdict"
        constraints = [models.UniqueConstraint(fields=["draw", "given_by"], name="match_verdict_once")]

    def __str__(self) -> str:
        return f"{self.answer} of {self.draw_id}"
