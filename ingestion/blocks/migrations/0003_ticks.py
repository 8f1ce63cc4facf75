"""Blocks count time in ticks of ten minutes, no more in hours: those that there are are built anew."""

from django.db import migrations

CLEAR = """
DELETE FROM event_block; DELETE FROM event_block_note; DELETE FROM event_block_move; DELETE FROM event_column_values;
DELETE FROM event_block_seal
"""


class Migration(migrations.Migration):
    dependencies = [("ingestion_blocks", "0002_blocks")]

    operations = [migrations.RunSQL(CLEAR, CLEAR)]
