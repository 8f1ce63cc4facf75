"""Sending tasks: they carry ids and leave only after commit; settings.CELERY_TASK_ROUTES says to which queue."""

from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from cdp.kernel.wake import claim_wake, tell

log = structlog.get_logger(__name__)


def send_on_commit(name: str, *args: Any) -> None:
    """Send the task `name` once the current transaction is visible; for rooms that may not import the task."""
    transaction.on_commit(lambda: current_app.send_task(name, args=args), robust=True)


def nudge(name: str) -> None:
    """Ask a worker to look for work, once per burst of news. Never fails: beat asks again a second later."""
    if not claim_wake(name) or tell(name):
        return
    try:
        current_app.send_task(name)
    except OperationalError as error:
        log.warning("nudge_lost", task=name, error=str(error))
