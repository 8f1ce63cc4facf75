"""`manage.py demo_receiver`: a webhook receiver on this machine that shows what arrives."""

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.demo import keyring
from cdp.demo.receiver.server import ReceiverServer
from cdp.demo.setup import receiver_port
from cdp.demo.signals import aside, on_stop


class Command(BaseCommand):
    help = "Run a local webhook receiver: it checks signatures, shows the last 500 messages, and fails on request."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="default: CDP_RECEIVER_PORT, else the web port + 1")

    def handle(self, *, port: int | None, **_: Any) -> None:
        wanted = receiver_port() if port is None else port
        try:
            server = ReceiverServer(port=wanted, secret=_signing_secret, console_url=settings.PUBLIC_URL)
        except OSError as error:
            raise CommandError(f"Port {wanted} cannot be used: {error.strerror}. Set CDP_RECEIVER_PORT.") from error

        self.stdout.write(f"The webhook receiver listens at {server.url}")
        with server, on_stop(aside(server.shutdown), numbers=(signal.SIGINT, signal.SIGTERM)):
            server.serve_forever()


def _signing_secret() -> str:
    return keyring.read(settings.CDP_HOME).signing_secret
