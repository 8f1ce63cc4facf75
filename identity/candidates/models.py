"""Pairs of profiles that may be one person, what people decided about them, and the models that scored them. R: C2, C3

Profiles that were merged away stay named here: a pair is kept by the ids that it was found with.
"""

from django.conf import settings
from django.db import models


class MatchModel(models.Model):
    """A version of the matching model. One is live; a draft is previewed before it is switched on."""

    class State(models.TextChoices):
        DRAFT = "draft"
        LIVE = "live"
        RETIRED = "retired"

    id = models.BigAutoField(primary_key=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    parameters = models.JSONField(help_text="`identity.matching.Model` as JSON.")
    summary = models.JSONField(default=dict, help_text="What it was estimated from, and how it did.")
    created_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True, blank=True)
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "match_model"
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=models.Q(state="live"), name="match_model_one_live")
        ]

    def __str__(self) -> str:
        return f"matching model {self.pk} ({self.state})"


class MatchKey(models.Model):
    """A blocking key of a profile: those who share one are compared."""

    pk = models.CompositePrimaryKey("profile_id", "key")
    profile_id = models.BigIntegerField()
    key = models.BigIntegerField()

    class Meta:
        db_table = "match_key"
        indexes = [models.Index(fields=["key", "profile_id"], name="match_key_by_key")]

    def __str__(self) -> str:
        return f"profile {self.profile_id} by {self.key}"


class Candidate(models.Model):
    """Two profiles that may be one person. `one_id` is the smaller id."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting for a person"
        MERGED = "merged", "Merged automatically"
        ACCEPTED = "accepted", "Accepted by a person"
        REJECTED = "rejected", "Rejected by a person"
        REFUSED = "refused", "Not allowed to merge"
        GONE = "gone", "No longer a pair"

    class Reason(models.TextChoices):
        SCORE = "score", "Looks alike"
        BRIDGE = "bridge", "Would join two groups"

    id = models.BigAutoField(primary_key=True)
    one_id = models.BigIntegerField()
    other_id = models.BigIntegerField()
    score = models.FloatField(help_text="Log2 of the odds that both are one person.")
    probability = models.FloatField()
    value = models.FloatField(default=0, help_text="How much a person's answer is worth; the highest is asked first.")
    evidence = models.JSONField(default=dict, help_text="The waterfall: `identity.matching.Explanation` as JSON.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=10, choices=Reason.choices, default=Reason.SCORE)
    model = models.ForeignKey(MatchModel, null=True, on_delete=models.SET_NULL, related_name="+")
    found_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    skipped_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    merge_id = models.BigIntegerField(null=True, blank=True, help_text="The `identity.Merge` that came of it.")

    class Meta:
        db_table = "match_candidate"
        constraints = [
            models.UniqueConstraint(fields=["one_id", "other_id"], name="match_candidate_pair"),
            models.CheckConstraint(
                condition=models.Q(one_id__lt=models.F("other_id")), name="match_candidate_in_order"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-value", "id"], name="match_candidate_queue"),
            models.Index(fields=["other_id"], name="match_candidate_other"),
        ]

    def __str__(self) -> str:
        return f"{self.one_id} ~ {self.other_id} ({self.state})"


class Label(models.Model):
    """What a person said of a pair of records: the same or not. Learnt from, and what quality is measured by.

    `one` and `other` are the records as they were shown, so that a label outlives merges and changed traits.
    """

    id = models.BigAutoField(primary_key=True)
    one_id = models.BigIntegerField(help_text="Where the record came from: the profile it was first recorded for.")
    other_id = models.BigIntegerField()
    one = models.JSONField()
    other = models.JSONField()
    same = models.BooleanField()
    blind = models.BooleanField(default=False, help_text="Answered without having seen the score.")
    sampled = models.BooleanField(
        default=False, help_text="Drawn at random by score, so that quality can be estimated from it."
    )
    weight = models.FloatField(default=1, help_text="How many pairs a sampled one stands for.")
    probability = models.FloatField(null=True, blank=True, help_text="The score's, when it was answered.")
    candidate = models.ForeignKey(Candidate, null=True, on_delete=models.SET_NULL, related_name="labels")
    labelled_at = models.DateTimeField()
    labelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "match_label"
        indexes = [models.Index(fields=["one_id", "other_id"], name="match_label_pair")]

    def __str__(self) -> str:
        return f"{self.one_id} {'is' if self.same else 'is not'} {self.other_id}"
