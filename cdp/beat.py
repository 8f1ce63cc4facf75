"""What beat runs: the schedule and the broker, and none of the tasks. It starts at once and takes little memory.

celery -A cdp.beat beat
"""

import os

from celery import Celery
from celery.beat import PersistentScheduler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdp.settings")

app = Celery("cdp", fixups=[], set_as_current=False)
app.config_from_object("django.conf:settings", namespace="CELERY")


class Scheduler(PersistentScheduler):
    """Sleeps until the next task is due. Celery's own wakes a hundredth of a second before, and asks until it is."""

    def adjust(self, n: float, drift: float = 0.0) -> float:
        return n + drift
