"""Nothing is planned by the statistics of whole JSON documents, and to gather them was most of what ANALYZE costs."""

from django.db import migrations

FORWARD = "ALTER TABLE profile ALTER traits SET STATISTICS 0, ALTER provenance SET STATISTICS 0"
BACK = "ALTER TABLE profile ALTER traits SET STATISTICS -1, ALTER provenance SET STATISTICS -1"


class Migration(migrations.Migration):
    dependencies = [("identity", "0005_parts")]

    operations = [migrations.RunSQL(FORWARD, BACK)]
