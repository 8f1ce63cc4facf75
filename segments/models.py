"""Segments, who is in them, and every entry and exit. R: D1, D2, D8"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Segment(models.Model):
    class State(models.TextChoices):
        COMPUTING = "computing", "Computing"
        LIVE = "live", "Live"
        FAILED = "failed", "Failed"
        DRAFT = "draft", "Draft"
        ARCHIVED = "archived", "Archived"

    AT_REST = (State.DRAFT, State.ARCHIVED)  # neither evaluated nor offered

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    definition = models.JSONField()
    version = models.IntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.COMPUTING)
    error = models.CharField(max_length=500, blank=True)
    member_count = models.BigIntegerField(default=0)
    computed_at = models.DateTimeField(null=True, blank=True)
    folder = models.CharField(max_length=60, blank=True)
    tags = ArrayField(models.CharField(max_length=40), default=list, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]

    @property
    def is_manual(self) -> bool:
        """Whether its members are given by hand, by upload or by the API, and not computed."""
        return bool(self.definition == {"type": "given", "segment": self.slug})

    def __str__(self) -> str:
        return self.name

    @property
    def is_live(self) -> bool:
        """Whether it has members that are kept up to date."""
        return self.state == self.State.LIVE

    @property
    def next(self) -> "Computation | None":
        """The version on its way, or the one that could not be computed."""
        found: Computation | None = getattr(self, "computation", None)
        return found

    @property
    def asked(self) -> "Computation | Segment":
        """What was asked for last, with its `definition`: the version on its way, or the segment as it is."""
        return self.next if self.next and not self.next.error else self


class SegmentVersion(models.Model):
    """A definition as it was asked for, for ever; `published_at` is when it went live, if it did."""

    class Outcome(models.TextChoices):
        """Why one never went live."""

        NONE = "", "Live, or on its way"
        SUPERSEDED = "superseded", "Replaced before it was live"
        CANCELLED = "cancelled", "Cancelled"
        FAILED = "failed", "Could not be computed"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="versions")
    number = models.IntegerField()
    definition = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.NONE, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["segment", "number"], name="segment_version_number")]

    def __str__(self) -> str:
        return f"{self.segment_id} version {self.number}"


class Computation(models.Model):
    """A version on its way: computed aside, while the version before it stays live, and gone once it is published.

    Whoever computes keeps `lease_until` ahead of the clock; where it has run out, the next one takes over. With an
    `error` it has failed, and waits for somebody to mend it.
    """

    segment = models.OneToOneField(Segment, on_delete=models.CASCADE, related_name="computation")
    number = models.IntegerField()
    definition = models.JSONField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_at = models.DateTimeField()
    worker = models.CharField(max_length=40, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.SmallIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    phase = models.CharField(max_length=80, blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        db_table = "segment_computation"

    def __str__(self) -> str:
        return f"{self.segment_id} version {self.number} on its way"


class Noted(models.Model):
    """Profiles that changed while a version is on its way: its definition is asked of them again before it is live."""

    id = models.BigAutoField(primary_key=True)
    computation = models.ForeignKey(Computation, on_delete=models.CASCADE, related_name="noted")
    profile_ids = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "segment_computation_noted"

    def __str__(self) -> str:
        return f"{len(self.profile_ids)} profiles for {self.computation_id}"


class Draft(models.Model):
    """An edit of a published segment that somebody keeps for later; whatever was typed, also what cannot be read."""

    segment = models.OneToOneField(Segment, on_delete=models.CASCADE, related_name="draft")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    definition = models.JSONField()
    base_version = models.IntegerField(help_text="The version that was live when it was begun.")
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    saved_at = models.DateTimeField()

    class Meta:
        db_table = "segment_draft"

    def __str__(self) -> str:
        return f"draft of {self.segment_id}"


class Dependency(models.Model):
    """What a segment's definition reads: the index from what changed to the segments it can touch."""

    class Kind(models.TextChoices):
        EVENT = "event", "Event name"
        TRAIT = "trait", "Trait"
        ACCOUNT = "account", "Trait of an account"
        CONSENT = "consent", "Consent to a purpose"
        SEGMENT = "segment", "Another segment"
        EMPTY = "empty", "Holds for a profile without data"

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="dependencies")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    key = models.CharField(max_length=200, blank=True)
    purpose = models.ForeignKey(
        "consent.Purpose",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Of a consent condition: what a segment names is not deleted.",
    )

    class Meta:
        db_table = "segment_dependency"
        constraints = [models.UniqueConstraint(fields=["kind", "key", "segment"], name="segment_dependency_once")]

    def __str__(self) -> str:
        return f"{self.segment_id} reads {self.kind} {self.key}"


class Membership(models.Model):
    """A profile that is in a segment now."""

    pk = models.CompositePrimaryKey("profile_id", "segment_id")
    profile_id = models.BigIntegerField()
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="memberships", db_constraint=False, db_index=False
    )
    entered_at = models.DateTimeField()

    class Meta:
        db_table = "membership"
        indexes = [models.Index(fields=["segment", "-entered_at", "profile_id"], name="membership_by_segment")]

    def __str__(self) -> str:
        return f"{self.profile_id} in {self.segment_id}"


class Transition(models.Model):
    """An entry or exit. The count, the list, the API, the chart and the webhooks all read these rows."""

    class Kind(models.TextChoices):
        ENTERED = "entered", "Entered"
        LEFT = "left", "Left"

    class Cause(models.TextChoices):
        CHANGE = "change", "An event or trait changed"
        TIME = "time", "Time passed"
        DEFINITION = "definition", "The definition was published"
        MERGE = "merge", "Profiles were merged"
        MANUAL = "manual", "Put in or taken out by hand"
        ARCHIVE = "archive", "The segment was archived"

    pk = models.CompositePrimaryKey("profile_id", "id")
    profile_id = models.BigIntegerField()
    id = models.BigIntegerField()
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="transitions", db_constraint=False, db_index=False
    )
    version = models.IntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    at = models.DateTimeField()
    cause = models.CharField(max_length=12, choices=Cause.choices)

    class Meta:
        db_table = "transition"
        indexes = [models.Index(fields=["segment", "-at"], name="transition_by_segment")]

    def __str__(self) -> str:
        return f"{self.profile_id} {self.kind} {self.segment_id}"


class Due(models.Model):
    """The next instant at which a profile's answer can change although nothing new arrives."""

    pk = models.CompositePrimaryKey("profile_id", "segment_id")
    profile_id = models.BigIntegerField()
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField()

    class Meta:
        db_table = "due"
        indexes = [models.Index(fields=["segment", "at"], name="due_by_segment_and_time")]

    def __str__(self) -> str:
        return f"{self.profile_id} {self.segment_id} {self.at}"


class Change(models.Model):
    """What an ingested chunk changed of some profiles: claimed, coalesced and answered by evaluation.

    `events` are ids of event names; `traits` the names of (top-level) traits, and of manual segments
    as `dependencies.given_key` has them; of a merge what can have moved, and one that names nothing touches every
    segment.
    `created` says that the profiles are new, so that segments which hold for somebody who did nothing ("never
    bought") are asked about them too; a writer that does not say so is taken to mean yes, which is only slower.
    `accounts` are names of traits of their accounts, `*` for all; `purposes` are ids.
    """

    id = models.BigAutoField(primary_key=True)
    profile_ids = ArrayField(models.BigIntegerField())
    events = ArrayField(models.IntegerField())
    traits = ArrayField(models.TextField())
    merged = models.BooleanField()
    created = models.BooleanField(db_default=True)
    accounts = ArrayField(models.TextField(), db_default=[])
    purposes = ArrayField(models.IntegerField(), db_default=[])

    class Meta:
        managed = False
        db_table = "change"

    def __str__(self) -> str:
        return f"change of {len(self.profile_ids)} profiles"


class AccountChange(models.Model):
    """Traits of an account that changed, until the people of the account have been told (`segments.changes`)."""

    id = models.BigAutoField(primary_key=True)
    account_id = models.BigIntegerField()
    traits = ArrayField(models.TextField())

    class Meta:
        db_table = "account_change"

    def __str__(self) -> str:
        return f"change of account {self.account_id}"
