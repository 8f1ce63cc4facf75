import time
from pathlib import Path

from celery import Celery
from celery.utils.imports import instantiate
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


def test_beat_sleeps_until_a_task_is_due(tmp_path: Path):
    """It would wake too early otherwise, and keep a processor busy until then."""
    app = Celery(set_as_current=False, fixups=[], broker_url="memory://")
    app.conf.beat_schedule = {"tick": {"task": "tick", "schedule": 0.1}}
    scheduler = instantiate(beat.app.conf.beat_scheduler, app=app, schedule_filename=str(tmp_path / "schedule"))
    sent: list[str] = []
    scheduler.apply_entry = lambda entry, producer: sent.append(entry.name)

    ticks, end = 0, time.monotonic() + 1
    while time.monotonic() < end:
        ticks += 1
        time.sleep(max(0.0, scheduler.tick()))

    assert 8 <= len(sent) <= 11
    assert ticks <= 4 * len(sent)
    scheduler.close()


def test_beat_has_the_schedule_and_the_broker():
    assert beat.app.conf.beat_schedule == settings.CELERY_BEAT_SCHEDULE
    assert beat.app.conf.broker_url == settings.CELERY_BROKER_URL
