"""The base of every task: it carries ids, names its queue, and is sent only after commit."""

from typing import Any

from celery import Task, current_app
from django.db import transaction


class AfterCommitTask(Task):  # type: ignore[type-arg]
    """A nudge that other processes receive only once the rows it speaks of are visible to them."""

    abstract = True

    def send_on_commit(self, *args: Any, **kwargs: Any) -> None:
        transaction.on_commit(lambda: self.apply_async(args=args, kwargs=kwargs), robust=True)


def send_on_commit(name: str, *args: Any, queue: str = "default") -> None:
    """Send the task `name` once the current transaction is visible; for rooms that may not import the task."""
    transaction.on_commit(lambda: current_app.send_task(name, args=args, queue=queue), robust=True)
