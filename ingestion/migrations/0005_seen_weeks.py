"""The weeks of seen messages that have begun: all workers agree on them, whatever their clocks say."""

from django.db import migrations

WEEKS = """
CREATE TABLE seen_week (week date PRIMARY KEY);
INSERT INTO seen_week SELECT DISTINCT week FROM seen_message ORDER BY week;
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0004_source_settings")]

    operations = [migrations.RunSQL(WEEKS, "DROP TABLE seen_week")]
