"""A row of the queue is one kind of change with all the profiles that it happened to: a chunk has few kinds."""

from django.db import migrations

BY_KIND = """
CREATE TABLE change_by_kind (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    profile_ids bigint[] NOT NULL,
    events integer[] NOT NULL,
    traits text[] NOT NULL,
    merged boolean NOT NULL,
    created boolean NOT NULL DEFAULT true
);
INSERT INTO change_by_kind (profile_ids, events, traits, merged, created)
    SELECT ARRAY[profile_id], events, traits, merged, created FROM change ORDER BY id;
DROP TABLE change;
ALTER TABLE change_by_kind RENAME TO change;
ALTER TABLE change RENAME CONSTRAINT change_by_kind_pkey TO change_pkey;
ALTER TABLE change SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""
BY_PROFILE = """
CREATE TABLE change_by_profile (
    profile_id bigint NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    events integer[] NOT NULL,
    traits text[] NOT NULL,
    merged boolean NOT NULL,
    created boolean NOT NULL DEFAULT true,
    PRIMARY KEY (profile_id, id)
);
INSERT INTO change_by_profile (profile_id, events, traits, merged, created)
    SELECT unnest(profile_ids), events, traits, merged, created FROM change ORDER BY id;
DROP TABLE change;
ALTER TABLE change_by_profile RENAME TO change;
CREATE INDEX change_by_id ON change (id);
"""


class Migration(migrations.Migration):
    dependencies = [("segments", "0004_times_from_the_caller")]

    operations = [migrations.RunSQL(BY_KIND, BY_PROFILE)]
