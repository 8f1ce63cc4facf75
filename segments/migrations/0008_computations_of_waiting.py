"""What is stored was published when it was made; a segment that is being computed waits for a worker."""

from django.db import migrations

FORWARD = """
UPDATE segments_segmentversion AS v SET published_at = v.created_at
FROM segments_segment AS s
WHERE s.id = v.segment_id AND (v.number < s.version OR s.computed_at IS NOT NULL);
INSERT INTO segment_computation (segment_id, number, definition, asked_at, worker, attempts, phase, done, total, error)
SELECT id, version, definition, updated_at, '', 0, '', 0, 0, '' FROM segments_segment
WHERE state = 'computing' ORDER BY id;
"""


class Migration(migrations.Migration):
    dependencies = [("segments", "0007_versions_aside")]

    operations = [migrations.RunSQL(FORWARD, migrations.RunSQL.noop)]
