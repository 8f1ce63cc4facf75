from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Statement",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "previous", "user_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("previous", models.CharField(max_length=254)),
                ("user_id", models.CharField(max_length=254)),
                ("stated_at", models.DateTimeField()),
            ],
            options={"db_table": "identity_statement"},
        ),
    ]
