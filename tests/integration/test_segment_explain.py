"""Why somebody is in a segment, or not. R: D1"""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cdp.kernel.access.models import ApiToken
from cdp.kernel.access.roles import Role, Scope
from segments import operations
from segments.explain import explain
from segments.models import Segment
from tests.factories import segments as make
from tests.factories.access import make_user
from tests.factories.consent import PurposeFactory
from tests.oracles.segment_worlds import EARLIEST, LATEST, PURPOSES, START, VALUE_PROPERTY, World
from tests.oracles.segments import holds

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
ORDER = "Order Completed"
SPENT = {"type": "event", "event": ORDER, "measure": "sum", "of": "revenue", "op": "gt", "value": 50,
         "window": {"last": "30d"}}  # fmt: skip
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
LEFT = {"type": "sequence", "steps": [{"event": "Product Added"}, {"event": ORDER, "absent": True, "within": "30m"}]}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(EARLIEST.date(), LATEST.date())


@pytest.fixture
def anna() -> int:
    id_ = make.make_profile({"country": "FR", "email": "anna@example.org"})
    make.make_event_name(ORDER, value_property="revenue")
    make.make_event_name("Product Added")
    make.make_events(
        [
            (id_, ORDER, START - 40 * DAY, {"revenue": 100}, 1, {}),
            (id_, ORDER, START - 2 * DAY, {"revenue": 30}, 2, {}),
            (id_, ORDER, START - DAY, {"revenue": 25.5}, 3, {}),
            (id_, "Product Added", START - timedelta(minutes=20), {}, 4, {}),
        ]
    )
    return id_


def ask(segment: Segment, profile_id: int) -> Any:
    traits = {"country": "FR", "email": "anna@example.org"}
    return explain(segment=segment, profile_id=profile_id, traits=traits, now=START)


def make_segment(definition: dict[str, Any]) -> Segment:
    segment = operations.create_segment(slug="asked", name="Asked", definition=definition, now=START)
    operations.recompute(segment_id=segment.pk, now=START)
    return segment


class TestExplain:
    def test_tells_what_each_condition_comes_to(self, anna: int) -> None:
        answer = ask(make_segment({"type": "any", "of": [SPENT, {"type": "not", "of": GERMAN}]}), anna)

        spent, other = answer.explanation.parts
        assert (answer.since, answer.explanation.holds) == (START, True)
        assert (spent.holds, float(spent.value), len(spent.events)) == (True, 55.5, 2)
        assert spent.changes_at == START + 28 * DAY
        assert [event.at for event in spent.events] == [START - DAY, START - 2 * DAY]
        assert (other.holds, other.parts[0].value, other.parts[0].holds) == (True, "FR", False)

    def test_tells_when_an_absence_will_be_over(self, anna: int) -> None:
        answer = ask(make_segment(LEFT), anna)

        assert (answer.since, answer.explanation.holds) == (None, False)
        assert answer.explanation.changes_at == START + timedelta(minutes=10)
        assert [event.steps for event in answer.explanation.events] == [(0,)]

    def test_opens_the_segments_inside(self, anna: int) -> None:
        operations.create_segment(slug="germans", name="Germans", definition=GERMAN, now=START)

        answer = ask(make_segment({"type": "segment", "segment": "germans"}), anna)

        assert (answer.explanation.kind, answer.explanation.holds) == ("segment", False)
        assert answer.explanation.parts[0].trait == "country"

    def test_agrees_with_the_oracle_about_every_part(self) -> None:
        for name, value_property in VALUE_PROPERTY.items():
            make.make_event_name(name, value_property=value_property)
        for slug in PURPOSES:
            PurposeFactory(slug=slug)
        for seed in range(12):
            world = World(seed * 3)  # its zone is that of the tests
            person = world.person()
            id_ = make.make_profile(person.traits)
            for event in person.events:
                make.make_event_name(event.name, value_property=VALUE_PROPERTY.get(event.name))
            make.make_events(
                (id_, each.name, each.ts, each.properties, seed * 1_000 + each.id, each.context)
                for each in person.events
            )
            for number, traits in enumerate(person.accounts):
                make.join_account(id_, make.make_account(traits, group_id=f"{seed}-{number}"))
            for identifier, since in person.identifiers.items():
                make.link(id_, identifier, since=since)
            make.record_choices(world.ledger, now=START)
            operations.follow_consents()
            definition = world.definition()
            Segment.objects.all().delete()
            segment = make_segment(definition)
            explanation = explain(segment=segment, profile_id=id_, traits=person.traits, now=START).explanation

            assert_agrees(explanation, definition, person)


def assert_agrees(explanation: Any, definition: dict[str, Any], person: Any) -> None:
    assert explanation.holds == holds(definition, person, START), definition
    inner = definition.get("of") if definition["type"] in {"all", "any", "not"} else []
    for part, node in zip(explanation.parts, inner if isinstance(inner, list) else [inner], strict=True):
        assert_agrees(part, node, person)


class TestApi:
    def test_answers_with_the_tree(self, anna: int) -> None:
        make_segment({"type": "all", "of": [SPENT | {"window": None}, GERMAN]})
        _, token = ApiToken.issue(name="t", scopes=[Scope.SEGMENTS_READ])

        answer = Client().get(
            f"/api/v1/segments/asked/explain/?profile={anna}", headers={"Authorization": f"Bearer {token}"}
        )

        found = answer.json()
        assert (answer.status_code, found["segment"], found["profile"]) == (200, "asked", anna)
        assert (found["holds"], found["entered_at"]) == (False, None)
        spent, german = found["explanation"]["parts"]
        assert (spent["value"], spent["holds"], len(spent["events"])) == (155.5, True, 3)
        assert (german["value"], german["holds"]) == ("FR", False)

    def test_a_profile_that_is_unknown_is_not_found(self) -> None:
        make_segment(GERMAN)
        _, token = ApiToken.issue(name="t", scopes=[Scope.SEGMENTS_READ])

        answer = Client().get(
            "/api/v1/segments/asked/explain/?profile=99", headers={"Authorization": f"Bearer {token}"}
        )

        assert answer.status_code == 404


class TestScreen:
    def test_tells_it_on_the_page_and_masks_what_one_may_not_see(self, anna: int) -> None:
        make_segment({"type": "trait", "trait": "email", "op": "contains", "value": "zzz"})
        pages = []
        for role in (Role.MARKETER, Role.ANALYST):
            client = Client()
            client.force_login(make_user(role))
            pages.append(client.get(f"/segments/asked/why/?profile={anna}").content.decode())

        assert "Is not in" in pages[0]
        assert "anna@example.org" in pages[0]
        assert "Is not in" in pages[1]
        assert "anna@example.org" not in pages[1]
