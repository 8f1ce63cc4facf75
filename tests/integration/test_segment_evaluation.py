"""What evaluation promises beyond the right answer: at the right second, all or nothing, nothing lost. R: D2, D8"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from segments import operations
from segments.models import Change, Dependency, Due, Segment, SegmentVersion, Transition
from tests.factories import segments as make
from tests.factories.segments import BOUGHT, GERMAN, NOW, ORDER, QUIET, SPENT, live_segment, members_of

MICROSECOND = timedelta(microseconds=1)
FAR = timedelta(days=60)


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - FAR).date(), (NOW + FAR).date())


def moves_of(segment: Segment) -> list[tuple[int, str, str, datetime]]:
    rows = Transition.objects.filter(segment=segment).order_by("id")
    return list(rows.values_list("profile_id", "kind", "cause", "at"))


@pytest.mark.django_db
class TestTime:
    def test_nobody_bought_anything_is_entered_the_instant_a_week_is_over(self) -> None:
        profile = make.make_profile()
        bought_at = NOW - timedelta(days=2)
        make.make_event(profile, ORDER, bought_at)
        segment = live_segment(QUIET)
        over = bought_at + timedelta(days=7)

        early = operations.wake_due(now=over - MICROSECOND, limit=100)
        assert (early.entered, members_of(segment)) == (0, set())

        on_time = operations.wake_due(now=over, limit=100)
        assert (on_time.entered, members_of(segment)) == (1, {profile})
        assert moves_of(segment) == [(profile, "entered", "time", over)]
        assert not Due.objects.exists()

    def test_a_future_event_counts_when_its_time_comes(self) -> None:
        profile = make.make_profile()
        make.make_event(profile, ORDER, NOW + timedelta(hours=1))
        segment = live_segment({"type": "event", "event": ORDER})

        operations.wake_due(now=NOW + timedelta(minutes=59), limit=100)
        assert members_of(segment) == set()

        operations.wake_due(now=NOW + timedelta(hours=1), limit=100)
        assert members_of(segment) == {profile}

    def test_a_birthday_comes_and_goes_at_midnight_of_the_deployment(self, settings: Any) -> None:
        settings.TIME_ZONE = "Europe/Berlin"
        profile = make.make_profile({"birthday": "1990-03-17"})
        segment = live_segment({"type": "trait", "trait": "birthday", "op": "anniversary_within", "value": "0d"})
        midnight = datetime(2026, 3, 16, 23, 0, tzinfo=UTC)

        operations.wake_due(now=midnight - MICROSECOND, limit=100)
        assert members_of(segment) == set()
        operations.wake_due(now=midnight, limit=100)
        assert members_of(segment) == {profile}
        operations.wake_due(now=midnight + timedelta(days=1), limit=100)
        assert members_of(segment) == set()
        assert Due.objects.get().at == datetime(2027, 3, 16, 23, 0, tzinfo=UTC)

    @pytest.mark.parametrize(("year", "day"), [(2027, (2, 28)), (2028, (2, 29)), (2100, (2, 28))])
    def test_who_was_born_on_a_leap_day_has_a_birthday_every_year(self, year: int, day: tuple[int, int]) -> None:
        profile = make.make_profile({"birthday": "1988-02-29"})
        birthday = datetime(year, *day, tzinfo=UTC)
        definition = {"type": "trait", "trait": "birthday", "op": "anniversary_within", "value": "0d"}
        segment = live_segment(definition, now=birthday - timedelta(days=40))
        assert Due.objects.get().at == birthday

        operations.wake_due(now=birthday, limit=100)
        assert members_of(segment) == {profile}
        operations.wake_due(now=birthday + timedelta(days=1), limit=100)
        assert members_of(segment) == set()

    def test_counts_that_can_only_fall_need_no_waking_when_they_are_too_low(self) -> None:
        profile = make.make_profile()
        make.make_event(profile, ORDER, NOW - timedelta(days=1))

        live_segment({"type": "event", "event": ORDER, "op": "gte", "value": 2, "window": {"last": "7d"}})

        assert not Due.objects.exists()

    def test_a_change_takes_along_what_is_due_of_the_segments_it_touches(self) -> None:
        """While changes never cease, their segments are always held by somebody."""
        early, late = make.make_profile(), make.make_profile()
        make.make_event(early, ORDER, NOW)
        segment = live_segment({"type": "event", "event": ORDER, "window": {"last": "1h"}})
        over = NOW + timedelta(hours=1) + MICROSECOND
        make.make_event(late, ORDER, over)
        make.note_change(late, events=[ORDER])

        span = operations.evaluate_changes(now=over, limit=100)

        assert (span.segment_ids, span.entered, span.left, span.claimed) == ((segment.pk,), 1, 1, 1)
        assert moves_of(segment) == [
            (early, "entered", "definition", NOW),
            (early, "left", "time", over),
            (late, "entered", "change", over),
        ]

    def test_waking_leaves_what_is_not_due(self) -> None:
        soon, later = make.make_profile(), make.make_profile()
        make.make_event(soon, ORDER, NOW - timedelta(days=6))
        make.make_event(later, ORDER, NOW - timedelta(days=1))
        segment = live_segment(BOUGHT)

        operations.wake_due(now=NOW + timedelta(days=2), limit=100)

        assert members_of(segment) == {later}
        assert list(Due.objects.values_list("profile_id", flat=True)) == [later]


@pytest.mark.django_db
class TestChanges:
    def test_only_segments_that_read_what_changed_are_asked(self) -> None:
        profile = make.make_profile({"country": "DE"})
        by_trait, by_event = live_segment(GERMAN, name="Trait"), live_segment(SPENT, name="Event")
        make.make_event_name(ORDER, value_property="revenue")
        make.make_event(profile, ORDER, NOW, {"revenue": 600})
        make.note_change(profile, events=[ORDER])

        span = operations.evaluate_changes(now=NOW, limit=100)

        assert span.segment_ids == (by_event.pk,)
        assert (span.entered, span.left) == (1, 0)
        assert members_of(by_trait) == {profile}
        assert not Change.objects.exists()

    def test_an_event_name_that_appears_later_starts_to_match(self) -> None:
        segment = live_segment({"type": "event", "event": "Brand New"})
        profile = make.make_profile()
        make.make_event(profile, "Brand New", NOW)
        make.note_change(profile, events=["Brand New"])

        operations.evaluate_changes(now=NOW, limit=100)

        assert members_of(segment) == {profile}

    def test_a_new_profile_enters_what_holds_for_somebody_who_did_nothing(self) -> None:
        never_bought, german = live_segment(QUIET, name="Quiet"), live_segment(GERMAN, name="German")
        profile = make.make_profile()
        make.note_change(profile, created=True)

        operations.evaluate_changes(now=NOW, limit=100)

        assert members_of(never_bought) == {profile}
        assert members_of(german) == set()

    def test_many_changes_of_one_profile_are_one_transition(self) -> None:
        segment = live_segment(SPENT)
        profile = make.make_profile()
        for amount in (300, 300, 300):
            make.make_event(profile, ORDER, NOW, {"revenue": amount})
            make.note_change(profile, events=[ORDER])

        operations.evaluate_changes(now=NOW, limit=100)

        assert moves_of(segment) == [(profile, "entered", "change", NOW)]

    def test_claims_no_more_than_the_limit(self) -> None:
        live_segment(GERMAN)
        for _ in range(5):
            make.note_change(make.make_profile({"country": "DE"}), traits=["country"])

        assert operations.evaluate_changes(now=NOW, limit=3).entered == 3
        assert operations.evaluate_changes(now=NOW, limit=3).entered == 2
        assert operations.evaluate_changes(now=NOW, limit=3).segment_ids == ()

    def test_a_span_names_exactly_the_transitions_of_its_transaction(self) -> None:
        segment = live_segment(GERMAN)
        first = make.make_profile({"country": "DE"})
        make.note_change(first, traits=["country"])
        operations.evaluate_changes(now=NOW, limit=100)
        second = make.make_profile({"country": "DE"})
        make.note_change(second, traits=["country"])

        span = operations.evaluate_changes(now=NOW, limit=100)

        found = Transition.objects.filter(segment_id__in=span.segment_ids, id__gt=span.after_id)
        assert list(found.values_list("profile_id", "segment_id")) == [(second, segment.pk)]

    def test_an_absorbed_profile_leaves_and_the_survivor_is_asked_again(self) -> None:
        segment = live_segment({"type": "event", "event": ORDER, "op": "gte", "value": 2})
        survivor, absorbed = make.make_profile(), make.make_profile()
        both = live_segment({"type": "event", "event": ORDER}, name="Bought")
        for profile in (survivor, absorbed):
            make.make_event(profile, ORDER, NOW - timedelta(days=1))
            make.note_change(profile, events=[ORDER])
        operations.evaluate_changes(now=NOW, limit=100)
        assert members_of(both) == {survivor, absorbed}

        make.absorb(absorbed, into=survivor)
        operations.evaluate_changes(now=NOW, limit=100)

        assert members_of(both) == {survivor}
        assert moves_of(both)[-1] == (absorbed, "left", "merge", NOW)
        assert moves_of(segment) == [(survivor, "entered", "merge", NOW)]

    def test_a_merge_asks_the_segments_that_read_what_moved_and_those_that_either_was_in(self) -> None:
        bought, viewed = live_segment(BOUGHT), live_segment({"type": "event", "event": "Viewed"}, name="Viewed")
        german, aged = (
            live_segment(GERMAN),
            live_segment({"type": "trait", "trait": "age", "op": "exists"}, name="Aged"),
        )
        survivor, absorbed = make.make_profile({"country": "DE"}), make.make_profile()
        make.make_event(absorbed, ORDER, NOW - timedelta(days=1))
        make.note_change(survivor, traits=["country"])
        operations.evaluate_changes(now=NOW, limit=100)

        make.absorb(absorbed, into=survivor)
        span = operations.evaluate_changes(now=NOW, limit=100)

        assert {bought.pk, german.pk} <= set(span.segment_ids)
        assert not {viewed.pk, aged.pk} & set(span.segment_ids)
        assert members_of(bought) == members_of(german) == {survivor}

    def test_a_merge_that_does_not_say_what_moved_asks_all(self) -> None:
        """As a worker of an earlier release notes it."""
        segments = [live_segment(GERMAN), live_segment(BOUGHT)]
        make.note_change(make.make_profile(), merged=True)

        span = operations.evaluate_changes(now=NOW, limit=100)

        assert set(span.segment_ids) == {segment.pk for segment in segments}

    def test_a_recompute_lets_profiles_that_are_gone_leave(self) -> None:
        profile = make.make_profile({"country": "DE"})
        segment = live_segment(GERMAN)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM profile WHERE id = %s", [profile])

        operations.recompute(segment_id=segment.pk, now=NOW)

        assert moves_of(segment)[-1] == (profile, "left", "merge", NOW)


@pytest.mark.django_db
class TestMany:
    def test_a_change_costs_what_the_segments_that_it_touches_cost(self) -> None:
        """However many others there are: as many queries, and no other segment is read."""
        segment = live_segment(GERMAN)
        make.note_change(make.make_profile({"country": "DE"}), traits=["country"])
        operations.evaluate_changes(now=NOW, limit=10)  # a session prepares its statements once
        make.note_change(make.make_profile({"country": "DE"}), traits=["country"])
        with CaptureQueriesContext(connection) as alone:
            operations.evaluate_changes(now=NOW, limit=10)
        others = Segment.objects.bulk_create(
            Segment(
                slug=f"s{n}",
                name=f"S{n}",
                definition={"type": "trait", "trait": f"t{n}", "op": "exists"},
                state=Segment.State.LIVE,
                created_at=NOW,
                updated_at=NOW,
            )
            for n in range(2_000)
        )
        Dependency.objects.bulk_create(
            Dependency(segment=other, kind=Dependency.Kind.TRAIT, key=f"t{n}") for n, other in enumerate(others)
        )
        make.note_change(make.make_profile({"country": "DE"}), traits=["country"])

        with CaptureQueriesContext(connection) as among_many, CaptureRows() as rows:
            span = operations.evaluate_changes(now=NOW, limit=10)

        assert (span.segment_ids, span.entered) == ((segment.pk,), 1)
        assert len(among_many) == len(alone)
        assert rows.most < 10


class CaptureRows:
    """The most rows that any query brought."""

    def __enter__(self) -> Self:
        self.most = 0
        self._wrapped = connection.execute_wrapper(self._count)
        self._wrapped.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._wrapped.__exit__(*raised)

    def _count(self, execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        result = execute(sql, params, many, context)
        self.most = max(self.most, context["cursor"].rowcount)
        return result


@pytest.mark.django_db
class TestVersions:
    def test_an_edit_is_a_new_version_and_sends_entries_and_exits(self) -> None:
        german, french = make.make_profile({"country": "DE"}), make.make_profile({"country": "FR"})
        segment = live_segment(GERMAN)

        operations.update_segment(segment_id=segment.pk, definition=GERMAN | {"value": "FR"}, now=NOW)
        segment.refresh_from_db()
        assert (segment.version, segment.state, segment.computation.number) == (1, Segment.State.LIVE, 2)
        assert members_of(segment) == {german}
        operations.recompute(segment_id=segment.pk, now=NOW)

        segment = Segment.objects.get()
        assert (segment.version, segment.state, segment.next) == (2, Segment.State.LIVE, None)
        assert members_of(segment) == {french}
        moves = Transition.objects.filter(segment=segment, version=2).order_by("kind")
        assert list(moves.values_list("profile_id", "kind", "cause")) == [
            (french, "entered", "definition"),
            (german, "left", "definition"),
        ]
        assert list(
            SegmentVersion.objects.filter(segment=segment).order_by("number").values_list("number", flat=True)
        ) == [1, 2]

    def test_another_spelling_of_the_same_is_no_new_version(self) -> None:
        segment = live_segment({"type": "event", "event": ORDER})

        same = {"type": "event", "event": [ORDER], "measure": "count", "op": "gte", "value": 1}
        changed = operations.update_segment(segment_id=segment.pk, name="Other", definition=same, now=NOW)

        assert (changed.version, changed.state, changed.name) == (1, Segment.State.LIVE, "Other")

    def test_the_dependency_index_follows_the_definition(self) -> None:
        segment = live_segment({"type": "all", "of": [GERMAN, SPENT]})
        assert set(Dependency.objects.filter(segment=segment).values_list("kind", "key")) == {
            ("trait", "country"),
            ("event", ORDER),
        }

        operations.update_segment(segment_id=segment.pk, definition=QUIET, now=NOW)
        operations.recompute(segment_id=segment.pk, now=NOW)

        assert set(Dependency.objects.filter(segment=segment).values_list("kind", "key")) == {
            ("event", ORDER),
            ("empty", ""),
        }

    def test_changes_while_it_is_computed_are_not_lost(self) -> None:
        segment = live_segment(GERMAN)
        operations.update_segment(segment_id=segment.pk, definition=GERMAN | {"value": "FR"}, now=NOW)
        profile = make.make_profile({"country": "FR"})
        make.note_change(profile, traits=["country"])

        operations.evaluate_changes(now=NOW, limit=100)
        assert members_of(segment) == set()
        operations.recompute(segment_id=segment.pk, now=NOW)

        assert members_of(segment) == {profile}


@pytest.mark.django_db(transaction=True)
class TestConcurrency:
    @pytest.fixture(autouse=True)
    def _clean(self) -> Iterator[None]:
        """Django empties only the tables that it manages."""
        yield
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM event; DELETE FROM change")

    def test_a_change_during_a_recompute_waits_for_it_and_is_not_lost(self) -> None:
        profile = make.make_profile({"country": "FR"})
        segment = live_segment(GERMAN)
        make.set_traits(profile, {"country": "DE"})
        make.note_change(profile, traits=["country"])
        evaluator = threading.Thread(target=in_a_thread, args=[lambda: operations.evaluate_changes(now=NOW, limit=9)])

        with transaction.atomic():
            operations.recompute(segment_id=segment.pk, now=NOW)
            evaluator.start()
            evaluator.join(0.5)
            assert evaluator.is_alive(), "evaluation has to wait for the recompute"
        evaluator.join(10)

        assert members_of(segment) == {profile}
        assert len(moves_of(segment)) == 1
        segment.refresh_from_db()
        assert segment.member_count == 1

    def test_waking_passes_by_a_segment_that_is_being_computed(self) -> None:
        profile = make.make_profile()
        make.make_event(profile, ORDER, NOW - timedelta(days=1))
        segment = live_segment(BOUGHT)
        spans: list[Any] = []
        wake = threading.Thread(
            target=in_a_thread, args=[lambda: spans.append(operations.wake_due(now=NOW + FAR, limit=9))]
        )

        with transaction.atomic():
            Segment.objects.select_for_update(no_key=True).get(pk=segment.pk)
            wake.start()
            wake.join(10)
            assert spans[0].segment_ids == ()

        assert operations.wake_due(now=NOW + FAR, limit=9).left == 1

    def test_two_evaluators_share_the_changes_between_them(self) -> None:
        segment = live_segment(GERMAN)
        people = {make.make_profile({"country": "DE"}) for _ in range(40)}
        for profile in people:
            make.note_change(profile, traits=["country"])
        threads = [threading.Thread(target=in_a_thread, args=[drain_changes]) for _ in range(3)]

        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert members_of(segment) == people
        assert len(moves_of(segment)) == 40
        segment.refresh_from_db()
        assert segment.member_count == 40


def drain_changes() -> None:
    while operations.evaluate_changes(now=NOW, limit=5).segment_ids:
        pass


def in_a_thread(work: Any) -> None:
    try:
        work()
    finally:
        connections.close_all()
