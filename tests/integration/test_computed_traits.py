"""Computed traits: kept by change and time, reserved, undone with merges, ordered, paused, deleted. R: D3, D5"""

from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from identity.merging import operations as merging
from identity.models import Profile
from identity.operations import write_traits
from identity.survivorship.errors import PolicyError
from identity.survivorship.operations import change_policy
from identity.traits import TraitUpdate
from ingestion.trace import left_out
from segments import operations as segments
from segments.ast import DefinitionError
from segments.computed import evaluate, passes, queries
from segments.computed.errors import ComputedTraitInUseError, NameTakenError
from segments.computed.models import ComputedPass, ComputedTrait, ComputedValue
from segments.computed.operations import (
    create_computed,
    delete_computed,
    estimate_due,
    pause,
    resume,
    update_computed,
)
from segments.models import Change, Membership
from tests.factories import segments as make
from tests.factories.ingestion import NOW, SourceFactory

pytestmark = pytest.mark.django_db

ORDER = "Order Completed"
DAY = timedelta(days=1)
SPENT = {"kind": "measure", "event": ORDER, "measure": "sum", "of": "revenue", "window": {"last": "30d"}}
STAGE = {"kind": "lifecycle", "event": ORDER, "new": "10d", "active": "20d", "dormant": "30d"}
TIERS = {"kind": "tiers", "trait": "spent", "tiers": [{"from": 100, "label": "Gold"}], "otherwise": "Bronze"}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - 70 * DAY).date(), (NOW + 40 * DAY).date())


def order(profile_id: int, revenue: float, ts: datetime = NOW, **properties: Any) -> None:
    make.make_event(profile_id, ORDER, ts, {"revenue": revenue} | properties)
    make.note_change(profile_id, events=[ORDER])


def computed(name: str, definition: dict[str, Any], now: datetime = NOW) -> ComputedTrait:
    trait = create_computed(name=name, definition=definition, now=now)
    finish(trait, now)
    trait.refresh_from_db()
    return trait


def finish(trait: ComputedTrait, now: datetime = NOW) -> None:
    while passes.take_step(trait_id=trait.pk, now=now):
        pass


def settle(now: datetime = NOW) -> None:
    while evaluate.wake(now=now, limit=100):
        pass
    while Change.objects.exists():
        segments.evaluate_changes(now=now)
    segments.wake_due(now=now)


def traits(profile_id: int) -> dict[str, Any]:
    found: dict[str, Any] = Profile.objects.get(pk=profile_id).traits
    return found


@pytest.fixture
def anna() -> int:
    return make.make_profile({"country": "DE"})


class TestKeeping:
    def test_computes_everybody_and_then_follows_events(self, anna: int) -> None:
        order(anna, 50, NOW - DAY)
        trait = computed("spent", SPENT)
        assert traits(anna) == {"country": "DE", "spent": 50}

        order(anna, 70)
        settle()

        assert traits(anna)["spent"] == 120
        assert (trait.state, trait.live_version, trait.holders) == ("live", 1, 1)
        assert Profile.objects.get(pk=anna).provenance["spent"][1:] == [0, 0]

    def test_slides_with_the_window_at_the_instant(self, anna: int) -> None:
        order(anna, 50, NOW - DAY)
        computed("spent", SPENT)
        last = NOW + 29 * DAY - timedelta(microseconds=1)

        settle(last)
        assert traits(anna)["spent"] == 50
        settle(NOW + 29 * DAY)

        assert "spent" not in traits(anna)

    def test_moves_people_through_the_stages_by_time_alone(self, anna: int) -> None:
        order(anna, 50, NOW)
        computed("stage", STAGE)

        seen = []
        for days in (0, 9, 10, 19, 20, 29, 30):
            settle(NOW + days * DAY)
            seen.append(traits(anna)["stage"])

        assert seen == ["new", "new", "active", "active", "dormant", "dormant", "churned"]

    def test_segments_follow_in_the_same_turn(self, anna: int) -> None:
        computed("spent", SPENT)
        rich = segments.create_segment(
            name="Rich", definition={"type": "trait", "trait": "spent", "op": "gte", "value": 100}, now=NOW
        )
        segments.recompute(segment_id=rich.pk, now=NOW)

        order(anna, 150)
        segments.evaluate_changes(now=NOW)

        assert set(Membership.objects.values_list("profile_id", flat=True)) == {anna}

    def test_a_trait_that_reads_another_follows_it(self, anna: int) -> None:
        order(anna, 50)
        computed("spent", SPENT)
        computed("tier", TIERS)
        assert traits(anna)["tier"] == "Bronze"

        order(anna, 60)
        settle()
        assert traits(anna)["tier"] == "Gold"
        settle(NOW + 30 * DAY)

        assert "tier" not in traits(anna)

    def test_writes_only_what_is_another_now(self, anna: int) -> None:
        order(anna, 50)
        computed("spent", SPENT)
        settle()
        before = Profile.objects.get(pk=anna).updated_at

        order(anna, 0)
        segments.evaluate_changes(now=NOW + DAY)

        assert Profile.objects.get(pk=anna).updated_at == before

    def test_favours_the_newest_of_what_came_equally_often(self, anna: int) -> None:
        order(anna, 1, NOW - 2 * DAY, products=[{"category": "tea"}, {"category": "tea"}])
        order(anna, 1, NOW - DAY, products=[{"category": "milk"}])
        most = {"kind": "measure", "event": ORDER, "measure": "most_frequent", "of": "products[].category"}
        computed("favourite", most)
        assert traits(anna)["favourite"] == "tea"

        order(anna, 1, NOW, products=[{"category": "milk"}])
        settle()

        assert traits(anna)["favourite"] == "milk"


class TestScores:
    def test_scores_by_the_quintiles_of_everybody(self) -> None:
        people = make.make_profiles([{} for _ in range(10)])
        for place, person in enumerate(people):
            for number in range(place + 1):
                order(person, 10, NOW - (10 - place) * DAY - timedelta(hours=number))

        trait = computed("rfm", {"kind": "rfm", "event": ORDER, "of": "revenue"})

        scores = [traits(person)["rfm"]["score"] for person in people]
        assert scores == ["111", "111", "222", "222", "333", "333", "444", "444", "555", "555"]
        assert trait.live_bounds["frequency"] == [2, 4, 6, 8]

        settle(NOW + 10 * DAY)
        assert traits(people[-1])["rfm"]["recency"] == 1

    def test_bounds_are_estimated_again_after_a_day(self, anna: int) -> None:
        order(anna, 10)
        trait = computed("rfm", {"kind": "rfm", "event": ORDER, "of": "revenue"})

        assert estimate_due(now=NOW + DAY / 2) == []
        assert estimate_due(now=NOW + DAY) == [trait.pk]

        finish(trait, NOW + DAY)
        trait.refresh_from_db()
        assert (trait.live_version, trait.state) == (2, "live")


class TestEditing:
    def test_the_old_values_stay_until_the_new_ones_are_ready(self, anna: int) -> None:
        order(anna, 50)
        trait = computed("spent", SPENT)
        ben = make.make_profile()

        update_computed(trait_id=trait.pk, definition=SPENT | {"measure": "max"}, now=NOW)
        passes.take_step(trait_id=trait.pk, now=NOW)
        passes.take_step(trait_id=trait.pk, now=NOW)
        order(anna, 60)
        order(ben, 7)
        settle()
        assert (traits(anna)["spent"], traits(ben)["spent"]) == (110, 7)
        finish(trait)

        assert (traits(anna)["spent"], traits(ben)["spent"]) == (60, 7)
        assert set(ComputedValue.objects.values_list("version", flat=True)) == {2}

    def test_a_lost_pass_is_taken_up_where_it_was(self, anna: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passes, "BATCH", 1)
        for person in (anna, *make.make_profiles([{}, {}])):
            order(person, 5)
        trait = create_computed(name="spent", definition=SPENT, now=NOW)
        for _ in range(3):
            passes.take_step(trait_id=trait.pk, now=NOW)

        assert passes.waiting(idle_since=NOW) == []
        assert passes.waiting(idle_since=NOW + DAY) == [trait.pk]
        assert 0 < ComputedPass.objects.get().progress < 1
        finish(trait)

        assert Profile.objects.filter(traits__spent=5).count() == 3

    def test_pausing_leaves_the_values_and_resuming_computes_anew(self, anna: int) -> None:
        order(anna, 50)
        trait = computed("spent", SPENT)
        pause(trait_id=trait.pk, now=NOW)

        order(anna, 60)
        settle()
        assert traits(anna)["spent"] == 50
        resume(trait_id=trait.pk, now=NOW)
        finish(trait)

        assert traits(anna)["spent"] == 110

    def test_deleting_takes_the_trait_away_unless_it_is_read(self, anna: int) -> None:
        order(anna, 50)
        trait, tier = computed("spent", SPENT), computed("tier", TIERS)

        with pytest.raises(ComputedTraitInUseError, match="Tier"):
            delete_computed(trait_id=trait.pk, now=NOW)
        delete_computed(trait_id=tier.pk, now=NOW)
        delete_computed(trait_id=trait.pk, now=NOW)

        assert traits(anna) == {"country": "DE"}
        assert not ComputedValue.objects.exists()

    def test_refuses_a_circle(self) -> None:
        computed("a", {"kind": "tiers", "trait": "b", "tiers": [{"from": 1, "label": "x"}]})

        with pytest.raises(DefinitionError) as caught:
            computed("b", {"kind": "tiers", "trait": "a", "tiers": [{"from": 1, "label": "x"}]})

        assert caught.value.code == "trait_cycle"


class TestSlow:
    """Each person takes a while, and a statement is given 0.4 seconds."""

    @pytest.fixture(autouse=True)
    def _slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evaluate, "EVALUATE_SECONDS", 0.4)

    def sleep(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            evaluate, "_ASK", f"{evaluate._ASK} CROSS JOIN LATERAL (SELECT pg_sleep({seconds}) WHERE i.id > 0) AS s"
        )

    def test_people_are_asked_in_halves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for profile_id in make.make_profiles([{} for _ in range(40)]):
            make.make_event(profile_id, ORDER, NOW, {"revenue": 5})
        self.sleep(0.02, monkeypatch)

        trait = computed("spent", SPENT)

        assert (trait.state, trait.holders) == (ComputedTrait.State.LIVE, 40)

    def test_it_fails_where_few_take_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make.make_profiles([{} for _ in range(12)])
        self.sleep(0.1, monkeypatch)

        trait = computed("spent", SPENT)

        assert trait.state == ComputedTrait.State.FAILED
        assert "Shorten its windows" in trait.error


class TestItsName:
    def test_no_message_overwrites_it(self, anna: int) -> None:
        order(anna, 50)
        computed("spent", SPENT)

        changed = write_traits([TraitUpdate(anna, 10**15, 1, 0, {"spent": 1, "city": "Berlin"})], now=NOW).changed

        assert changed == {anna: {"city"}}
        assert traits(anna) == {"country": "DE", "spent": 50, "city": "Berlin"}

    def test_counts_and_shows_what_sources_say_of_it(self, anna: int) -> None:
        computed("spent", SPENT)
        SourceFactory(id=7)
        told = [TraitUpdate(anna, at, 7, 0, {"spent": at, "city": "Berlin"}) for at in (1, 2)]

        write_traits(told, now=NOW)
        write_traits(told[:1], now=NOW)

        assert left_out.by_trait(source_id=7, since=NOW - DAY) == {"spent": 3}
        assert left_out.by_source(trait="spent", since=NOW - DAY) == {7: 3}
        assert not left_out.by_trait(source_id=7, since=NOW + DAY)

    def test_must_not_be_a_trait_that_sources_tell(self, anna: int) -> None:
        with pytest.raises(NameTakenError):
            computed("country", SPENT)

    def test_has_no_policy_of_survivorship(self) -> None:
        computed("spent", SPENT)

        with pytest.raises(PolicyError, match="computed"):
            change_policy(trait="spent", rule="oldest", by="", now=NOW)


class TestMerges:
    def test_is_computed_anew_after_a_merge_and_its_undoing(self, anna: int) -> None:
        ben = make.make_profile()
        order(anna, 50)
        order(ben, 7)
        computed("spent", SPENT)

        merge = merging.merge_profiles(one=anna, other=ben, cause="person", evidence={}, now=NOW)
        settle()
        assert traits(anna)["spent"] == 57
        merging.undo_merge(merge_id=merge.id, now=NOW)
        settle()

        assert (traits(anna)["spent"], traits(ben)["spent"]) == (50, 7)


class TestPreview:
    def test_shows_how_values_would_be_spread(self) -> None:
        people = make.make_profiles([{} for _ in range(4)])
        for place, person in enumerate(people[1:]):
            order(person, 10 * place)

        found = queries.preview(definition=SPENT, now=NOW)

        assert (found.asked, found.having) == (4, 3)
        assert sum(found.spread.series[0][1]) == 3
        assert [value for _, value in found.sample] == [20, 10, 0]
        assert found.sentence == "Sum of revenue of Order Completed in the last 30 days"


class TestApi:
    @pytest.fixture
    def writer(self) -> APIClient:
        _, token = ApiToken.issue(name="test", scopes=["segments:read", "segments:write", "pii:read"])
        made = APIClient()
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return made

    def test_creates_reads_changes_and_deletes(self, writer: APIClient, anna: int) -> None:
        order(anna, 50)
        url = "/api/v1/computed-traits/"

        made = writer.post(url, {"name": "spent", "definition": SPENT})
        finish(ComputedTrait.objects.get())
        read = writer.get(f"{url}spent/").json()
        spread = writer.get(f"{url}spent/distribution/").json()
        bought = {"kind": "measure", "event": ORDER, "measure": "count"}
        preview = writer.post(f"{url}preview/", {"definition": bought}).json()
        paused = writer.post(f"{url}spent/pause/")
        resumed = writer.post(f"{url}spent/resume/")
        changed = writer.patch(f"{url}spent/", {"label": "Spent"})
        gone = writer.delete(f"{url}spent/")

        assert (made.status_code, made.json()["state"]) == (201, "computing")
        assert (read["state"], read["holders"], read["progress"]) == ("live", 1, None)
        assert spread == {"labels": ["50"], "series": [{"name": "People", "data": [1]}], "having": 1}
        assert preview["sample"] == [{"profile": anna, "value": 1}]
        assert (paused.json()["state"], resumed.status_code, changed.json()["label"]) == ("paused", 202, "Spent")
        assert gone.status_code == 204

    @pytest.mark.parametrize(
        ("change", "code", "path"),
        [
            ({"name": "Total Spend"}, "invalid_name", "/name"),
            ({"definition": SPENT | {"kind": "x"}}, "unknown_kind", "/kind"),
            ({"definition": SPENT | {"measure": "x"}}, "unknown_measure", "/measure"),
            ({"definition": SPENT | {"of": None}}, "missing_key", "/of"),
            ({"definition": SPENT | {"window": {"last": "x"}}}, "invalid_duration", "/window/last"),
            ({"definition": STAGE | {"dormant": "1d"}}, "wrong_order", "/active"),
            ({"definition": STAGE | {"event": ""}}, "missing_key", "/event"),
            ({"definition": TIERS | {"tiers": [{"from": "a", "label": "b"}]}}, "wrong_value_type", "/tiers/0/from"),
        ],
    )
    def test_says_what_is_wrong(self, writer: APIClient, change: Any, code: str, path: str) -> None:
        answer = writer.post("/api/v1/computed-traits/", {"name": "spent", "definition": SPENT} | change)

        assert answer.status_code == 400, answer.json()
        assert (answer.json()["code"], answer.json()["path"]) == (code, path)
