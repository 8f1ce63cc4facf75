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
    """Ask a worker to look for work, once per burst of news.

    Never fails, since what the news are of is stored by now: beat asks again a second later.
    """
    try:
        if claim_wake(name) and not tell(name):
            current_app.send_task(name)
    except OperationalError as error:
        log.warning("nudge_lost", task=name, error=str(error))
    except Exception as error:
        log.exception("nudge_failed", task=name, error=str(error))
