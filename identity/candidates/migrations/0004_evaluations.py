from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity_candidates", "0003_warnings_say_what")]

    operations = [
        migrations.AlterField(
            model_name="matchrun",
            name="kind",
            field=models.CharField(
                choices=[
                    ("full", "Full pass"),
                    ("estimate", "Estimate a model"),
                    ("preview", "Preview a model"),
                    ("accept", "Accept many"),
                    ("undo", "Take many back"),
                    ("evaluate", "Evaluate"),
                ],
                max_length=10,
            ),
        ),
    ]
