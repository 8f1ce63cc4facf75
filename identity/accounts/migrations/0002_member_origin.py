"""Membership is kept for each origin of a merged profile, so that it can be parted when a merge is taken back."""

from django.db import migrations, models

FORWARDS = """
ALTER TABLE account_member ADD COLUMN origin_id bigint;
UPDATE account_member SET origin_id = profile_id;
ALTER TABLE account_member ALTER COLUMN origin_id SET NOT NULL;
ALTER TABLE account_member DROP CONSTRAINT account_member_pkey;
ALTER TABLE account_member ADD PRIMARY KEY (profile_id, account_id, origin_id);
"""
BACKWARDS = """
ALTER TABLE account_member DROP CONSTRAINT account_member_pkey;
DELETE FROM account_member a USING account_member b
 WHERE a.profile_id = b.profile_id AND a.account_id = b.account_id AND a.origin_id > b.origin_id;
ALTER TABLE account_member DROP COLUMN origin_id;
ALTER TABLE account_member ADD PRIMARY KEY (profile_id, account_id);
"""


class Migration(migrations.Migration):
    dependencies = [("identity_accounts", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(FORWARDS, BACKWARDS)],
            [
                migrations.AddField(
                    "accountmember",
                    "origin_id",
                    models.BigIntegerField(default=0, help_text="The profile it was first recorded for."),
                    preserve_default=False,
                ),
                migrations.AlterField(
                    "accountmember",
                    "pk",
                    models.CompositePrimaryKey(
                        "profile_id",
                        "account_id",
                        "origin_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
            ],
        ),
    ]
