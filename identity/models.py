"""Profiles, the identifiers that lead to them, and what was merged. R: C1, C4"""

from django.db import models


class Profile(models.Model):
    """One customer. `traits` is what is known; `provenance` says per trait since when and from which source.

    `provenance` is ``{trait: [event time in microseconds since 2000, source id, source priority]}``; a trait that
    was deleted keeps its entry there, so that an older value that comes later does not bring it back.
    """

    id = models.BigAutoField(primary_key=True)
    traits = models.JSONField(default=dict)
    provenance = models.JSONField(default=dict)
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
    source_id = models.BigIntegerField()

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


class IdentityConflict(models.Model):
    """Identifiers that met in one event but were not linked, since a limit would have been broken."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    source_id = models.BigIntegerField()
    message_id = models.CharField(max_length=100)
    profile_id = models.BigIntegerField(help_text="The profile that the event went to.")
    kind = models.CharField(max_length=30)
    value = models.CharField(max_length=254)
    reason = models.CharField(max_length=40)

    class Meta:
        db_table = "identity_conflict"
        indexes = [models.Index(fields=["profile_id"], name="identity_conflict_profile")]

    def __str__(self) -> str:
        return f"{self.kind}:{self.value} {self.reason}"
