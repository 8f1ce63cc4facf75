"""Ids from sequences for tables keyed by profile, and the queue of changes."""

from django.db import migrations

TRANSITION_ID = """
CREATE SEQUENCE transition_id_seq AS bigint OWNED BY transition.id;
ALTER TABLE transition ALTER COLUMN id SET DEFAULT nextval('transition_id_seq');
CREATE INDEX transition_by_id ON transition (id);
"""

CHANGE = """
CREATE TABLE change (
    profile_id bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    events integer[] NOT NULL,
    traits text[] NOT NULL,
    merged boolean NOT NULL,
    PRIMARY KEY (profile_id, id)
);
CREATE INDEX change_by_id ON change (id);
ALTER TABLE change SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
"""


class Migration(migrations.Migration):
    dependencies = [("segments", "0001_initial")]

    operations = [
        migrations.RunSQL(
            TRANSITION_ID,
            "DROP INDEX transition_by_id;"
            "ALTER TABLE transition ALTER COLUMN id DROP DEFAULT; DROP SEQUENCE transition_id_seq",
        ),
        migrations.RunSQL(CHANGE, "DROP TABLE change"),
    ]
