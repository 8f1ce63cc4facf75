"""The past of an unsaved definition against the slow oracle at every instant, in random worlds. R: D1, D8"""

import json
import os
from collections import Counter
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import connection
from django.test import Client

from identity.columns.build import Limits, take_step
from identity.columns.wanted import want_trait
from ingestion.blocks.operations import build_all
from segments.ast import Node, parse
from segments.columnar.ask import answers
from segments.columnar.errors import DeclinedError
from segments.engine import load_dictionary
from segments.errors import QueryTooSlowError
from segments.insight.people import asked
from segments.insight.trend import run
from segments.insight.trend.arrays import Past
from segments.insight.trend.ask import lasting, steps
from segments.insight.trend.errors import TooInvolvedError
from segments.insight.trend.frame import Frame, daily_instants
from segments.insight.trend.run import Method, estimated, exact, past_of
from segments.plan import conditions
from segments.references import expand
from tests.factories import segments as make
from tests.factories.access import make_user
from tests.integration.test_segment_api import client
from tests.integration.test_segment_insight import URL, segment_of
from tests.integration.test_segment_oracle import Replica
from tests.oracles import segments as oracle
from tests.oracles.segment_worlds import EARLIEST, LATEST, START, World

SEEDS = range(2_000, 2_000 + int(os.environ.get("CDP_TREND_WORLDS", "8")))
DEFINITIONS = 12
DAYS = 20

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(EARLIEST.date(), LATEST.date())


def points_of(definition: dict[str, Any], *, days: int = DAYS, zone: str = "UTC", now: Any = START) -> list[int]:
    node = expand(parse(definition))
    frame = Frame(daily_instants(now=now, days=days, zone=zone), zone)
    with asked():
        return [point.count for point in exact(node, frame, load_dictionary(node))]


class TestAgainstTheOracle:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_every_day_of_the_past_is_what_the_oracle_counts(self, seed: int, settings: Any) -> None:
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = Replica(world)
        instants = daily_instants(now=START, days=DAYS, zone=world.zone)
        met: Counter[bool] = Counter()
        for _ in range(DEFINITIONS):
            definition = world.telling_definition(replica.people.values(), START)
            try:
                found = points_of(definition, zone=world.zone)
            except TooInvolvedError:
                met[False] += 1
                continue
            met[True] += 1

            expected = [len(replica.expected(definition, at)) for at in instants]
            assert found == expected, f"{json.dumps(definition)} in {world.zone}"
        assert met[True] * 2 > met[False]


class TestEachShape:
    """Shapes that random worlds meet too seldom, each with somebody who comes and goes."""

    @pytest.mark.parametrize(
        "definition",
        [
            {"measure": "count", "op": "gte", "value": 1, "window": {"last": "2d"}},
            {"measure": "count", "op": "eq", "value": 0, "window": {"last": "2d"}},
            {"measure": "count", "op": "between", "value": [2, 3], "window": {"last": "7d"}},
            {"measure": "sum", "of": "revenue", "op": "gt", "value": 30, "window": {"last": "7d"}},
            {"measure": "avg", "of": "revenue", "op": "lte", "value": 10, "window": {"last": "7d"}},
            {"measure": "min", "of": "revenue", "op": "gt", "value": 5, "window": {"last": "7d"}},
            {"measure": "max", "of": "revenue", "op": "between", "value": [5, 12], "window": {"last": "2d"}},
            {"measure": "days", "op": "gte", "value": 2, "window": {"last": "7d"}},
            {"measure": "days", "op": "lt", "value": 2, "window": {"calendar": "last_week", "tz": "Asia/Tokyo"}},
            {"measure": "max", "of": "height", "op": "gte", "value": 4, "window": {"last": "4d"}},
            {"measure": "distinct", "of": "color", "op": "lt", "value": 2, "window": {"last": "7d"}},
            {"measure": "first", "of": "color", "op": "neq", "value": "red", "window": {"last": "7d"}},
            {"measure": "last", "of": "color", "op": "eq", "value": "red", "window": {"last": "30d"}},
            {"measure": "count", "op": "gte", "value": 2, "window": {"last": "7d"}, "span": "48h"},
            {"measure": "count", "op": "gte", "value": 1, "window": {"calendar": "last_week"}},
            {"measure": "count", "op": "gte", "value": 2, "window": {"calendar": "this_month"}},
        ],
    )
    def test_is_what_the_oracle_counts(self, definition: dict[str, Any]) -> None:
        definition = {"type": "event", "event": "Order Completed", **definition}
        make.make_event_name("Order Completed", value_property="revenue")
        people = [oracle.Person() for _ in range(9)]
        for number, person in enumerate(people):
            for place in range(number):
                ts = START - timedelta(hours=7 * (number + 3) * place + 5)
                revenue = (7 * place + 5 * number) % 17
                properties = {"revenue": revenue, "height": revenue / 2, "color": ["red", "blue", "green"][place % 3]}
                person.events.append(oracle.Happening("Order Completed", ts, number * 100 + place, properties))
            id_ = make.make_profile()
            make.make_events((id_, each.name, each.ts, each.properties, each.id, {}) for each in person.events)

        found = points_of(definition)

        instants = daily_instants(now=START, days=DAYS, zone="UTC")
        assert found == [sum(oracle.holds(definition, person, at) for person in people) for at in instants]
        assert len(set(found)) > 1
        if for_arrays(definition):
            assert past_by_arrays(expand(parse(definition)), Frame(instants, "UTC")) == found


def past_by_arrays(node: Node, frame: Frame) -> list[int]:
    question = lasting(node, frame), load_dictionary(node), frozenset(conditions(node))
    with asked():
        return Past(*question, pause=lambda: None).counts(frame)


class TestArrays:
    @pytest.mark.parametrize("seed", SEEDS[:4])
    def test_count_on_every_day_what_the_oracle_counts(self, seed: int, settings: Any) -> None:
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = Replica(world)
        instants = daily_instants(now=START, days=DAYS, zone=world.zone)
        made = (world.event, world.event, world.sequence, world.event, world.event, world.trait)
        parts = [part for part in (made[n % 6]() for n in range(60)) if for_arrays(part)]
        groups = [{"type": "any", "of": parts[:2]}, {"type": "all", "of": [parts[2], {"type": "not", "of": parts[3]}]}]
        for definition in parts[:10] + groups:
            try:
                found = past_by_arrays(expand(parse(definition)), Frame(instants, world.zone))
            except DeclinedError:
                assert "sequence" in json.dumps(definition)  # that begins in an earlier day, week or month
                continue

            expected = [len(replica.expected(definition, at)) for at in instants]
            assert found == expected, f"{json.dumps(definition)} in {world.zone}"

    @pytest.mark.parametrize(
        "steps",
        [
            [{"event": "A"}, {"event": "B"}, {"event": "C", "within": "30h"}],
            [{"event": "A"}, {"event": "B", "absent": True, "within": "20h"}],
            [{"event": "A"}, {"event": "B"}, {"event": "C", "absent": True}],
            [{"event": "A"}, {"event": "C", "absent": True}, {"event": "B", "within": "40h"}],
        ],
        ids=["one after the other", "not soon after", "not after at all", "not in between"],
    )
    @pytest.mark.parametrize("window", [{"last": "4d"}, {"calendar": "this_week"}], ids=["sliding", "by the calendar"])
    def test_follow_a_sequence_from_day_to_day(self, steps: list[dict[str, Any]], window: dict[str, Any]) -> None:
        definition = {"type": "sequence", "steps": steps, "window": window}
        people = [oracle.Person() for _ in range(12)]
        for number, person in enumerate(people):
            for place in range(24):
                ts = START - timedelta(hours=(5 + number) * place + (place * place * 7 + number) % 13)
                name = "ABC"[(place * (number + 1) + place // 3) % 3]
                person.events.append(oracle.Happening(name, ts, number * 100 + place, {}))
            id_ = make.make_profile()
            make.make_events((id_, each.name, each.ts, each.properties, each.id, {}) for each in person.events)
        instants = daily_instants(now=START, days=DAYS, zone="UTC")

        found = past_by_arrays(expand(parse(definition)), Frame(instants, "UTC"))

        assert found == [sum(oracle.holds(definition, person, at) for person in people) for at in instants]
        assert len(set(found)) > 1

    @pytest.mark.parametrize("promoted", ["revenue", "fee"], ids=["a float", "a decimal"])
    def test_ask_sql_of_those_whose_sum_rounding_may_decide(self, promoted: str) -> None:
        """Thirty tenths are three, added up in whatever order; and what left the window has left no crumb."""
        make.make_event_name("Order Completed", value_property=promoted)
        ids = make.make_profiles([{}] * 5)
        make.make_events(
            (id_, "Order Completed", START - timedelta(hours=9 * place + 5), {"revenue": amount, "fee": 1}, None, {})
            for id_, amounts in zip(ids, ([0.1] * 30, [0.1] * 29, [0.7, 0.1, 2.2], [1e14, 0.1], []), strict=True)
            for place, amount in enumerate(amounts)
        )
        condition = {"type": "event", "event": "Order Completed", "of": "revenue", "window": {"last": "11d"}}
        frame = Frame(daily_instants(now=START, days=DAYS, zone="UTC"), "UTC")
        for measure, op, value in (("sum", "gte", 3), ("sum", "lt", 0.2), ("sum", "eq", 0), ("avg", "gt", 0.1)):
            definition = condition | {"measure": measure, "op": op, "value": value}

            found = past_by_arrays(expand(parse(definition)), frame)

            assert found == points_of(definition)
            assert len(set(found)) > 1

    def test_are_what_a_large_deployment_asks(self, database: None, settings: Any, monkeypatch: Any) -> None:
        settings.SEGMENTS_COLUMNAR_FROM = 0
        monkeypatch.setattr(run, "compile_trend", lambda *_, **__: pytest.fail("SQL was asked"))
        make.ensure_months(EARLIEST.date(), LATEST.date())
        ids = make.make_profiles([{"country": "DE"}, {"country": "FR"}])
        make.make_events((id_, "A", START - timedelta(days=3 + place), {}, None, {}) for place, id_ in enumerate(ids))
        german = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
        definition = {"type": "any", "of": [german, {"type": "event", "event": "A", "window": {"last": "2d"}}]}
        want_trait("country")
        while take_step(now=START, limits=Limits(smallest=0)):
            pass
        build_all(now=START + timedelta(days=2))

        found = past_of(definition=definition, now=START, days=6)

        assert found.method is Method.EXACT
        assert [point.count for point in found.points] == [1, 1, 2, 2, 1, 1, 1]


def for_arrays(definition: dict[str, Any]) -> bool:
    return all(steps(one) and answers(one) for one in conditions(expand(parse(definition))))


class TestWaysOut:
    BETWEEN = {
        "type": "sequence",
        "steps": [{"event": "A"}, {"event": "B", "absent": True}, {"event": "C"}],
        "window": {"last": "7d"},
    }

    def test_what_is_too_involved_is_counted_week_by_week(self) -> None:
        id_ = make.make_profile()
        for name, hours in (("A", 60), ("C", 50)):
            make.make_event(id_, name, START - timedelta(hours=hours))

        found = past_of(definition=self.BETWEEN, now=START, days=20)

        assert (found.method, found.complete) == (Method.WEEKLY, True)
        assert [(point.at, point.count) for point in found.points][1:] == [
            (START.replace(hour=23, minute=59, second=59, microsecond=999_999) - timedelta(days=7), 0),
            (START, 1),
        ]
        assert "between two others" in found.because

    def test_what_takes_too_long_is_estimated_from_some(self) -> None:
        with connection.cursor() as cursor:  # the sample goes by ids: the same ones in whatever order tests run
            cursor.execute("ALTER SEQUENCE profile_id_seq RESTART WITH 10000000")
        ids = make.make_profiles([{}] * 400)
        make.make_events((id_, "A", START - timedelta(days=id_ % 8), {}, None, {}) for id_ in ids[:200])
        definition = {"type": "event", "event": "A", "window": {"last": "2d"}}
        node = expand(parse(definition))
        frame = Frame(daily_instants(now=START, days=5, zone="UTC"), "UTC")

        with asked():
            true = exact(node, frame, load_dictionary(node))
            found = estimated(node, frame, load_dictionary(node), one_in=3)

        for point, estimate in zip(true, found, strict=True):
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= estimate.count <= estimate.high
            assert estimate.low - 10 <= point.count <= estimate.high + 10

    def test_each_way_stands_in_for_the_one_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make.make_event(make.make_profile(), "A", START - timedelta(days=1))
        definition = {"type": "event", "event": "A", "window": {"last": "2d"}}
        too_slow = Mock(side_effect=QueryTooSlowError("Too slow."))
        methods = []

        for name in ("nothing", "exact", "estimated"):
            monkeypatch.setattr(run, name, too_slow, raising=False)
            found = past_of(definition=definition, now=START, days=20)
            methods.append(found.method)

        assert methods == [Method.EXACT, Method.SAMPLE, Method.WEEKLY]
        assert found.because == "counting everybody takes longer than 6 seconds"
        assert found.points[-1].count == 1


class TestPreviewParts:
    def test_say_who_would_move_who_they_are_and_how_it_was(self) -> None:
        ids = make.make_profiles([{"country": "DE"}, {"country": "DE"}, {"country": "FR"}, {}])
        german = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}
        segment_of("french", ids[2:])
        api = client("segments:read", "profiles:read", "pii:read")

        found = api.post(
            f"{URL}preview/",
            {
                "definition": {"type": "any", "of": [german, {"type": "segment", "segment": "french"}]},
                "against": "french",
                "by_trait": "country",
                "overlap_with": [],
                "trend_days": 3,
            },
            format="json",
        ).json()

        assert {key: found["changes"][key] for key in ("entering", "leaving", "staying")} == {
            "entering": 2,
            "leaving": 2,
            "staying": 0,
        }
        assert {one["profile"] for one in found["changes"]["entering_sample"]} == set(ids[:2])
        assert found["by_trait"]["lines"][0] == {"label": "DE", "kind": "value", "count": 2, "everybody": 2}
        assert found["overlap"] == []
        assert (found["trend"]["method"], [point["count"] for point in found["trend"]["points"]]) == ("exact", [2] * 4)

    def test_are_shown_in_the_builder(self) -> None:
        ids = make.make_profiles([{"name": "Anna", "country": "DE"}, {"name": "Ben"}])
        segment_of("some", ids[1:])
        marketer = Client()
        marketer.force_login(make_user("marketer"))
        definition = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}

        def part(name: str, **body: Any) -> str:
            body = {"definition": definition, "segment": "some", **body}
            return marketer.post(
                f"/segments/builder/insight/{name}/",
                body,
                content_type="application/json",
                headers={"X-Asker": "a page"},
            ).content.decode()

        assert "What would change" in marketer.get("/segments/some/edit/").content.decode()
        assert all(word in part("changes") for word in ("would enter", "Anna", "would leave", "Ben"))
        assert "Exact, at the end of each day" in part("trend")
        assert "DE" in part("breakdown", trait="country")
        assert "Nobody of these is in another segment" in part("likeness")
        assert "is no" in part("trend", definition={"type": "traits"})
