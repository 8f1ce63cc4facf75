"""`manage.py simulate`: live browsing of the demo's shoppers, until stopped."""

import random
import threading
import time
import uuid
from signal import SIGINT, SIGTERM
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.demo import blueprint, catalogue, keyring
from cdp.demo.browsing import Browsing
from cdp.demo.malformed import OldApp
from cdp.demo.sender import Sender
from cdp.demo.signals import aside, on_stop
from cdp.demo.simulate import Simulation, Tally

PATIENCE = 5.0  # after which the status says what is wrong; then it asks again
STATUS_SECONDS = 1.0
LOG_SECONDS = 60.0


class Command(BaseCommand):
    help = "Send plausible live browsing for the demo's shoppers through the HTTP API, until stopped."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rate", type=float, default=5.0, help="events per second (default: 5)")
        parser.add_argument("--seconds", type=float, help="stop after so long (default: never)")
        parser.add_argument("--seed", type=int, help="the same seed gives the same behaviour")
        parser.add_argument(
            "--url", default=f"http://127.0.0.1:{settings.PORT}", help="the server (default: %(default)s)"
        )

    def handle(self, *, rate: float, seconds: float | None, seed: int | None, url: str, **_: Any) -> None:
        if not 0 < rate <= 10_000:
            raise CommandError("The rate must be above 0 and at most 10,000 events per second.")
        if not _write_key():
            raise CommandError("There is no write key of the website yet: run load_demo first.")
        stop = threading.Event()
        browsing = self._browsing(seed)
        with Sender(url, patience=PATIENCE, stop=stop) as sender, on_stop(aside(stop.set), numbers=(SIGINT, SIGTERM)):
            simulation = Simulation(
                browsing=browsing,
                sender=sender,
                write_key=_write_key,
                rate=rate,
                stop=stop,
                old_app=OldApp(seed=browsing.random.getrandbits(32), run=browsing.run),
            )
            tally = simulation.run(seconds=seconds, report=self._reporter(sender))
        self.stdout.write(f"{self._line(tally, sender)}\nStopped.")

    def _browsing(self, seed: int | None) -> Browsing:
        return Browsing(
            shoppers=catalogue.shoppers(households=keyring.read(settings.CDP_HOME).households or None),
            products=catalogue.best_sellers(),
            seed=random.randrange(2**32) if seed is None else seed,  # noqa: S311
            run=uuid.uuid4().hex[:12],
        )

    def _reporter(self, sender: Sender) -> Any:
        """On a terminal one line that changes, in a log a line a minute."""
        live = self.stdout.isatty()
        pause = STATUS_SECONDS if live else LOG_SECONDS
        due = time.monotonic()

        def report(tally: Tally) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + pause
                line = self._line(tally, sender)
                self.stdout.write(f"\r{line:<100}" if live else line, ending="" if live else "\n")
                self.stdout.flush()

        return report

    @staticmethod
    def _line(tally: Tally, sender: Sender) -> str:
        line = f"{tally.sent:,} events sent, {tally.orders:,} orders"
        waits = f", asked to wait {sender.backoffs:,} times" if sender.backoffs else ""
        lost = f", {tally.lost:,} not taken" if tally.lost else ""
        return line + waits + lost + (f" - {tally.trouble}" if tally.trouble else "")


def _write_key() -> str:
    return keyring.read(settings.CDP_HOME).write_keys.get(blueprint.WEBSITE, "")
