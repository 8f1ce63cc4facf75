"""Arrays answer like SQL and like the oracle. Numbers and dates of the worlds are nasty on purpose."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection, transaction

from ingestion.blocks import operations as blocks
from ingestion.blocks.wanted import want
from segments import operations, queries
from segments.ast import Node, parse
from segments.columnar import sequences
from segments.columnar.ask import answers
from segments.columnar.population import Population
from segments.columnar.states import Timed
from segments.compile import compile_members, compile_state
from segments.engine import fetch, load_dictionary, plan_at
from segments.errors import QueryTooSlowError
from segments.insight.changes import moves_of
from segments.insight.people import asked, of_definition
from segments.models import Due, Membership
from segments.plan import conditions
from segments.publishing import Staging
from segments.references import expand
from tests.factories import segments as make
from tests.integration.test_segment_oracle import Replica
from tests.oracles.segment_worlds import EARLIEST, LATEST, START, World

WORLDS = int(os.environ.get("CDP_ORACLE_WORLDS", "40")) // 6
# In that one world more somebody has a date that is due beyond the horizon.
SEEDS = sorted({*range(2_000, 2_000 + WORLDS), 2_009})
ORDER = "Order Completed"
NOW = START


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(EARLIEST.date(), LATEST.date())


def by_arrays(node: Node, now: datetime) -> set[int]:
    plan, dictionary = plan_at(node, now=now), load_dictionary(node)
    covered = frozenset(one for one in conditions(node) if answers(one))
    crowd = Population(plan, dictionary, covered, pause=lambda: None).ask([node])
    return set(crowd.ids[crowd.inside[0]].tolist())


def states_by_arrays(node: Node, now: datetime) -> set[tuple[int, bool, datetime | None]]:
    plan, dictionary = plan_at(node, now=now), load_dictionary(node)
    covered = frozenset(one for one in conditions(node) if answers(one, timed=True))
    states = Timed(plan, dictionary, covered, pause=lambda: None).states()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE told (profile_id bigint, holds boolean, due timestamptz) ON COMMIT DROP"
        )
        states.write("told")
        cursor.execute("SELECT * FROM told")
        found = set(cursor.fetchall())
        cursor.execute("DROP TABLE told")
        return found


def by_sql(node: Node, now: datetime) -> set[int]:
    return {row[0] for row in fetch(compile_members(plan_at(node, now=now), load_dictionary(node)))}


def states_by_sql(node: Node, now: datetime) -> set[tuple[Any, ...]]:
    return set(fetch(compile_state(plan_at(node, now=now), load_dictionary(node))))


def definitions(world: World, replica: Replica, now: datetime) -> Iterator[dict[str, Any]]:
    """Whole ones, and single conditions, of which most are for arrays."""
    yield world.telling_definition(replica.people.values(), now)
    for _ in range(12):
        yield world.event()
    for _ in range(8):
        yield world.sequence()
    for _ in range(3):
        yield world.trait()


@pytest.mark.django_db
class TestArrays:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_answer_like_sql_and_like_the_oracle(
        self, seed: int, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world = World(seed)
        settings.TIME_ZONE = world.zone
        if seed % 2:  # sequences of some people after the other
            monkeypatch.setattr(sequences, "PEOPLE_BITS", 3)
            monkeypatch.setattr(sequences, "AT_ONCE", 9)
            monkeypatch.setattr(sequences, "MOST_EVENTS", 15)
        replica = Replica(world)
        for hours in (-200, 0, 30):
            now = START + timedelta(hours=hours)
            for definition in definitions(world, replica, now):
                node = expand(parse(definition))

                found = by_arrays(node, now)

                assert found == replica.expected(definition, now), f"{definition} at {now}"
                assert found == by_sql(node, now)
                assert states_by_arrays(node, now) == states_by_sql(node, now), f"{definition} at {now}"

    @pytest.mark.parametrize("most", [1, 4, 5, 7, 100])
    def test_follow_sequences_of_more_events_than_are_held(self, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sequences, "PEOPLE_BITS", 1)
        monkeypatch.setattr(sequences, "MOST_EVENTS", most)
        with connection.cursor() as cursor:  # the first part has to be one of those that are left
            cursor.execute("ALTER SEQUENCE profile_id_seq RESTART WITH 1")
        ids = make.make_profiles([{}] * 9)
        did = [(place, name) for name in "ABC" for place in range(8, -1, -1) if name != "C" or not place % 2]
        make.make_events(
            (ids[place], name, NOW - timedelta(hours=60 - number), {}, None, {})
            for number, (place, name) in enumerate(did)
        )
        steps = [{"event": "A"}, {"event": "B"}, {"event": "C"}]

        found = by_arrays(parse({"type": "sequence", "steps": steps}), NOW)

        assert found == set(ids[::2])


@pytest.fixture
def shop(database: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """People with orders, asked by arrays only."""
    settings.SEGMENTS_COLUMNAR_FROM = 0
    for place in ("segments.queries._count", "segments.queries._breakdown", "segments.insight.people.compile_members"):
        monkeypatch.setattr(place, lambda *_: pytest.fail("SQL was asked"))
    make.make_event_name(ORDER, value_property="revenue")
    make.ensure_months(EARLIEST.date(), LATEST.date())
    ids = make.make_profiles([{"country": "DE"}, {"country": "DE"}, {"country": "FR"}, {}])
    orders = ((0, 1, 150, "red"), (0, 2, 50.5, "blue"), (1, 3, 20, "red"), (2, 40, 900, 5))
    make.make_events(
        (
            ids[place],
            ORDER,
            NOW - timedelta(days=day),
            {"revenue": revenue, "color": color, "currency": "EUR"},
            None,
            {},
        )
        for place, day, revenue, color in orders
    )
    want(ORDER, "color")
    blocks.build_all(now=NOW + timedelta(days=2))
    return ids


SPENT = {"type": "event", "event": ORDER, "measure": "sum", "of": "revenue", "op": "gt", "value": 200}
RED = {"type": "event", "event": ORDER, "where": [{"property": "color", "op": "eq", "value": "red"}]}
GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}


class TestPreviews:
    def test_count_and_show_who_is_in(self, shop: list[int]) -> None:
        found = queries.preview(definition=SPENT | {"window": {"last": "7d"}}, as_of=NOW)

        assert (found.count, found.sample_ids) == (1, (shop[0],))
        assert (found.total, found.breakdown) == (None, ())

    def test_count_what_each_condition_leaves(self, shop: list[int]) -> None:
        found = queries.preview(definition={"type": "all", "of": [RED, GERMAN, SPENT]}, as_of=NOW, breakdown=True)

        assert (found.count, found.total) == (1, len(shop))
        assert [(part.alone, part.cumulative) for part in found.breakdown] == [(2, 2), (2, 2), (2, 1)]

    @pytest.mark.parametrize("tied", [{}, {"same": "currency"}], ids=["of arrays", "of SQL"])
    def test_ask_for_a_sequence(self, shop: list[int], monkeypatch: pytest.MonkeyPatch, tied: dict[str, str]) -> None:
        if not tied:
            monkeypatch.setattr("segments.columnar.population.compile_sets", lambda *_: pytest.fail("SQL was asked"))
        twice = {"type": "sequence", "steps": [{"event": ORDER}, {"event": ORDER, **tied}]}
        found = queries.preview(definition={"type": "all", "of": [RED, {"type": "not", "of": twice}]}, as_of=NOW)

        assert found.sample_ids == (shop[1],)

    def test_say_what_to_change_when_they_take_too_long(
        self, shop: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("segments.columnar.ask.time.monotonic", count(step=11).__next__)

        with pytest.raises(QueryTooSlowError, match="Shorten its windows"):
            queries.preview(definition=RED, as_of=NOW)

    def test_tell_what_an_edit_would_change(self, shop: list[int]) -> None:
        segment = operations.create_segment(name="Spenders", definition=SPENT, now=NOW)
        operations.recompute(segment_id=segment.pk, now=NOW)

        with asked():
            moves = moves_of(people=of_definition(RED, as_of=NOW), segment=segment, sample=5)

        assert (moves.entering_ids, moves.leaving_ids, moves.staying) == ((shop[1],), (shop[2],), 1)
        assert (moves.entering, moves.leaving) == (1, 1)

    def test_ask_sql_the_first_time_that_a_property_is_looked_at(
        self, shop: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        where = [{"property": "size", "op": "not_exists"}]
        monkeypatch.setattr("segments.queries._count", lambda *_: (7, ()))
        assert queries.preview(definition=RED | {"where": where}, as_of=NOW).count == 7

        blocks.build_all(now=NOW + timedelta(days=2))

        assert queries.preview(definition=RED | {"where": where}, as_of=NOW).count == 3

    def test_ask_sql_of_few_people(self, shop: list[int], settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        settings.SEGMENTS_COLUMNAR_FROM = 1_000_000
        monkeypatch.setattr("segments.queries._count", lambda *_: (7, ()))

        assert queries.preview(definition=RED, as_of=NOW).count == 7


class TestRecompute:
    def test_takes_members_and_due_times_from_arrays(self, shop: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("segments.publishing.compile_state", lambda *_: pytest.fail("SQL was asked"))
        segment = operations.create_segment(name="Red", definition=RED | {"window": {"last": "7d"}}, now=NOW)

        operations.recompute(segment_id=segment.pk, now=NOW)

        segment.refresh_from_db()
        assert (segment.state, segment.member_count) == ("live", 2)
        assert set(Membership.objects.values_list("profile_id", flat=True)) == {shop[0], shop[1]}
        assert dict(Due.objects.values_list("profile_id", "at")) == {
            shop[0]: NOW + timedelta(days=6),
            shop[1]: NOW + timedelta(days=4),
        }

    def test_asks_again_of_who_changed_after_the_arrays_were_read(
        self, shop: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = operations.create_segment(name="Other", definition=RED, now=NOW)
        operations.recompute(segment_id=other.pk, now=NOW)
        segment = operations.create_segment(name="Germans", definition=RED, now=NOW)
        ask_everybody = Staging.ask_everybody

        def somebody_buys() -> None:
            make.make_event(shop[3], ORDER, NOW, {"revenue": 1, "color": "red"})
            make.note_change(shop[3], events=[ORDER])
            operations.evaluate_changes(now=NOW, limit=10)
            connection.close()

        def meanwhile(staging: Staging, *, now: datetime) -> None:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(somebody_buys).result()
            ask_everybody(staging, now=now)

        monkeypatch.setattr(Staging, "ask_everybody", meanwhile)
        operations.recompute(segment_id=segment.pk, now=NOW)

        members = set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
        assert members == {shop[0], shop[1], shop[3]}
