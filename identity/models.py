"""Profiles, the identifiers that lead to them, and what was merged. R: C1, C4"""

from django.conf import settings
from django.db import models


class Profile(models.Model):
    """One customer. `traits` is what is known; `provenance` says per trait since when and from which source.

    `provenance` is ``{trait: [event time in microseconds since 2000, source id, source priority]}``; a trait that
    was deleted keeps its entry there, so that an older value that comes later does not bring it back.
    """

    id = models.BigAutoField(primary_key=True)
    traits = models.JSONField(default=dict)
    provenance = models.JSONField(default=dict)
    parts = models.JSONField(
        null=True, help_text="Of a merged profile, what each of its origins said: see identity.parts."
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "profile"

    def __str__(self) -> str:
        return f"profile {self.pk}"


class Identifier(models.Model):
    """Which profile a value leads to. Looked up first, as a query of its own."""

    pk = models.CompositePrimaryKey("kind", "value")
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=254)
    profile_id = models.BigIntegerField()
    origin_id = models.BigIntegerField(null=True, help_text="The profile it was first recorded for, if another.")

    class Meta:
        db_table = "identifier"

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class ProfileIdentifier(models.Model):
    """The same pairs from the profile's side."""

    pk = models.CompositePrimaryKey("profile_id", "kind", "value")
    profile_id = models.BigIntegerField()
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=254)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, help_text="As of a day: it is not written more often.")
    source_id = models.BigIntegerField()
    origin_id = models.BigIntegerField(null=True, help_text="The profile it was first recorded for, if another.")

    class Meta:
        db_table = "profile_identifier"

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


class ProfileAlias(models.Model):
    """An absorbed profile's id, leading for ever to the one that absorbed it."""

    profile_id = models.BigIntegerField(primary_key=True)
    canonical_id = models.BigIntegerField(db_index=True)
    merged_at = models.DateTimeField()

    class Meta:
        db_table = "profile_alias"

    def __str__(self) -> str:
        return f"{self.profile_id} -> {self.canonical_id}"


class Merge(models.Model):
    """Two profiles that became one: why, what moved, and whether it was taken back.

    `one_origin` and `other_origin` are what the merge ties together: ids that profiles were first recorded under, and
    that never change. A merged profile consists of its origins and the merges in force between them, so taking one
    back splits it where nothing else holds it together. `survivor_id` and `absorbed_id` led at the time.
    """

    class Cause(models.TextChoices):
        IDENTIFIER = "identifier", "Identifiers met in a message"
        ALIAS = "alias", "An alias message"
        MATCH = "match", "They look alike"
        PERSON = "person", "A person's decision"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    survivor_id = models.BigIntegerField()
    absorbed_id = models.BigIntegerField()
    one_origin = models.BigIntegerField()
    other_origin = models.BigIntegerField()
    cause = models.CharField(max_length=10, choices=Cause.choices)
    evidence = models.JSONField(default=dict)
    moved = models.JSONField(default=dict, help_text="How many events, identifiers and so on changed their profile.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "merge"
        indexes = [
            models.Index(fields=["survivor_id"], name="merge_survivor"),
            models.Index(fields=["absorbed_id"], name="merge_absorbed"),
            models.Index(fields=["one_origin"], name="merge_one_origin"),
            models.Index(fields=["other_origin"], name="merge_other_origin"),
        ]

    def __str__(self) -> str:
        return f"{self.absorbed_id} into {self.survivor_id}"


class Constraint(models.Model):
    """A person's word about two origins, heeded by every later merge. `one_origin` is the smaller id."""

    class Kind(models.TextChoices):
        NEVER = "never", "Never the same person"
        MUST = "must", "The same person"

    pk = models.CompositePrimaryKey("one_origin", "other_origin")
    one_origin = models.BigIntegerField()
    other_origin = models.BigIntegerField()
    kind = models.CharField(max_length=5, choices=Kind.choices)
    reason = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "identity_constraint"
        indexes = [models.Index(fields=["other_origin"], name="identity_constraint_other")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(one_origin__lt=models.F("other_origin")), name="identity_constraint_in_order"
            )
        ]

    def __str__(self) -> str:
        return f"{self.one_origin} {self.kind} {self.other_origin}"


class Epoch(models.Model):
    """A single row: how often a living profile has lost identifiers. What processes remember holds for one epoch."""

    id = models.SmallIntegerField(primary_key=True)
    number = models.BigIntegerField()

    class Meta:
        db_table = "identity_epoch"

    def __str__(self) -> str:
        return str(self.number)


class Statement(models.Model):
    """An alias message's word: whoever has `previous` as a user id or anonymous id is the user `user_id`."""

    pk = models.CompositePrimaryKey("previous", "user_id")
    previous = models.CharField(max_length=254)
    user_id = models.CharField(max_length=254)
    stated_at = models.DateTimeField()

    class Meta:
        db_table = "identity_statement"

    def __str__(self) -> str:
        return f"{self.previous} is {self.user_id}"
