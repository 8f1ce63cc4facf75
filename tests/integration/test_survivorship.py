"""Which value of a trait counts: policies, passes over all profiles, and what sources disagree about."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cdp import pipeline
from identity import queries as identities
from identity.merging.operations import undo_merge
from identity.models import Merge
from identity.survivorship import disputes, operations, queries, runs
from identity.survivorship.errors import PolicyError
from identity.survivorship.models import PolicyRun, TraitPolicy
from ingestion import operations as sources
from ingestion.models import Source
from tests.factories.access import make_user
from tests.factories.ingestion import NOW, identify
from tests.integration.conftest import drain_all, rows

Say = Callable[..., None]


@pytest.fixture
def crm(database: None) -> Source:
    return sources.create_source(slug="crm", name="CRM", now=NOW)[0]


@pytest.fixture
def say(accept: Any, source: Source) -> Say:
    """`say("u-1", day, source, city="Rome")`: one identify, drained."""

    def one(who: str, day: int, by: Source = source, **traits: Any) -> None:
        accept(identify(userId=who, traits=traits, timestamp=f"2026-02-{day:02}T10:00:00Z"), source_id=by.pk)
        drain_all(NOW)

    return one


def value(who: str, name: str) -> Any:
    profile_id = identities.lookup(kind="user_id", value=who)
    assert profile_id is not None
    view = identities.get_profile(profile_id=profile_id)
    assert view is not None
    return view.traits.get(name)


def finish(run: PolicyRun) -> PolicyRun:
    while pipeline.decide_traits(run_id=run.pk, now=NOW):
        pass
    run.refresh_from_db()
    return run


def change(rule: str, *by: Source, trait: str = "city") -> PolicyRun:
    return finish(operations.change_policy(trait=trait, rule=rule, sources=[one.pk for one in by], by="eve", now=NOW))


class TestPolicies:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [("newest", "Lyon"), ("oldest", "Rome"), ("frequent", "Oslo"), ("priority", "Oslo")],
    )
    def test_choose_again_from_what_was_said_before(self, say: Say, crm: Source, rule: str, expected: str):
        say("u-1", 1, city="Rome")
        say("u-1", 2, crm, city="Oslo")
        say("u-1", 3, crm, city="Oslo")
        say("u-1", 4, city="Lyon")

        run = change(rule, *([crm] if rule == "priority" else []))

        assert value("u-1", "city") == expected
        assert (run.state, run.looked_at, run.differing) == ("done", 1, int(expected != "Lyon"))

    def test_hold_for_what_comes_afterwards(self, say: Say, source: Source, crm: Source):
        change("priority", crm, source)

        say("u-1", 2, crm, city="Oslo")
        say("u-1", 3, city="Lyon")
        say("u-2", 3, city="Lyon")

        assert (value("u-1", "city"), value("u-2", "city")) == ("Oslo", "Lyon")

    def test_let_the_next_source_speak_where_the_best_says_nothing(self, say: Say, source: Source, crm: Source):
        change("priority", crm, source)
        say("u-1", 1, city="Lyon")
        say("u-1", 2, crm, city="Oslo")

        say("u-1", 3, crm, city=None)

        assert value("u-1", "city") == "Lyon"

    def test_can_be_taken_back(self, say: Say, crm: Source):
        say("u-1", 1, city="Rome")
        say("u-1", 2, crm, city="Oslo")
        change("oldest")

        change("newest")

        assert value("u-1", "city") == "Oslo"
        assert not TraitPolicy.objects.exists()

    def test_note_what_changed_for_segments(self, say: Say, crm: Source):
        say("u-1", 1, city="Rome")
        say("u-1", 2, crm, city="Oslo")
        rows("DELETE FROM change RETURNING 1")

        change("oldest")

        assert rows("SELECT traits FROM change") == [(["city"],)]

    def test_leave_everything_as_it_is_in_a_preview(self, say: Say, crm: Source):
        say("u-1", 1, city="Rome")
        say("u-1", 2, crm, city="Oslo")

        run = finish(operations.preview_policy(trait="city", rule="oldest", by="eve", now=NOW))

        assert run.differing == 1
        assert run.examples[0] | {"profile": 0} == {"profile": 0, "before": "Oslo", "after": "Rome"}
        assert value("u-1", "city") == "Oslo"

    def test_end_a_pass_that_is_still_at_an_earlier_one(self, say: Say):
        say("u-1", 1, city="Rome")
        earlier = operations.change_policy(trait="city", rule="oldest", by="eve", now=NOW)

        change("frequent")

        assert not pipeline.decide_traits(run_id=earlier.pk, now=NOW)
        earlier.refresh_from_db()
        assert earlier.state == "replaced"

    def test_take_many_profiles_batch_by_batch(self, say: Say, crm: Source, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(runs, "BATCH", 2)
        for number in range(5):
            say(f"u-{number}", 1, city="Rome")
            say(f"u-{number}", 2, crm, city="Oslo")

        run = change("oldest")

        assert (run.looked_at, run.differing) == (5, 5)

    def test_hold_for_each_side_when_a_merge_is_taken_back(self, accept: Any, say: Say, source: Source):
        say("u-1", 1, city="Rome")
        say("u-1", 2, city="Lyon")
        accept(identify(userId=None, anonymousId="a-1", traits={"city": "Oslo"}, timestamp="2026-01-01T10:00:00Z"))
        drain_all(NOW)
        accept(identify(userId="u-1", anonymousId="a-1", timestamp="2026-02-09T10:00:00Z"))
        drain_all(NOW)
        change("oldest")
        merged = value("u-1", "city")

        undo_merge(merge_id=Merge.objects.get().pk, now=NOW)

        assert (merged, value("u-1", "city")) == ("Oslo", "Rome")

    @pytest.mark.parametrize(
        ("fields", "code", "path"),
        [
            ({"trait": " "}, "trait_invalid", "/trait"),
            ({"trait": "x" * 201}, "trait_invalid", "/trait"),
            ({"rule": "best"}, "rule_unknown", "/rule"),
            ({"rule": "priority"}, "sources_missing", "/sources"),
            ({"rule": "priority", "sources": [0]}, "source_unknown", "/sources/0"),
        ],
        ids=["blank", "long", "rule", "none", "unknown"],
    )
    def test_refuse_what_makes_no_sense(self, database: None, fields: dict[str, Any], code: str, path: str):
        with pytest.raises(PolicyError) as refusal:
            operations.change_policy(**({"trait": "city", "rule": "oldest", "by": "", "now": NOW} | fields))

        assert (refusal.value.code, refusal.value.path) == (code, path)


class TestTraitViews:
    def test_tell_since_when_and_what_each_source_says(self, say: Say, source: Source, crm: Source):
        say("u-1", 1, city="Oslo")
        say("u-1", 2, crm, city="Rome")
        say("u-1", 3, city="Oslo")
        profile = identities.get_profile(profile_id=identities.lookup(kind="user_id", value="u-1") or 0)
        assert profile is not None

        [city] = queries.traits_of(profile)

        assert (city.value, city.at and city.at.day, city.since and city.since.day) == ("Oslo", 3, 1)
        assert [(one.value, one.source_id, one.agrees) for one in city.said] == [
            ("Oslo", source.pk, True),
            ("Rome", crm.pk, False),
        ]
        assert city.disputed

    def test_list_every_value_that_a_trait_had(self, say: Say):
        say("u-1", 1, city="Oslo")
        say("u-1", 2, city="Rome", plan="pro")
        say("u-1", 3, city="Oslo")
        profile_id = identities.lookup(kind="user_id", value="u-1") or 0

        found = queries.history_of(profile_id=profile_id, trait="city")

        assert [(one.value, one.at.day, one.until and one.until.day) for one in found] == [
            ("Oslo", 3, None),
            ("Rome", 2, 3),
            ("Oslo", 1, 2),
        ]


class TestDisputes:
    def test_are_counted_by_trait_and_pair_of_sources(
        self, say: Say, source: Source, crm: Source, monkeypatch: pytest.MonkeyPatch, client: Client
    ):
        monkeypatch.setattr(disputes, "BATCH", 1)
        say("u-1", 1, city="Rome", plan="pro", only="a")
        say("u-1", 2, crm, city="Oslo", plan="pro")
        say("u-2", 3, city="Lyon")
        say("u-2", 2, crm, city="Lyon")
        scan = disputes.start_scan(now=NOW)

        while disputes.take_step(now=NOW):
            pass

        scan.refresh_from_db()
        assert (scan.looked_at, scan.disputed, scan.finished_at) == (2, 1, NOW)
        [city] = queries.list_disputes()
        assert (city.trait, city.differing, city.compared) == ("city", 1, 2)
        assert city.examples[0]["values"] == ["Rome", "Oslo"]
        client.force_login(make_user("marketer"))
        assert b"Oslo" in client.get("/traits/disputes/").content
        client.force_login(make_user("analyst"))
        assert b"1 of 2" in client.get("/traits/disputes/").content
