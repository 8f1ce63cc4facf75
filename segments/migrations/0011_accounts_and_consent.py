"""Conditions on the traits of accounts and on consent: what depends on them, and what changed of them."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

FORWARDS = """
ALTER TABLE change ADD COLUMN accounts text[] NOT NULL DEFAULT '{}';
ALTER TABLE change ADD COLUMN purposes integer[] NOT NULL DEFAULT '{}';
"""
BACKWARDS = """
ALTER TABLE change DROP COLUMN accounts;
ALTER TABLE change DROP COLUMN purposes;
"""


class Migration(migrations.Migration):
    dependencies = [("consent", "0003_subject_key"), ("segments", "0010_archive_cause")]

    operations = [
        migrations.RunSQL(FORWARDS, BACKWARDS),
        migrations.CreateModel(
            name="AccountChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("account_id", models.BigIntegerField()),
                ("traits", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
            ],
            options={"db_table": "account_change"},
        ),
        migrations.AddField(
            model_name="dependency",
            name="purpose",
            field=models.ForeignKey(
                blank=True,
                help_text="Of a consent condition: what a segment names is not deleted.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="consent.purpose",
            ),
        ),
        migrations.AlterField(
            model_name="dependency",
            name="kind",
            field=models.CharField(
                choices=[
                    ("event", "Event name"),
                    ("trait", "Trait"),
                    ("account", "Trait of an account"),
                    ("consent", "Consent to a purpose"),
                    ("segment", "Another segment"),
                    ("empty", "Holds for a profile without data"),
                ],
                max_length=10,
            ),
        ),
    ]
