"""Nothing is planned by the statistics of whole JSON documents, and to gather them was most of what ANALYZE costs."""

from django.db import migrations

FORWARD = """
DO $$ DECLARE part regclass; BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'event'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER properties SET STATISTICS 0, ALTER context SET STATISTICS 0', part);
    END LOOP;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0007_event_origin")]

    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
