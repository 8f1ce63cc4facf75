"""Whose choices were recorded, until the profiles have followed."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("consent", "0003_subject_key")]

    operations = [
        migrations.CreateModel(
            name="ConsentNews",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kinds", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ("values", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
            ],
            options={"db_table": "consent_news"},
        ),
    ]
