"""Conflicts are counted per value by `identity.kinds` now, which has taken over what was recorded."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("identity", "0003_merges"), ("identity_kinds", "0002_defaults")]

    operations = [migrations.DeleteModel(name="IdentityConflict")]
