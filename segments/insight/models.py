"""What a person wants to see of members. R: D1"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class MemberColumns(models.Model):
    """The columns of members' tables that somebody chose last, for all segments."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="member_columns"
    )
    keys = ArrayField(models.CharField(max_length=220))

    class Meta:
        db_table = "segment_member_columns"

    def __str__(self) -> str:
        return f"columns of {self.user_id}"
