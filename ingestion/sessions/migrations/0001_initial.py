from django.db import migrations, models

HOT = "ALTER TABLE device_session SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)"


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="DeviceSession",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "profile_id",
                        "device",
                        "first",
                        "first_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("profile_id", models.BigIntegerField()),
                ("device", models.UUIDField(help_text="Made from the source and the anonymous id.")),
                ("first", models.BigIntegerField()),
                ("first_id", models.UUIDField(help_text="The first event.")),
                ("last", models.BigIntegerField()),
                ("due", models.BigIntegerField(db_index=True)),
                ("ended", models.BooleanField(help_text="Session Ended is in the event log.")),
                ("source_id", models.BigIntegerField()),
                (
                    "state",
                    models.TextField(help_text="What was counted, as `ingestion.sessions.tally.Tally` in JSON."),
                ),
            ],
            options={"db_table": "device_session"},
        ),
        migrations.RunSQL(HOT, migrations.RunSQL.noop),
    ]
