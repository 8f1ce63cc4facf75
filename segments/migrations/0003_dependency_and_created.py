"""The index from what changed to the segments it touches, and the mark of a new profile in the queue of changes."""

import django.db.models.deletion
from django.db import migrations, models

CREATED = "ALTER TABLE change ADD COLUMN created boolean NOT NULL DEFAULT true"


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0002_change_and_ids"),
    ]

    operations = [
        migrations.CreateModel(
            name="Dependency",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("event", "Event name"),
                            ("trait", "Trait"),
                            ("empty", "Holds for a profile without data"),
                        ],
                        max_length=10,
                    ),
                ),
                ("key", models.CharField(blank=True, max_length=200)),
                (
                    "segment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="dependencies", to="segments.segment"
                    ),
                ),
            ],
            options={
                "db_table": "segment_dependency",
                "constraints": [
                    models.UniqueConstraint(fields=["kind", "key", "segment"], name="segment_dependency_once")
                ],
            },
        ),
        migrations.RunSQL(CREATED, "ALTER TABLE change DROP COLUMN created"),
    ]
