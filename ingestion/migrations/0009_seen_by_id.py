"""Seen messages are unique by their id within a week's partition: its key is a fifth smaller without the week."""

from django.db import migrations

EACH_PARTITION = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'seen_message'::regclass LOOP
        EXECUTE format({});
    END LOOP;
END $$;
"""
BY_ID = (
    EACH_PARTITION.format("'CREATE UNIQUE INDEX %I ON %s (id)', part::text || '_id', part")
    + "ALTER TABLE seen_message DROP CONSTRAINT seen_message_pkey;"
)
BY_WEEK = "ALTER TABLE seen_message ADD PRIMARY KEY (week, id);" + EACH_PARTITION.format(
    "'DROP INDEX %I', part::text || '_id'"
)


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0008_no_statistics_of_json")]

    operations = [migrations.RunSQL(BY_ID, BY_WEEK)]
