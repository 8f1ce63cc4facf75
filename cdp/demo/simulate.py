"""Keep sending live browsing until told to stop. R: A2"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from cdp.demo.browsing import Browsing
from cdp.demo.errors import DemoError, RefusedError
from cdp.demo.malformed import OldApp
from cdp.demo.sender import Sender

FLUSH_SECONDS = 0.1
MAX_BATCH = 500
MAX_LAG = timedelta(seconds=5)
REFUSED_PAUSE = 5.0


@dataclass
class Tally:
    """What was sent so far. `lost` counts events made for a server that would not take them."""

    sent: int = 0
    orders: int = 0
    lost: int = 0
    trouble: str = ""


class Simulation:
    """One visitor stream into one source. `write_key` is asked for every request: it may have been rotated."""

    def __init__(
        self,
        *,
        browsing: Browsing,
        sender: Sender,
        write_key: Callable[[], str],
        rate: float,
        stop: threading.Event,
        old_app: OldApp | None = None,
    ) -> None:
        self.browsing = browsing
        self.sender = sender
        self.write_key = write_key
        self.rate = rate
        self.stop = stop
        self.old_app = old_app
        self.tally = Tally()

    def run(self, *, seconds: float | None, report: Callable[[Tally], None]) -> Tally:
        """Send until `stop` is set or the time is over. After a pause of the server's it goes on at the usual
        rate: what could not be sent meanwhile never happened, so nothing piles up.
        """
        ends_at = time.monotonic() + seconds if seconds is not None else float("inf")
        next_at = datetime.now(UTC)
        while not self.stop.is_set() and time.monotonic() < ends_at:
            now = datetime.now(UTC)
            next_at = max(next_at, now - MAX_LAG)
            messages, next_at = self._due(next_at, now)
            if messages:
                self._send(messages)
            report(self.tally)
            self.stop.wait(max(FLUSH_SECONDS, min((next_at - datetime.now(UTC)).total_seconds(), 1.0)))
        return self.tally

    def _due(self, next_at: datetime, now: datetime) -> tuple[list[dict[str, object]], datetime]:
        messages: list[dict[str, object]] = []
        while next_at <= now and len(messages) < MAX_BATCH:
            acted = self.browsing.act(next_at)
            messages += acted
            next_at += self.browsing.pause(events=len(acted), rate=self.rate)
        return messages, next_at

    def _send(self, messages: list[dict[str, object]]) -> None:
        try:
            spoilt = self.old_app.spoil(messages) if self.old_app else []
            self.sender.batch(msgspec.json.encode({"batch": [*messages, *spoilt]}), write_key=self.write_key())
        except DemoError as error:
            self.tally.lost += len(messages)
            self.tally.trouble = error.message
            if isinstance(error, RefusedError):
                self.stop.wait(REFUSED_PAUSE)
            return
        self.tally.trouble = ""
        self.tally.sent += len(messages)
        self.tally.orders += sum(1 for message in messages if message.get("event") == "Order Completed")
