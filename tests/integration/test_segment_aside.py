"""A version is computed aside, while the one before it stays live, and published at one stroke. R: D2, D3"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from cdp import pipeline
from segments import computations, lifecycle, operations
from segments.errors import NothingOnItsWayError
from segments.models import Computation, Dependency, Draft, Noted, Segment, SegmentVersion, Transition
from segments.publishing import Staging
from tests.factories import segments as make
from tests.factories.segments import NOW, live_segment, members_of

LATER = NOW + timedelta(minutes=5)
ORDER = "Order Completed"
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
FRENCH = GERMAN | {"value": "FR"}
BOUGHT = {"type": "event", "event": ORDER, "window": {"last": "1h"}}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(NOW.date() - timedelta(days=40), NOW.date())


def begin(segment: Segment, definition: dict[str, Any]) -> tuple[computations.Lease, Staging]:
    """An edit that has asked everybody, and is not published yet."""
    operations.update_segment(segment_id=segment.pk, definition=definition, now=NOW)
    lease = computations.claim(segment_id=segment.pk, now=NOW)
    assert lease
    staging = Staging(lease)
    staging.ask_everybody(now=NOW)
    return lease, staging


def change_country(profile: int, country: str, *, now: datetime = NOW) -> None:
    make.set_traits(profile, {"country": country})
    make.note_change(profile, traits=["country"])
    operations.evaluate_changes(now=now, limit=100)


def moves_of(segment: Segment) -> list[tuple[int, str, str, int]]:
    rows = Transition.objects.filter(segment=segment).order_by("id")
    return list(rows.values_list("profile_id", "kind", "cause", "version"))


@pytest.mark.django_db
class TestMeanwhile:
    def test_the_version_before_stays_live_and_what_changes_counts_for_both(self) -> None:
        anna, ben = make.make_profile({"country": "DE"}), make.make_profile({"country": "IT"})
        segment = live_segment(GERMAN)
        lease, staging = begin(segment, FRENCH)

        change_country(ben, "DE")
        assert members_of(segment) == {anna, ben}
        change_country(anna, "FR")
        assert members_of(segment) == {ben}
        operations.compute(lease, clock=lambda: LATER, staging=staging)

        segment.refresh_from_db()
        assert members_of(segment) == {anna}
        assert (segment.version, segment.definition, segment.member_count) == (2, FRENCH, 1)
        assert sorted(moves_of(segment)[1:]) == sorted(
            [
                (ben, "entered", "change", 1),
                (anna, "left", "change", 1),
                (anna, "entered", "definition", 2),
                (ben, "left", "definition", 2),
            ]
        )
        assert not Noted.objects.exists()

    def test_time_that_passes_counts_for_the_new_version_at_the_instant_it_is_published(self) -> None:
        profile = make.make_profile({"country": "DE"})
        make.make_event(profile, ORDER, NOW - timedelta(minutes=58))
        segment = live_segment(GERMAN)
        lease, staging = begin(segment, BOUGHT)

        operations.compute(lease, clock=lambda: LATER, staging=staging)

        assert members_of(segment) == set()

    def test_a_new_version_reads_what_the_one_before_did_not(self) -> None:
        profile = make.make_profile()
        segment = live_segment(GERMAN)
        lease, staging = begin(segment, BOUGHT)
        assert set(Dependency.objects.values_list("kind", "key")) == {("trait", "country")}
        make.make_event(profile, ORDER, NOW)
        make.note_change(profile, events=[ORDER])
        operations.evaluate_changes(now=NOW, limit=100)

        operations.compute(lease, clock=lambda: NOW, staging=staging)

        assert members_of(segment) == {profile}
        assert set(Dependency.objects.values_list("kind", "key")) == {("event", ORDER)}

    def test_who_is_in_a_new_segment_is_written_before_it_is_published_and_put_right_then(self) -> None:
        stays, leaves, absorbed = (make.make_profile({"country": "DE"}) for _ in range(3))
        comes = make.make_profile({"country": "FR"})
        segment = operations.create_segment(name="New", definition=GERMAN, now=NOW)
        lease = computations.claim(segment_id=segment.pk, now=NOW)
        assert lease
        staging = Staging(lease)
        staging.ask_everybody(now=NOW)
        assert members_of(segment) == {stays, leaves, absorbed}

        change_country(leaves, "FR")
        change_country(comes, "DE")
        make.absorb(absorbed, into=stays)
        operations.evaluate_changes(now=NOW)
        span = operations.compute(lease, clock=lambda: NOW, staging=staging)

        segment.refresh_from_db()
        assert members_of(segment) == {stays, comes}
        assert sorted(profile for profile, *_ in moves_of(segment)) == sorted([stays, comes])
        assert (span.entered, span.left, segment.member_count) == (2, 0, 2)
        written = Transition.objects.filter(segment=segment, id__gt=span.after_id)
        assert written.count() == 2

    def test_who_names_it_is_published_with_it(self) -> None:
        anna, ben = make.make_profile({"country": "DE"}), make.make_profile({"country": "FR"})
        germans = live_segment(GERMAN, name="Germans")
        others = live_segment({"type": "not", "of": {"type": "segment", "segment": "germans"}}, name="Others")
        far = live_segment({"type": "all", "of": [{"type": "segment", "segment": "others"}]}, name="Far")
        lease, staging = begin(germans, FRENCH)
        assert (members_of(others), members_of(far)) == ({ben}, {ben})

        span = operations.compute(lease, clock=lambda: LATER, staging=staging)

        assert span.segment_ids == (germans.pk, others.pk, far.pk)
        assert (members_of(germans), members_of(others), members_of(far)) == ({ben}, {anna}, {anna})
        at = Transition.objects.filter(cause="definition", at=LATER).values_list("segment_id", flat=True)
        assert set(at) == {germans.pk, others.pk, far.pk}

    def test_an_edit_of_what_it_names_is_noticed_before_it_is_published(self) -> None:
        anna, ben = make.make_profile({"country": "DE"}), make.make_profile({"country": "FR"})
        germans, others = live_segment(GERMAN, name="Germans"), live_segment(BOUGHT, name="Others")
        lease, staging = begin(others, {"type": "not", "of": {"type": "segment", "segment": "germans"}})
        operations.update_segment(segment_id=germans.pk, definition=FRENCH, now=NOW)
        operations.recompute(segment_id=germans.pk, now=NOW)

        operations.compute(lease, clock=lambda: NOW, staging=staging)

        assert (members_of(germans), members_of(others)) == ({ben}, {anna})


@pytest.mark.django_db
class TestGivenUp:
    def test_a_newer_edit_takes_the_place_of_one_that_is_computed(self) -> None:
        profile = make.make_profile({"country": "IT"})
        segment = live_segment(GERMAN)
        lease, staging = begin(segment, FRENCH)
        operations.update_segment(segment_id=segment.pk, definition=GERMAN | {"value": "IT"}, now=NOW)

        assert operations.compute(lease, clock=lambda: NOW, staging=staging).segment_ids == ()
        operations.recompute(segment_id=segment.pk, now=NOW)

        segment.refresh_from_db()
        assert (segment.version, members_of(segment)) == (3, {profile})
        outcomes = SegmentVersion.objects.order_by("number").values_list("outcome", "published_at")
        assert list(outcomes) == [("", NOW), ("superseded", None), ("", NOW)]

    def test_going_back_to_what_is_live_needs_no_computing(self) -> None:
        segment = live_segment(GERMAN)
        operations.update_segment(segment_id=segment.pk, definition=FRENCH, now=NOW)

        operations.update_segment(segment_id=segment.pk, definition=GERMAN, now=NOW)

        assert not Computation.objects.exists()

    def test_a_cancelled_one_is_kept_as_a_draft(self) -> None:
        profile = make.make_profile({"country": "DE"})
        segment = live_segment(GERMAN)
        lease, staging = begin(segment, FRENCH)

        lifecycle.cancel(segment_id=segment.pk, now=NOW)

        assert operations.compute(lease, clock=lambda: NOW, staging=staging).segment_ids == ()
        assert (members_of(segment), Draft.objects.get().definition) == ({profile}, FRENCH)
        with pytest.raises(NothingOnItsWayError):
            lifecycle.cancel(segment_id=segment.pk, now=NOW)

    def test_a_first_version_that_is_cancelled_leaves_a_draft(self) -> None:
        segment = operations.create_segment(name="New", definition=GERMAN, now=NOW)

        lifecycle.cancel(segment_id=segment.pk, now=NOW)

        segment.refresh_from_db()
        assert (segment.state, segment.version, segment.definition) == ("draft", 0, GERMAN)
        assert operations.evaluate_changes(now=NOW, limit=10).segment_ids == ()

    def test_one_that_fails_leaves_the_live_version_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        anna, ben = make.make_profile({"country": "DE"}), make.make_profile({"country": "FR"})
        segment = live_segment(GERMAN)
        operations.update_segment(segment_id=segment.pk, definition=FRENCH, now=NOW)
        make_slow(monkeypatch, seconds=2)
        monkeypatch.setattr("segments.publishing.RECOMPUTE_SECONDS", 1)

        operations.recompute(segment_id=segment.pk, now=NOW)

        segment = Segment.objects.get()
        assert (segment.state, segment.version, segment.computation.number) == ("live", 1, 2)
        assert "Shorten its windows" in segment.computation.error
        change_country(ben, "DE")
        assert members_of(segment) == {anna, ben}
        assert computations.waiting(now=NOW) == []
        monkeypatch.undo()
        operations.recompute(segment_id=segment.pk, now=NOW)
        assert Segment.objects.get().version == 2


@pytest.mark.django_db
class TestLeases:
    def test_one_worker_has_it_until_the_lease_has_run_out(self) -> None:
        profile = make.make_profile({"country": "DE"})
        segment = operations.create_segment(name="New", definition=GERMAN, now=NOW)
        first = computations.claim(segment_id=segment.pk, now=NOW)
        assert first
        assert computations.claim(segment_id=segment.pk, now=NOW + computations.LEASE / 2) is None

        second = computations.claim(segment_id=segment.pk, now=NOW + computations.LEASE)

        assert second
        assert operations.compute(first, clock=lambda: NOW).segment_ids == ()
        assert operations.compute(second, clock=lambda: NOW).entered == 1
        assert members_of(segment) == {profile}

    def test_one_that_stops_its_workers_is_given_up(self) -> None:
        segment = operations.create_segment(name="New", definition=GERMAN, now=NOW)
        Computation.objects.update(attempts=computations.ATTEMPTS)

        assert computations.claim(segment_id=segment.pk, now=NOW) is None

        segment.refresh_from_db()
        assert segment.state == "failed"
        assert "stopped 5 times" in segment.error

    def test_one_is_computed_at_a_time(self) -> None:
        first, second = (operations.create_segment(name="New", definition=GERMAN, now=NOW) for _ in range(2))
        assert computations.claim(segment_id=first.pk, now=NOW, slots=1)

        assert computations.claim(segment_id=second.pk, now=NOW, slots=1) is None
        assert computations.claim(segment_id=second.pk, now=NOW + computations.LEASE, slots=1)


def make_slow(monkeypatch: pytest.MonkeyPatch, *, seconds: int) -> None:
    """The real query, with a wait in it."""
    from segments import publishing
    from segments.sql import Sql, sql

    original = publishing.compile_state
    slow = f"WITH wait AS MATERIALIZED (SELECT pg_sleep({seconds})) SELECT q.* FROM ({{query}}) AS q CROSS JOIN wait"
    monkeypatch.setattr(
        "segments.publishing.compile_state", lambda *args: sql(slow, query=original(*args)) if args else Sql("")
    )


KILLED = """
import os, django
django.setup()
from django.conf import settings
from django.utils import timezone
settings.DATABASES["default"]["NAME"] = os.environ["RUN_DATABASE"]
import pytest
from cdp import pipeline
from tests.integration.test_segment_aside import make_slow
make_slow(pytest.MonkeyPatch(), seconds=120)
pipeline.recompute(segment_id=int(os.environ["RUN_SEGMENT"]), now=timezone.now(), clock=timezone.now)
"""


@pytest.mark.django_db(transaction=True)
class TestProcesses:
    @pytest.fixture(autouse=True)
    def _clean(self) -> Iterator[None]:
        """Django empties only the tables that it manages."""
        yield
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM event; DELETE FROM change")

    def test_a_killed_worker_leaves_nothing_stuck(self) -> None:
        anna, ben = make.make_profile({"country": "DE"}), make.make_profile({"country": "FR"})
        segment = live_segment(GERMAN)
        operations.update_segment(segment_id=segment.pk, definition=FRENCH, now=NOW)
        environment = {"RUN_DATABASE": str(connection.settings_dict["NAME"]), "RUN_SEGMENT": str(segment.pk)}
        worker = subprocess.Popen([sys.executable, "-c", KILLED], env=os.environ | environment)
        wait_for(lambda: Computation.objects.get().phase == "Asking everybody")

        worker.send_signal(signal.SIGKILL)
        worker.wait()
        change_country(ben, "DE")
        assert members_of(segment) == {anna, ben}
        lapsed = Computation.objects.get().lease_until
        assert lapsed
        assert pipeline.recompute(segment_id=segment.pk, now=timezone.now()).segment_ids == ()
        span = pipeline.recompute(segment_id=segment.pk, now=lapsed, clock=lambda: lapsed)

        assert (span.segment_ids, members_of(segment)) == ((segment.pk,), set())
        segment.refresh_from_db()
        assert segment.version == 2
        wait_for(lambda: not still_asking(), "the server stops a query whose client is gone")

    def test_cancelling_stops_the_query(self, monkeypatch: pytest.MonkeyPatch) -> None:
        segment = live_segment(GERMAN)
        operations.update_segment(segment_id=segment.pk, definition=FRENCH, now=NOW)
        make_slow(monkeypatch, seconds=60)
        worker = in_a_thread(lambda: pipeline.recompute(segment_id=segment.pk, now=timezone.now()))
        wait_for(still_asking)

        lifecycle.cancel(segment_id=segment.pk, now=NOW)

        worker.join(20)
        assert not worker.is_alive()
        assert Segment.objects.get().state == "live"

    def test_publishing_waits_for_changes_that_are_being_noted(self) -> None:
        anna = make.make_profile({"country": "IT"})
        segment = live_segment(GERMAN)
        operations.update_segment(segment_id=segment.pk, definition=FRENCH, now=NOW)
        make.set_traits(anna, {"country": "FR"})
        make.note_change(anna, traits=["country"])

        with transaction.atomic():
            operations.evaluate_changes(now=NOW, limit=10)
            worker = in_a_thread(lambda: pipeline.recompute(segment_id=segment.pk, now=NOW))
            worker.join(0.5)
            assert worker.is_alive()
        worker.join(20)

        assert members_of(segment) == {anna}


def wait_for(holds: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def still_asking() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state = 'active'"
            " AND datname = current_database() AND query LIKE '%%pg_sleep%%'"
        )
        return bool(cursor.fetchone()[0])


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
