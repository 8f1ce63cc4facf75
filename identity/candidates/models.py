"""Pairs of profiles that may be one person, what people decided about them, and the models that scored them. R: C2, C3

Profiles that were merged away stay named here: a pair is kept by the ids that it was found with.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

ACCEPT_ABOVE = 0.99
REVIEW_ABOVE = 0.5


class MatchingSettings(models.Model):
    """How this deployment matches: one row, made with the defaults where it is first asked for.

    `fields` are columns of the records: ``[{"column", "type", "traits": [path…], "identifiers": [kind…]}…]``; empty
    until somebody confirms or edits what was guessed, and guessed anew until then.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    fields = models.JSONField(default=list)
    accept_above = models.FloatField(default=ACCEPT_ABOVE, help_text="Probability above which two may be merged.")
    review_above = models.FloatField(default=REVIEW_ABOVE, help_text="Probability above which a person is asked.")
    automatic = models.BooleanField(
        default=False, help_text="Merge by itself what is above the higher threshold. A person asks for it first."
    )
    full_pass_hour = models.SmallIntegerField(default=3, help_text="Hour of the day, in the deployment's time zone.")
    estimate_days = models.SmallIntegerField(default=30, help_text="A new draft of the model is estimated so often.")
    changed_at = models.DateTimeField(null=True, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "matching_settings"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="matching_settings_one"),
            models.CheckConstraint(
                condition=models.Q(review_above__lte=models.F("accept_above")), name="matching_settings_in_order"
            ),
        ]

    def __str__(self) -> str:
        return "matching settings"


class MatchChange(models.Model):
    """Profiles that are new, or whose traits or identifiers changed: to be matched again."""

    id = models.BigAutoField(primary_key=True)
    profile_ids = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "match_change"

    def __str__(self) -> str:
        return f"{len(self.profile_ids)} profiles"


class MatchSeenTo(models.Model):
    """Whose keys a turn of the queue wrote while a full pass makes all of them anew; nothing at other times."""

    id = models.BigAutoField(primary_key=True)
    profile_ids = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "match_seen_to"

    def __str__(self) -> str:
        return f"{len(self.profile_ids)} profiles"


class MatchRecord(models.Model):
    """What the matcher knows of an origin, as `identity.matching.Record` in JSON.

    A profile's record is the union over its origins: what an absorbed profile was known by stays comparable, although
    its traits may have lost to newer ones.
    """

    pk = models.CompositePrimaryKey("profile_id", "origin_id")
    profile_id = models.BigIntegerField()
    origin_id = models.BigIntegerField()
    record = models.TextField()

    class Meta:
        db_table = "match_record"
        indexes = [models.Index(fields=["origin_id"], name="match_record_origin")]

    def __str__(self) -> str:
        return f"record of {self.origin_id} in {self.profile_id}"


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


class MatchRun(models.Model):
    """A long job of this room: queued, done by one worker at a time, begun again where that one was killed."""

    class Kind(models.TextChoices):
        FULL = "full", "Full pass"
        ESTIMATE = "estimate", "Estimate a model"
        PREVIEW = "preview", "Preview a model"
        ACCEPT = "accept", "Accept many"
        UNDO = "undo", "Take many back"
        EVALUATE = "evaluate", "Evaluate"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    arguments = models.JSONField(default=dict)
    phase = models.CharField(max_length=60, blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    counts = models.JSONField(default=dict)
    seconds = models.FloatField(default=0)
    attempts = models.SmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    model = models.ForeignKey(MatchModel, null=True, blank=True, on_delete=models.CASCADE, related_name="runs")
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "match_run"
        indexes = [models.Index(fields=["state", "id"], name="match_run_queue")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.pk} ({self.state})"

    @property
    def colour(self) -> str:
        return {"waiting": "azure", "running": "azure", "done": "green", "failed": "red"}[self.state]


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
    merge_due = models.BooleanField(default=False, help_text="To be merged automatically, a moment from now.")
    refusal = models.CharField(max_length=40, blank=True, help_text="The code of why it may not be merged.")
    held_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    held_until = models.DateTimeField(null=True, blank=True, help_text="Until then nobody else is asked about it.")
    batch = models.ForeignKey(MatchRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="candidates")

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
            models.Index(fields=["id"], condition=models.Q(merge_due=True), name="match_candidate_due"),
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


class MatchWarning(models.Model):
    """Data that would make a mega-profile or slow everything down, and was kept from doing so."""

    id = models.BigAutoField(primary_key=True)
    code = models.CharField(max_length=40)
    field = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=32, blank=True, help_text="Of the value, which is not kept in clear here.")
    value = models.CharField(max_length=80, blank=True, help_text="Masked; empty where the field itself is meant.")
    profiles = models.BigIntegerField()
    message = models.CharField(max_length=300, default="")
    advice = models.CharField(max_length=300)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    dismissed_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "match_warning"
        constraints = [
            models.UniqueConstraint(fields=["code", "field", "digest"], name="match_warning_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.field} {self.value}"


class Household(models.Model):
    """People who live together, as far as the data says so: an entity of its own, never a reason to merge."""

    id = models.BigAutoField(primary_key=True)
    size = models.IntegerField()
    found_at = models.DateTimeField()

    class Meta:
        db_table = "household"

    def __str__(self) -> str:
        return f"household {self.pk}"


class HouseholdMember(models.Model):
    pk = models.CompositePrimaryKey("profile_id", "household_id")
    profile_id = models.BigIntegerField()
    household = models.ForeignKey(Household, on_delete=models.CASCADE, related_name="members")
    joined_at = models.DateTimeField()

    class Meta:
        db_table = "household_member"

    def __str__(self) -> str:
        return f"{self.profile_id} in household {self.household_id}"
