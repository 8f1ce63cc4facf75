"""`manage.py match_profiles`: compare all profiles with each other now, in this process, and say what came of it."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from identity.candidates import jobs, runs
from identity.candidates.models import MatchRun

WAIT_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Match all profiles: candidates, households and warnings follow what everybody says today. Waits for a run "
        "that a worker is at."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        run = runs.ask(MatchRun.Kind.FULL, actor=None, now=timezone.now())
        while run.state in runs.OPEN:
            if not jobs.work(clock=timezone.now):
                time.sleep(WAIT_SECONDS)
            run.refresh_from_db()
        if run.state == MatchRun.State.FAILED:
            raise CommandError(run.error)
        counts = run.counts
        self.stdout.write(
            f"{counts['profiles']:,} profiles matched in {run.seconds:.1f} s: {counts['waiting']:,} pairs that may be"
            f" one person, {counts['closed']:,} closed, {counts['households']:,} households."
        )
