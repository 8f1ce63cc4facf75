"""How consent stands per profile; where there are choices already, everybody is to be looked at once.

That happens behind the product's back, a part at a time, by the same code that follows later choices.
"""

import django.contrib.postgres.fields
from django.db import migrations, models

STANDINGS = [("granted", "granted"), ("denied", "denied"), ("unknown", "unknown")]

EVERYBODY = """
INSERT INTO stale_consent (profile_ids)
SELECT array_agg(p.id) FROM (
    SELECT id, row_number() OVER (ORDER BY id) / 1000 AS part FROM profile
    WHERE EXISTS (SELECT FROM consent_consentstate)
) AS p GROUP BY p.part ORDER BY p.part
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [("consent", "0004_news"), ("identity", "0005_parts"), ("identity_kinds", "0003_runs_hold_kinds")]

    operations = [
        migrations.CreateModel(
            name="ProfileConsent",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "profile_id", "purpose_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile_id", models.BigIntegerField()),
                ("purpose_id", models.BigIntegerField()),
                ("state", models.CharField(choices=STANDINGS, max_length=7)),
                ("until", models.DateTimeField(null=True)),
                ("becomes", models.CharField(choices=STANDINGS, max_length=7, null=True)),
            ],
            options={
                "db_table": "profile_consent",
                "indexes": [models.Index(fields=["purpose_id", "profile_id"], name="profile_consent_by_purpose")],
            },
        ),
        migrations.CreateModel(
            name="StaleConsent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "profile_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), db_default=[], size=None
                    ),
                ),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], size=None),
                ),
                (
                    "values",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), db_default=[], size=None),
                ),
            ],
            options={"db_table": "stale_consent"},
        ),
        migrations.RunSQL(EVERYBODY, migrations.RunSQL.noop),
    ]
