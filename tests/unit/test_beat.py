import pytest
from celery import current_app
from django.conf import settings

from cdp import beat, tasks


@pytest.mark.parametrize("entry", settings.CELERY_BEAT_SCHEDULE.values(), ids=settings.CELERY_BEAT_SCHEDULE)
def test_sends_each_task_to_its_own_queue(entry):
    """It knows the tasks by name alone, so that the schedule says where they are done."""
    task = current_app.tasks[entry["task"]]

    assert task.__module__ == tasks.__name__
    assert entry["options"]["queue"] == (getattr(task, "queue", None) or settings.CELERY_TASK_DEFAULT_QUEUE)


def test_has_the_schedule_and_the_broker():
    assert beat.app.conf.beat_schedule == settings.CELERY_BEAT_SCHEDULE
    assert beat.app.conf.broker_url == settings.CELERY_BROKER_URL
