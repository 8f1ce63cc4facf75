"""Tokens that read people, events or segments saw personal data in clear: they go on doing so."""

from django.db import migrations

READING = {"profiles:read", "events:read", "segments:read"}
PII = "pii:read"


def grant(apps, schema_editor):
    for token in apps.get_model("access", "ApiToken").objects.all():
        if READING & set(token.scopes) and PII not in token.scopes:
            token.scopes = sorted({*token.scopes, PII})
            token.save(update_fields=["scopes"])


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
