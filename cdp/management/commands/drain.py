"""`manage.py drain`: process the inbox until it is empty, here and now."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from cdp.demo.drain import drain_all


class Command(BaseCommand):
    help = "Process the inbox until it is empty and the segments have answered what changed; then return."

    def handle(self, **_: Any) -> None:
        drained = drain_all(clock=timezone.now)
        self.stdout.write(
            f"{drained.stored:,} stored, {drained.duplicates:,} duplicates, {drained.refused:,} refused for want of "
            f"consent, {drained.quarantined:,} quarantined"
        )
