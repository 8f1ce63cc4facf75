"""A segment that fails stops no other, keeps why, and stays so until it is mended."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from segments import operations, queries
from segments.errors import QueryTooSlowError
from segments.models import Segment
from tests.factories import segments as make
from tests.factories.segments import GERMAN, NOW, live_segment, members_of

FAR = timedelta(days=60)


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - FAR).date(), (NOW + FAR).date())


@pytest.mark.django_db
class TestFailures:
    @pytest.fixture
    def broken(self) -> Iterator[Segment]:
        """A definition that was stored by a version with a richer language."""
        segment = live_segment(GERMAN, name="Broken")
        Segment.objects.filter(pk=segment.pk).update(
            definition={"type": "trait", "trait": "country", "op": "sounds_like"}
        )
        return segment

    def test_one_segment_that_fails_does_not_stop_the_others(self, broken: Segment) -> None:
        before, after = live_segment(GERMAN, name="Before"), live_segment(GERMAN, name="After")
        profile = make.make_profile({"country": "DE"})
        make.note_change(profile, traits=["country"])

        span = operations.evaluate_changes(now=NOW, limit=100)

        broken.refresh_from_db()
        assert broken.state == Segment.State.FAILED
        assert "sounds_like" in broken.error
        assert members_of(before) == members_of(after) == {profile}
        assert span.entered == 2

    def test_a_failed_recompute_is_kept_on_the_segment(self, broken: Segment) -> None:
        span = operations.recompute(segment_id=broken.pk, now=NOW)

        broken.refresh_from_db()
        assert (broken.state, span.size) == (Segment.State.FAILED, 0)

    def test_a_failed_segment_is_left_alone_until_it_is_mended(self, broken: Segment) -> None:
        operations.recompute(segment_id=broken.pk, now=NOW)
        profile = make.make_profile({"country": "DE"})
        make.note_change(profile, traits=["country"])
        operations.evaluate_changes(now=NOW, limit=100)
        assert members_of(broken) == set()

        operations.update_segment(segment_id=broken.pk, definition=GERMAN, now=NOW)
        operations.recompute(segment_id=broken.pk, now=NOW)

        broken.refresh_from_db()
        assert (broken.state, broken.error) == (Segment.State.LIVE, "")
        assert members_of(broken) == {profile}

    def test_a_query_that_takes_too_long_fails_its_segment_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        profile = make.make_profile({"country": "DE"})
        slow = operations.create_segment(name="Slow", definition=GERMAN, now=NOW)
        make_slow(monkeypatch, "segments.publishing.compile_state")
        monkeypatch.setattr("segments.publishing.RECOMPUTE_SECONDS", 1)

        operations.recompute(segment_id=slow.pk, now=NOW)

        slow.refresh_from_db()
        assert slow.state == Segment.State.FAILED
        assert "longer than allowed" in slow.error
        monkeypatch.undo()
        operations.recompute(segment_id=slow.pk, now=NOW)
        assert members_of(slow) == {profile}

    def test_a_preview_that_takes_too_long_says_what_to_change(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make.make_profile({"country": "DE"})
        make_slow(monkeypatch, "segments.queries.compile_members")
        monkeypatch.setattr(queries, "PREVIEW_SECONDS", 1)

        with pytest.raises(QueryTooSlowError, match="Shorten its windows"):
            queries.preview(definition=GERMAN, as_of=NOW)

        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone()[0] == "0"

    def test_a_segment_that_was_deleted_meanwhile_is_no_failure(self) -> None:
        assert operations.recompute(segment_id=987_654, now=NOW).segment_ids == ()


def make_slow(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The real query, with a wait of two seconds in it."""
    import segments.compile
    from segments.sql import Sql, sql

    original = getattr(segments.compile, place.rpartition(".")[2])
    slow = "WITH wait AS MATERIALIZED (SELECT pg_sleep(2)) SELECT q.* FROM ({query}) AS q CROSS JOIN wait"
    monkeypatch.setattr(place, lambda *args: sql(slow, query=original(*args)) if args else Sql(""))
