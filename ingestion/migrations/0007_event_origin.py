"""Which profile an event was first recorded for, where a merge has moved it since: what a merge is taken back by."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0006_quarantine_moves_out")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE event ADD COLUMN origin_id bigint",
            "ALTER TABLE event DROP COLUMN origin_id",
            state_operations=[
                migrations.AddField("event", "origin_id", models.BigIntegerField(null=True)),
            ],
        ),
    ]
