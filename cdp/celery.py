"""The Celery application: which queue does what, and what wakes without being asked.

Work is rows in PostgreSQL. A task is only a nudge to look at them, so a lost broker loses no work:
beat nudges again a moment later.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")

app = Celery("cdp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["cdp"])
