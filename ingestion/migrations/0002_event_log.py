"""The partitioned tables of the write path, which Django's models cannot describe."""

from django.db import migrations

EVENT = """
CREATE TABLE event (
    ts timestamptz NOT NULL,
    id uuid NOT NULL,
    profile_id bigint NOT NULL,
    name_id integer NOT NULL,
    value double precision,
    properties jsonb NOT NULL,
    context jsonb NOT NULL,
    source_id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (ts, id, profile_id)
) PARTITION BY RANGE (ts);
CREATE INDEX event_by_profile ON event (profile_id, name_id, ts) INCLUDE (value);
CREATE INDEX event_by_name ON event (name_id, ts) INCLUDE (profile_id, value);
"""

SEEN_MESSAGE = """
CREATE TABLE seen_message (
    day date NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (day, id)
) PARTITION BY RANGE (day);
"""

INBOX = """
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0001_initial")]

    operations = [
        migrations.RunSQL(EVENT, "DROP TABLE event"),
        migrations.RunSQL(SEEN_MESSAGE, "DROP TABLE seen_message"),
        migrations.RunSQL(INBOX, migrations.RunSQL.noop),
    ]
