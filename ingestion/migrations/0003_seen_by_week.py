"""Seen messages are kept by week: a new one is looked for in two partitions, and no longer in eight."""

from django.db import migrations

BY_WEEK = """
DROP TABLE seen_message;
CREATE TABLE seen_message (
    week date NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (week, id)
) PARTITION BY RANGE (week);
"""
BY_DAY = """
DROP TABLE seen_message;
CREATE TABLE seen_message (
    day date NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (day, id)
) PARTITION BY RANGE (day);
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0002_event_log")]

    operations = [migrations.RunSQL(BY_WEEK, BY_DAY)]
