from django.conf import settings

from cdp import beat, tasks
from cdp.celery import app

NAMES = {name for name in app.tasks if name.startswith("cdp.") and hasattr(tasks, name.removeprefix("cdp."))}


def test_the_schedule_names_tasks_that_exist():
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= NAMES


def test_what_has_a_queue_of_its_own_is_a_task():
    assert set(settings.CELERY_TASK_ROUTES) <= NAMES


def test_beat_sends_tasks_to_the_queues_that_workers_read():
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        mine, theirs = (each.amqp.router.route({}, entry["task"])["queue"].name for each in (beat.app, app))

        assert mine == theirs


def test_beat_has_the_schedule_and_the_broker():
    assert beat.app.conf.beat_schedule == settings.CELERY_BEAT_SCHEDULE
    assert beat.app.conf.broker_url == settings.CELERY_BROKER_URL
