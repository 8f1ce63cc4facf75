"""One index of what is due in place of two, and none of transitions where the primary key serves."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("segments", "0011_accounts_and_consent")]

    operations = [
        migrations.AddIndex(
            model_name="due", index=models.Index(fields=["segment", "at"], name="due_by_segment_and_time")
        ),
        migrations.RemoveIndex(model_name="due", name="due_at"),
        migrations.RemoveIndex(model_name="due", name="due_by_segment"),
        migrations.RemoveIndex(model_name="transition", name="transition_by_profile"),
    ]
