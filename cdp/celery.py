"""The Celery application: which queue does what, and what wakes without being asked.

Work is rows in PostgreSQL. A task is only a nudge to look at them, so a lost broker loses no work:
beat nudges again a moment later.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")

app = Celery("cdp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["cdp"])


@task_prerun.connect
def heal_connections(**_: Any) -> None:
    """A database session outlives tasks (CELERY_DB_REUSE_MAX); one that broke is replaced before the next."""
    from django.db import close_old_connections

    close_old_connections()
