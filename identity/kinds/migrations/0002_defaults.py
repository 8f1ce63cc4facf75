"""The kinds as they were before they could be configured, and the conflicts that were recorded by then."""

from django.db import migrations

KINDS = (
    # name, label, icon, normaliser, priority, limit ever, protected
    ("user_id", "User id", "user", "exact", 10, 1, True),
    ("email", "E-mail address", "mail", "email", 20, 5, False),
    ("phone", "Phone number", "phone", "phone", 22, 5, False),
    ("*", "Other external ids", "id", "exact", 25, 5, False),
    ("anonymous_id", "Anonymous id", "ghost-2", "exact", 30, 5, False),
)

GROUPS = """
    INSERT INTO identity_conflict_group
        (kind, value, reason, limit_of, messages, people, written, first_at, last_at, state)
    SELECT kind, value, reason, '', count(*), repeat('0', 2048)::bit(2048), 0, min(at), max(at), 'open'
    FROM identity_conflict GROUP BY kind, value, reason
"""
SAMPLES = """
    INSERT INTO identity_conflict_sample (group_id, slot, at, source_id, message_id, kind, value, profile_id)
    SELECT group_id, 20 - place, at, source_id, message_id, kind, value, profile_id FROM (
        SELECT g.id AS group_id, c.*, row_number() OVER (PARTITION BY g.id ORDER BY c.at DESC, c.id DESC) AS place
        FROM identity_conflict c JOIN identity_conflict_group g
        ON g.kind = c.kind AND g.value = c.value AND g.reason = c.reason
    ) AS newest WHERE place <= 20
"""
DAYS = """
    INSERT INTO identity_conflict_day (day, kind, reason, messages)
    SELECT (at AT TIME ZONE 'UTC')::date, kind, reason, count(*) FROM identity_conflict GROUP BY 1, 2, 3
"""


def seed(apps, schema_editor):
    model = apps.get_model("identity_kinds", "IdentifierKind")
    names = ("name", "label", "icon", "normaliser", "priority", "limit_ever", "protected")
    model.objects.bulk_create(model(**dict(zip(names, row, strict=True))) for row in KINDS)


class Migration(migrations.Migration):
    dependencies = [("identity_kinds", "0001_initial"), ("identity", "0001_initial")]

    operations = [
        migrations.RunPython(seed, migrations.RunPython.noop),
        migrations.RunSQL(GROUPS, migrations.RunSQL.noop),
        migrations.RunSQL(SAMPLES, migrations.RunSQL.noop),
        migrations.RunSQL(DAYS, migrations.RunSQL.noop),
    ]
