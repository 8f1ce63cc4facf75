"""Load the demo through a running server:

1. make what the deployment needs: purposes, sources, people, an API token;
2. record consent choices, then send all data, over HTTP;
3. wait until it is drained, then lay the segments over it and wait until they are live;
4. connect the webhook last, so that it hears what happens from now on and not the first filling.

Everything can be repeated, and goes on where it was interrupted.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cdp import pipeline
from cdp.demo import blueprint, complete_journey, keyring, people, setup, signups
from cdp.demo.complete_journey import Batch, Journey
from cdp.demo.drain import drain_all
from cdp.demo.errors import DemoError
from cdp.demo.progress import Progress
from cdp.demo.sender import Sender, send_all
from cdp.demo.setup import Login
from consent.models import Purpose
from ingestion.models import Source
from ingestion.queries import inbox_depth
from segments.models import Change, Segment

THREADS = 4
REMEMBER_EVERY = 20  # requests
CONSENTS_PER_REQUEST = 500
POLL_SECONDS = 0.2
STALLED_SECONDS = 90.0


@dataclass(frozen=True)
class Loaded:
    """What the deployment holds in the end."""

    events: int
    segments: list[Segment]
    logins: list[Login]
    took: float


@dataclass
class Loader:
    """`households` takes only so many; `again` sends what was sent already; `in_process` drains here, for a
    server without workers. `clock` is read where waiting needs it.
    """

    sender: Sender
    home: Path
    progress: Progress
    clock: Callable[[], datetime]
    households: int | None = None
    again: bool = False
    in_process: bool = False

    def run(self) -> Loaded:
        began = time.monotonic()
        self.sender.check()
        self.keyring = keyring.read(self.home)
        try:
            purposes, sources, logins = self._prepare()
            self._send(sources[blueprint.SHOP])
            self._wait_until_drained()
            setup.refresh_statistics()
            found = setup.ensure_segments(now=self.clock())
            self._wait_until_live([segment.pk for segment in found])
            setup.ensure_computed(now=self.clock())
            self._connect_webhook(purposes)
        finally:
            keyring.write(self.home, self.keyring)
        found = list(Segment.objects.filter(pk__in=[segment.pk for segment in found]))
        return Loaded(self.sent, found, logins, time.monotonic() - began)

    def _prepare(self) -> tuple[dict[str, Purpose], dict[str, Source], list[Login]]:
        purposes = setup.ensure_purposes()
        sources = setup.ensure_sources(self.keyring, purposes=purposes, now=self.clock())
        setup.ensure_token(self.keyring)
        logins = setup.ensure_users(self.keyring)
        setup.ensure_plan(sources, now=self.clock())
        keyring.write(self.home, self.keyring)
        return purposes, sources, logins

    def _connect_webhook(self, purposes: dict[str, Purpose]) -> None:
        if setup.receiver_is_connected() or setup.receiver_is_allowed():
            setup.ensure_webhook(self.keyring, purposes=purposes, now=self.clock())
        else:
            self.progress.say(
                "The webhook was left out, since this deployment sends nothing to its own machine. For it, restart "
                f"with CDP_EGRESS_ALLOW=127.0.0.1:{setup.receiver_port()} and run load_demo again."
            )

    # --- Sending --------------------------------------------------------------------------------------------
    def _send(self, shop: Source) -> None:
        """The deployment's first moment is the data's last: so every run gives every event the same time."""
        began_at = shop.created_at
        what = f"{complete_journey.LIBRARY['version']}/{began_at.isoformat()}/{self.households or 'all'}"
        self.sent = 0
        if self.keyring.loaded == what and not self.again:
            self.progress.say("The data were sent already (--again sends them once more, which changes nothing).")
            return
        if self.keyring.sending != what:
            self.keyring.sending, self.keyring.acknowledged = what, 0
        self.progress.say("Reading Complete Journey")
        journey = complete_journey.read(households=self.households)
        self._send_consents(journey, until=began_at)
        self._send_batches(journey, shift=complete_journey.shift_to(began_at))
        self.keyring.loaded, self.keyring.sending, self.keyring.acknowledged = what, "", 0
        self.keyring.households = self.households or 0

    def _send_consents(self, journey: Journey, *, until: datetime) -> None:
        records = [
            consent_payload(household, choice)
            for household in journey.households
            for choice in people.choices(household, until=until)
        ]
        with self.progress.bar("Recording consent", total=len(records), unit=" choices") as advance:
            for part in _parts(records, CONSENTS_PER_REQUEST):
                self.sender.api("/api/v1/consent/records/", part, token=self.keyring.token)
                advance(len(part))

    def _send_batches(self, journey: Journey, *, shift: timedelta) -> None:
        total = journey.message_count + len(signups.signups(journey.households))
        with self.progress.bar("Sending events", total=total, unit=" events") as advance:
            for number, batch in enumerate(self._acknowledged(journey, shift=shift), start=1):
                advance(batch.events)
                self.sent += batch.events
                self.keyring.acknowledged = max(number, self.keyring.acknowledged)
                if number % REMEMBER_EVERY == 0:
                    keyring.write(self.home, self.keyring)

    def _acknowledged(self, journey: Journey, *, shift: timedelta) -> Iterator[Batch]:
        """Every request in order, once the server has taken it, now or in the run that was interrupted."""
        batches = chain(
            complete_journey.batches(journey, shift=shift), signups.batches(journey.households, shift=shift)
        )
        yield from islice(batches, self.keyring.acknowledged)
        yield from send_all(batches, self._send_batch, threads=THREADS)

    def _send_batch(self, batch: Batch) -> None:
        self.sender.batch(batch.body, write_key=self.keyring.write_keys[batch.source])

    # --- Waiting --------------------------------------------------------------------------------------------
    def _wait_until_drained(self) -> None:
        if self.in_process:
            self.progress.say("Processing")
            drain_all(clock=self.clock)
            return
        self._wait("Processing", inbox_depth, unit=" requests", suspect="the ingest worker")
        self._wait("Evaluating", Change.objects.count, unit=" profiles", suspect="the evaluate worker")

    def _wait_until_live(self, ids: Sequence[int]) -> None:
        computing = Segment.objects.filter(pk__in=ids, state=Segment.State.COMPUTING)
        if self.in_process:
            for segment in computing.all():
                pipeline.recompute(segment_id=segment.pk, now=self.clock())
        self._wait("Computing segments", computing.count, unit=" segments", suspect="the evaluate worker")
        failed = Segment.objects.filter(pk__in=ids, state=Segment.State.FAILED).first()
        if failed:
            raise DemoError(f"The segment {failed.name!r} could not be computed: {failed.error}")

    def _wait(self, what: str, left: Callable[[], int], *, unit: str, suspect: str) -> None:
        """Until nothing is left. Simulated visitors may add as we wait: it is over once it was empty."""
        at_first = before = left()
        moved_at = time.monotonic()
        with self.progress.bar(what, total=at_first, unit=unit) as advance:
            while before:
                time.sleep(POLL_SECONDS)
                now = left()
                if now != before:
                    advance(max(before - now, 0))
                    before, moved_at = now, time.monotonic()
                elif time.monotonic() - moved_at > STALLED_SECONDS:
                    raise DemoError(f"{what} stands still with {before:,}{unit} left: is {suspect} running?")


def consent_payload(household: int, choice: people.Choice) -> dict[str, Any]:
    """A choice as `/api/v1/consent/records/` takes it."""
    who = people.person(household)
    return {
        "subjects": [{"kind": "user_id", "value": who.user_id}, {"kind": "email", "value": who.email}],
        "purpose": choice.purpose,
        "state": choice.state,
        "method": "import",
        "happened_at": choice.happened_at.isoformat(),
        "external_id": choice.external_id,
        "jurisdiction": "US",
        "evidence": {"synthetic": True},
    }


def _parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
