"""What people do with segments: make, change, delete, ask; and what is refused. R: D2, D8"""

from datetime import timedelta
from typing import Any

import pytest

from segments import operations, queries
from segments.ast import DefinitionError
from segments.errors import SegmentError, SegmentInUseError, SegmentNotFoundError, SlugTakenError
from segments.models import Dependency, Due, Membership, Segment, SegmentVersion, Transition
from tests.factories import segments as make
from tests.factories.segments import BOUGHT, GERMAN, NOW, ORDER, SPENT, live_segment

MICROSECOND = timedelta(microseconds=1)
FAR = timedelta(days=60)


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - FAR).date(), (NOW + FAR).date())


@pytest.mark.django_db
class TestOperations:
    def test_a_slug_is_made_from_the_name_and_kept_apart(self) -> None:
        slugs = [operations.create_segment(name="Big Spenders!", definition=GERMAN, now=NOW).slug for _ in range(3)]

        assert slugs == ["big-spenders", "big-spenders-2", "big-spenders-3"]
        assert operations.create_segment(name="日本", definition=GERMAN, now=NOW).slug == "segment"
        assert operations.create_segment(name="Preview", definition=GERMAN, now=NOW).slug == "preview-2"

    def test_a_slug_is_taken_once(self) -> None:
        operations.create_segment(slug="vip", name="VIP", definition=GERMAN, now=NOW)

        with pytest.raises(SlugTakenError):
            operations.create_segment(slug="vip", name="VIP", definition=GERMAN, now=NOW)

    @pytest.mark.parametrize("slug", ["Vip", "a b", "-a", "x" * 81, "schema", "ä", "a\n"])
    def test_a_slug_fits_into_an_address(self, slug: str) -> None:
        with pytest.raises(SegmentError) as refused:
            operations.create_segment(slug=slug, name="VIP", definition=GERMAN, now=NOW)

        assert (refused.value.code, refused.value.path) == ("invalid_slug", "/slug")

    @pytest.mark.parametrize(
        ("name", "code"), [("", "invalid"), (" ", "invalid"), ("x" * 121, "too_long"), ("\0", "invalid")]
    )
    def test_a_name_is_needed(self, name: str, code: str) -> None:
        with pytest.raises(SegmentError) as refused:
            operations.create_segment(name=name, definition=GERMAN, now=NOW)

        assert (refused.value.code, refused.value.path) == (code, "/name")

    def test_a_definition_that_cannot_be_read_is_not_stored(self) -> None:
        with pytest.raises(DefinitionError):
            operations.create_segment(name="VIP", definition={"type": "all", "of": []}, now=NOW)

        assert not Segment.objects.exists()

    def test_deleting_takes_members_history_and_due_times_along(self) -> None:
        profile = make.make_profile()
        make.make_event(profile, ORDER, NOW - timedelta(days=1))
        segment = live_segment(BOUGHT)

        operations.delete_segment(segment_id=segment.pk)

        for model in (Segment, Membership, Transition, Due, Dependency, SegmentVersion):
            assert not model.objects.exists(), model
        with pytest.raises(SegmentNotFoundError):
            operations.delete_segment(segment_id=segment.pk)

    def test_a_segment_that_a_destination_listens_to_stays(self) -> None:
        from activation.models import Destination, Subscription

        segment = live_segment(GERMAN)
        destination = Destination.objects.create(slug="hook", name="Hook")
        Subscription.objects.create(destination=destination, segment=segment)

        with pytest.raises(SegmentInUseError, match="1 subscription"):
            operations.delete_segment(segment_id=segment.pk)

        assert Segment.objects.exists()


@pytest.mark.django_db
class TestQueries:
    def test_the_trend_ends_on_the_count_of_now(self) -> None:
        segment = live_segment(GERMAN, now=NOW - timedelta(days=3))
        people = [make.make_profile() for _ in range(3)]
        for days, country in ((2, "DE"), (1, "FR"), (0, "DE")):
            for profile in people[: 3 - days]:
                make.set_traits(profile, {"country": country})
                make.note_change(profile, traits=["country"])
            operations.evaluate_changes(now=NOW - timedelta(days=days), limit=100)

        segment.refresh_from_db()
        days = queries.trend(segment=segment, days=4, now=NOW)

        assert [(day.entered, day.left, day.size) for day in days] == [(0, 0, 0), (1, 0, 1), (0, 1, 0), (3, 0, 3)]
        assert segment.member_count == days[-1].size == 3
        (line,) = queries.overview(now=NOW)
        assert (line.entered, line.left, line.member_count) == (4, 1, 3)

    def test_pages_of_members_and_transitions_follow_each_other(self) -> None:
        people = [make.make_profile({"country": "DE"}) for _ in range(5)]
        segment = live_segment(GERMAN)
        late = make.make_profile({"country": "DE"})
        make.note_change(late, traits=["country"])
        operations.evaluate_changes(now=NOW + timedelta(hours=1), limit=100)

        pages, after = [], None
        while page := queries.members(segment_id=segment.pk, limit=2, after=after):
            pages.append([member.profile_id for member in page])
            after = (page[-1].entered_at, page[-1].profile_id)
        assert pages == [[late, people[0]], [people[1], people[2]], [people[3], people[4]]]

        seen, before = [], None
        while moves := queries.transitions(segment_id=segment.pk, limit=4, before=before):
            seen += [move.profile_id for move in moves]
            before = (moves[-1].at, moves[-1].id)
        assert seen == [late, *reversed(people)]
        assert [found.slug for found in queries.segments_of_profile(profile_id=late)] == [segment.slug]

    def test_a_preview_shows_what_each_condition_leaves(self) -> None:
        for country, revenue in (("DE", 600), ("DE", 100), ("FR", 700), ("FR", 5)):
            make.make_event(make.make_profile({"country": country}), ORDER, NOW, {"revenue": revenue})

        found = queries.preview(definition={"type": "all", "of": [GERMAN, SPENT]}, as_of=NOW, breakdown=True)

        assert (found.count, len(found.sample_ids), found.total) == (1, 1, 4)
        assert [(part.alone, part.cumulative) for part in found.breakdown] == [(2, 2), (2, 1)]
        either = queries.preview(definition={"type": "any", "of": [GERMAN, SPENT]}, as_of=NOW, breakdown=True)
        assert (either.count, [part.cumulative for part in either.breakdown]) == (3, [2, 3])

    def test_a_preview_can_look_back(self) -> None:
        profile = make.make_profile()
        make.make_event(profile, ORDER, NOW - timedelta(days=20))

        assert queries.preview(definition=BOUGHT, as_of=NOW).count == 0
        assert queries.preview(definition=BOUGHT, as_of=NOW - timedelta(days=15)).count == 1
        assert queries.preview(definition=BOUGHT, as_of=NOW - timedelta(days=21)).count == 0

    def test_sums_of_cents_are_exact(self) -> None:
        """0.1 + 0.2 is 0.30000000000000004 in binary."""
        make.make_event_name(ORDER, value_property="revenue")
        profile = make.make_profile()
        for cents in (0.1, 0.2):
            make.make_event(profile, ORDER, NOW, {"revenue": cents})

        assert queries.preview(definition=SPENT | {"op": "eq", "value": 0.3}, as_of=NOW).count == 1
