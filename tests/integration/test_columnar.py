"""Arrays answer like SQL and like the oracle. Numbers and dates of the worlds are nasty on purpose."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from segments.ast import Condition, Node, Trait, parse
from segments.columnar.ask import covers
from segments.columnar.population import Population
from segments.compile import compile_members
from segments.engine import fetch, load_dictionary, plan_at
from segments.plan import conditions
from segments.references import expand
from tests.factories import segments as make
from tests.integration.test_segment_oracle import Replica
from tests.oracles.segment_worlds import EARLIEST, LATEST, START, World


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(EARLIEST.date(), LATEST.date())


def by_arrays(node: Node, now: datetime) -> set[int]:
    plan, dictionary = plan_at(node, now=now), load_dictionary(node)
    covered = frozenset(one for one in conditions(node) if is_covered(one))
    crowd = Population(plan, dictionary, covered=covered, pause=lambda: None).ask([node])
    return set(crowd.ids[crowd.inside[0]].tolist())


def is_covered(condition: Condition) -> bool:
    packed = {condition.trait.text} if isinstance(condition, Trait) else ()
    return covers(condition, packed)


def by_sql(node: Node, now: datetime) -> set[int]:
    return {row[0] for row in fetch(compile_members(plan_at(node, now=now), load_dictionary(node)))}


def definitions(world: World, replica: Replica, now: datetime) -> Iterator[dict[str, Any]]:
    """Whole ones, and single conditions, of which most are for arrays."""
    yield world.telling_definition(replica.people.values(), now)
    for _ in range(12):
        yield world.event()
    for _ in range(3):
        yield world.trait()


@pytest.mark.django_db
class TestArrays:
    @pytest.mark.parametrize("seed", range(2_000, 2_012))
    def test_answer_like_sql_and_like_the_oracle(self, seed: int, settings: Any) -> None:
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = Replica(world)
        for hours in (-200, 0, 30):
            now = START + timedelta(hours=hours)
            for definition in definitions(world, replica, now):
                node = expand(parse(definition))

                found = by_arrays(node, now)

                assert found == replica.expected(definition, now), f"{definition} at {now}"
                assert found == by_sql(node, now)
