"""`manage.py prepare`: what a release needs before its processes start, by one process for all of it."""

from importlib import import_module
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

PROGRAMS = ("celery.bin.worker", "celery.apps.worker", "celery.apps.beat", "granian.server", "cdp.tasks", "cdp.urls")


class Command(BaseCommand):
    help = "Bring the database up to date and collect the static files: migrate, then collectstatic."

    def handle(self, *_args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        call_command("collectstatic", interactive=False, verbosity=options["verbosity"])
        for module in PROGRAMS:  # compiled once here, and not by each of the processes that start together
            import_module(module)
