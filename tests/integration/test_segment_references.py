"""Segments inside segments. R: D1"""

from datetime import timedelta
from typing import Any

import pytest

from segments import computations, operations, queries
from segments.ast import DefinitionError
from segments.errors import SegmentInUseError
from segments.models import Membership, Segment
from tests.factories import segments as make
from tests.factories.ingestion import NOW

pytestmark = pytest.mark.django_db

GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
BOUGHT = {"type": "event", "event": "Order Completed"}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - timedelta(days=40)).date(), NOW.date())


def named(slug: str) -> dict[str, Any]:
    return {"type": "segment", "segment": slug}


def add(slug: str, definition: dict[str, Any]) -> Segment:
    segment = operations.create_segment(slug=slug, name=slug, definition=definition, now=NOW)
    compute_all()
    return segment


def compute_all() -> None:
    for segment_id in computations.waiting(now=NOW):
        operations.recompute(segment_id=segment_id, now=NOW)


def members(slug: str) -> set[int]:
    return set(Membership.objects.filter(segment__slug=slug).values_list("profile_id", flat=True))


@pytest.fixture
def anna() -> int:
    return make.make_profile({"country": "DE"})


@pytest.fixture
def ben() -> int:
    return make.make_profile({"country": "FR"})


class TestInside:
    def test_means_what_the_other_segment_means(self, anna: int, ben: int) -> None:
        add("germans", GERMAN)

        add("others", {"type": "not", "of": named("germans")})

        assert (members("germans"), members("others")) == ({anna}, {ben})

    def test_follows_a_change_of_what_the_other_one_reads(self, anna: int, ben: int) -> None:
        add("germans", GERMAN)
        add("others", {"type": "not", "of": named("germans")})
        make.set_traits(ben, {"country": "DE"})
        make.note_change(ben, traits=["country"])

        span = operations.evaluate_changes(now=NOW, limit=10)

        assert (members("germans"), members("others")) == ({anna, ben}, set())
        assert (span.entered, span.left) == (1, 1)

    def test_is_computed_again_when_the_other_one_is_edited(self, anna: int, ben: int) -> None:
        germans = add("germans", GERMAN)
        add("others", {"type": "not", "of": named("germans")})
        add("far", {"type": "all", "of": [named("others")]})

        operations.update_segment(segment_id=germans.pk, definition=GERMAN | {"value": "FR"}, now=NOW)
        compute_all()

        assert (members("others"), members("far")) == ({anna}, {anna})
        make.set_traits(anna, {"country": "FR"})
        make.note_change(anna, traits=["country"])
        operations.evaluate_changes(now=NOW, limit=10)
        assert members("far") == set()

    def test_is_asked_of_a_past_instant_too(self, anna: int) -> None:
        make.make_event_name("Order Completed")
        make.make_events([(anna, "Order Completed", NOW - timedelta(days=2), {}, 1, {})])
        add("buyers", BOUGHT | {"window": {"last": "1d"}})

        now = queries.preview(definition=named("buyers"), as_of=NOW)
        then = queries.preview(definition=named("buyers"), as_of=NOW - timedelta(days=1.5))

        assert (now.count, then.count, then.sentence) == (0, 1, "Is in the segment buyers")

    def test_counts_part_by_part(self, anna: int, ben: int) -> None:
        add("germans", GERMAN)

        found = queries.preview(
            definition={"type": "any", "of": [named("germans"), {"type": "not", "of": named("germans")}]},
            as_of=NOW,
            breakdown=True,
        )

        assert [(part.alone, part.cumulative) for part in found.breakdown] == [(1, 1), (1, 2)]


class TestRefusals:
    def test_a_segment_that_is_unknown(self) -> None:
        with pytest.raises(DefinitionError) as refused:
            add("a", {"type": "all", "of": [GERMAN, {"type": "not", "of": named("nobody")}]})

        assert (refused.value.code, refused.value.path) == ("unknown_segment", "/of/1/of/segment")

    def test_a_segment_that_leads_back_to_itself(self) -> None:
        first = add("first", GERMAN)
        add("second", {"type": "all", "of": [named("first")]})

        with pytest.raises(DefinitionError) as refused:
            operations.update_segment(segment_id=first.pk, definition=named("second"), now=NOW)

        assert (refused.value.code, refused.value.path) == ("segment_cycle", "/segment")
        assert "first → second → first" in refused.value.message

    def test_more_conditions_than_can_be_asked(self) -> None:
        add("wide", {"type": "any", "of": [GERMAN | {"value": str(number)} for number in range(90)]})

        with pytest.raises(DefinitionError) as refused:
            add("wider", {"type": "all", "of": [named("wide")] * 6})

        assert refused.value.code == "too_many_nodes"

    def test_deletion_while_another_segment_names_it(self) -> None:
        first = add("first", GERMAN)
        add("second", named("first"))

        with pytest.raises(SegmentInUseError, match="second"):
            operations.delete_segment(segment_id=first.pk)
