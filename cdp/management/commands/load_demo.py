"""`manage.py load_demo`: 2,469 real shoppers through the HTTP API of the running server. R: D1, D2, F1"""

import sys
from signal import SIGTERM
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from cdp.demo.load import Loaded, Loader
from cdp.demo.progress import Progress
from cdp.demo.sender import Sender
from cdp.demo.setup import receiver_port
from cdp.demo.signals import on_stop
from cdp.kernel.errors import TributaryError

PATIENCE = 120.0


class Command(BaseCommand):
    help = "Load the demo: real shoppers, synthetic names, six segments, one webhook. May be repeated and resumed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url", default=f"http://127.0.0.1:{settings.PORT}", help="the server (default: %(default)s)"
        )
        parser.add_argument("--households", type=int, help="only so many of the 2,469")
        parser.add_argument("--again", action="store_true", help="send data once more that were sent already")
        parser.add_argument("--in-process", action="store_true", help="process here, for a server without workers")

    def handle(self, *, url: str, households: int | None, again: bool, in_process: bool, **_: Any) -> None:
        if households is not None and households < 1:
            raise CommandError("--households takes a number above 0.")
        with Sender(url, patience=PATIENCE) as sender, on_stop(_interrupt, numbers=(SIGTERM,)):
            loader = Loader(
                sender=sender,
                home=settings.CDP_HOME,
                progress=Progress(sys.stderr),
                clock=timezone.now,
                households=households,
                again=again,
                in_process=in_process,
            )
            try:
                loaded = loader.run()
            except KeyboardInterrupt:
                sender.stop.set()
                raise CommandError("Interrupted. Run load_demo again: it goes on where it was.") from None
            except TributaryError as error:
                raise CommandError(error.message) from error
        self._report(loaded)

    def _report(self, loaded: Loaded) -> None:
        lines = ["", f"The demo is loaded ({loaded.took:.0f} s).", "", "Segments"]
        lines += [f"  {segment.name:<22}{segment.member_count:>7,} people" for segment in loaded.segments]
        lines += ["", f"Log in at {settings.PUBLIC_URL}"]
        for login in loaded.logins:
            password = login.password or "(its password was changed)"
            lines.append(f"  {login.username:<8} {password:<16} {login.role}: {login.does}")
        lines += ["", f"Webhooks arrive at http://127.0.0.1:{receiver_port()}"]
        self.stdout.write("\n".join(lines))


def _interrupt() -> None:
    raise KeyboardInterrupt
