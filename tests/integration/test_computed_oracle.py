"""Computed traits against the slow oracle, on seeded random worlds: of everybody, by change and by time. R: D3"""

import json
import os
from datetime import datetime
from typing import Any

import pytest

from identity.models import Profile
from segments import operations
from segments.computed import evaluate, passes
from segments.computed.definition import Take
from segments.computed.models import ComputedPass, ComputedTrait, ComputedValue
from segments.computed.operations import create_computed, update_computed
from segments.models import Due, Membership
from tests.factories import segments as make
from tests.integration.test_segment_oracle import Replica
from tests.oracles import computed as oracle
from tests.oracles import segments as segment_oracle
from tests.oracles.segment_worlds import EARLIEST, LATEST, SINGLE_PATHS, World

SEEDS = range(2_000, 2_000 + int(os.environ.get("CDP_ORACLE_WORLDS", "12")))  # `make oracle` tries many more
TRAITS = 6
STEPS = 7
TIERS = {"kind": "tiers", "trait": "c0", "tiers": [{"from": 2, "label": "high"}, {"from": 0, "label": "low"}]}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months(EARLIEST.date(), LATEST.date())


class ComputedReplica(Replica):
    """Replica with computed traits beside it, some of them half computed for a while."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.definitions: dict[str, dict[str, Any]] = {}
        numeric = self.random_measure(("count", "sum", "days"))
        for place in range(TRAITS):
            self.add_trait(f"c{place}", numeric if place == 0 else self.random_definition())
        self.add_trait("tiered", TIERS | ({"otherwise": "none"} if world.random.random() < 0.5 else {}))
        self.add_segment({"type": "trait", "trait": "tiered", "op": "eq", "value": "high"})
        self.add_segment({"type": "trait", "trait": "c1", "op": "exists"})

    def add_trait(self, name: str, definition: dict[str, Any]) -> None:
        trait = create_computed(name=name, definition=definition, now=self.now)
        while passes.take_step(trait_id=trait.pk, now=self.now):
            pass
        self.definitions[name] = definition

    # --- Definitions --------------------------------------------------------------------------------------------

    def random_definition(self) -> dict[str, Any]:
        kind = self.world.random.random()
        if kind < 0.15:
            return {"kind": "rfm", "of": "revenue", **self.events()}
        if kind < 0.3:
            new, active, dormant = self.world.random.choice(
                (("1s", "90s", "1h"), ("1h", "2d", "7d"), ("24h", "24h", "30d"), ("7d", "1w", "30d"))
            )
            found = {"kind": "lifecycle", "new": new, "active": active, "dormant": dormant, **self.events()}
            found.pop("window", None)
            return found
        return self.random_measure(tuple(Take))

    def random_measure(self, takes: tuple[str, ...]) -> dict[str, Any]:
        take = self.world.random.choice(takes)
        found = {"kind": "measure", "measure": str(take), **self.events()}
        match take:
            case "sum" | "avg" | "min" | "max":
                found["of"] = self.world.random.choice(("revenue", "revenue", "products[].price", "a.b.c"))
            case "distinct" | "most_frequent":
                found["of"] = self.world.random.choice(("color", "products[].category", "tags[]", "revenue"))
            case "first" | "last":
                found["of"] = self.world.somewhere(self.world.random.choice(SINGLE_PATHS))
        return found

    def events(self) -> dict[str, Any]:
        node = self.world.event()
        return {key: node[key] for key in ("event", "where", "window") if key in node}

    # --- What can happen ----------------------------------------------------------------------------------------

    def step(self) -> None:
        self.world.random.choice(
            (self.let_time_pass, self.let_time_pass, self.let_time_pass, self.new_events, self.new_events,
             self.new_traits, self.new_person, self.merge, self.redefine, self.go_on)
        )()  # fmt: skip

    def next_due(self) -> datetime | None:
        values = ComputedValue.objects.filter(due__isnull=False).order_by("due").values_list("due", flat=True)
        segments = Due.objects.order_by("at").values_list("at", flat=True)
        return min((found for rows in (values, segments) if (found := rows.first())), default=None)

    def redefine(self) -> None:
        """Begin another version, or do all of it at once; what happens until it is done must not be lost."""
        name = self.world.random.choice([name for name in self.definitions if name != "tiered"][1:])
        trait = ComputedTrait.objects.get(name=name)
        definition = self.random_definition()
        update_computed(trait_id=trait.pk, definition=definition, now=self.now)
        for _ in range(self.world.random.choice((1, 2, 3, 20))):
            passes.take_step(trait_id=trait.pk, now=self.now)
        self.evaluate()

    def go_on(self) -> None:
        for found in ComputedPass.objects.all():
            while passes.take_step(trait_id=found.trait_id, now=self.now):
                pass
        self.evaluate()

    def new_traits(self) -> None:
        profile_id = self.anybody()
        before, after = self.people[profile_id].traits, self.world.properties()
        self.people[profile_id].traits = after
        computed = {key: value for key, value in stored(profile_id).items() if key in self.definitions}
        make.set_traits(profile_id, after | computed)
        make.note_change(profile_id, traits=before.keys() | after.keys())
        self.evaluate()

    def evaluate(self) -> None:
        operations.evaluate_changes(now=self.now, limit=1_000)
        for _ in range(50):
            if not ComputedValue.objects.filter(due__lte=self.now).exists():
                break
            evaluate.wake(now=self.now, limit=1_000)
            operations.evaluate_changes(now=self.now, limit=1_000)
        super().evaluate()

    # --- What has to be true ------------------------------------------------------------------------------------

    def check(self, story: str) -> None:
        for trait in ComputedTrait.objects.order_by("pk"):
            assert trait.state in {"live", "computing"}, f"{story}: {trait.error}"
            if trait.name != "tiered":
                self.definitions[trait.name] = trait.live_definition
            for profile_id, person in self.people.items():
                told = person.traits | {"c0": stored(profile_id).get("c0")} if trait.name == "tiered" else {}
                who = segment_oracle.Person(told, person.events)
                expected = oracle.value_of(
                    self.definitions[trait.name], who, self.now, self.world.zone, bounds=trait.live_bounds
                )
                found = stored(profile_id).get(trait.name)
                assert oracle.agrees(expected, found), (
                    f"{story} at {self.now} in {self.world.zone}: {profile_id} has {found!r} and not {expected!r}"
                    f" of {trait.live_definition}"
                )
        for slug, holds in (
            ("random", lambda traits: traits.get("tiered") == "high"),
            ("random-2", lambda t: "c1" in t),
        ):
            members = set(Membership.objects.filter(segment__slug=slug).values_list("profile_id", flat=True))
            assert members == {id_ for id_ in self.people if holds(stored(id_))}, f"{story}: {slug}"


def stored(profile_id: int) -> dict[str, Any]:
    found = Profile.objects.values_list("traits", flat=True).get(pk=profile_id)
    return json.loads(found) if isinstance(found, str) else found


@pytest.mark.django_db
class TestAgainstTheOracle:
    @pytest.mark.parametrize("seed", SEEDS)
    def test_values_are_right_at_every_instant(self, seed: int, settings: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(passes, "BATCH", 5)
        world = World(seed)
        settings.TIME_ZONE = world.zone
        replica = ComputedReplica(world)
        replica.check("computed for everybody")

        for number in range(STEPS):
            replica.step()
            replica.check(f"step {number}")
