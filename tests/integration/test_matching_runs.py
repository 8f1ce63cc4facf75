"""Long jobs of matching: the full pass, models, and decisions about many, with one worker at a time."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from identity.candidates import full, jobs, keeping, operations, queue, runs, upsert, versions
from identity.candidates.errors import ModelError
from identity.candidates.households import household_of
from identity.candidates.models import Candidate, MatchKey, MatchModel, MatchRecord, MatchRun, MatchSeenTo
from identity.merging.operations import merge_profiles
from identity.models import Merge, Profile
from identity.queries import lookup
from tests.factories.access import make_user
from tests.factories.ingestion import NOW
from tests.integration.conftest import drain_all
from tests.integration.test_matching_turns import ANNA, ANNA_AGAIN, OTHER, match, person

GIVEN = (
    "Adele",
    "Bruno",
    "Carmen",
    "Derek",
    "Edith",
    "Felipe",
    "Gloria",
    "Henrik",
    "Ingrid",
    "Jerome",
    "Katya",
    "Olivia",
)
FAMILY = ("Abernathy", "Blackwood", "Castellano", "Drummond", "Eisenhower", "Fairweather", "Goldberg", "Ivanov")


def work(now=NOW) -> None:
    while jobs.work(clock=lambda: now):
        pass


def keys() -> list[tuple[int, int]]:
    return sorted(MatchKey.objects.values_list("profile_id", "key"))


def pairs() -> list[tuple[Any, ...]]:
    found = Candidate.objects.order_by("one_id", "other_id")
    return [
        (one.one_id, one.other_id, round(one.score, 6), round(one.value, 6), one.reason, fields_of(one.evidence))
        for one in found
    ]


def fields_of(evidence: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (one["field"], one["level"], round(one["weight"], 4), one["one"], one["other"]) for one in evidence["fields"]
    ]


def constraints() -> list[str]:
    with connection.cursor() as cursor:
        return sorted(
            name
            for name, found in connection.introspection.get_constraints(cursor, "match_key").items()
            if found["index"] or found["primary_key"]
        )


def people(count: int) -> list[dict[str, Any]]:
    """Every third comes twice, with a letter missing in the surname."""
    draw = random.Random(count)
    found = []
    for number in range(count):
        traits = {
            "firstName": draw.choice(GIVEN),
            "lastName": draw.choice(FAMILY) + draw.choice(["", "s", "er", "ton"]),
            "birthday": f"{draw.randint(1940, 2005)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}",
            "address": {"street": f"{draw.randint(1, 90)} {draw.choice(FAMILY)} Road", "city": draw.choice(GIVEN)},
        }
        found.append(person(f"p-{number}", traits))
        if number % 3 == 0:
            found.append(person(f"p-{number}-again", traits | {"lastName": traits["lastName"][:-1]}))
    return found


@pytest.fixture
def actor(database):
    return make_user("engineer")


@pytest.fixture
def matched(accept) -> None:
    accept(person("a-1", ANNA), person("a-2", ANNA_AGAIN), person("a-3", OTHER))
    drain_all(NOW)
    match()


class TestFullPass:
    def test_finds_what_the_queue_lost_and_closes_what_is_stale(self, accept, matched, actor):
        stale = Candidate.objects.create(
            one_id=1, other_id=2_000_000_000, score=9, probability=0.99, found_at=NOW, updated_at=NOW
        )
        Candidate.objects.exclude(pk=stale.pk).delete()
        MatchKey.objects.all().delete()

        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work(NOW + timedelta(minutes=1))

        run = MatchRun.objects.get()
        assert (run.state, run.error) == ("done", "")
        assert run.counts["profiles"] == 3
        assert MatchKey.objects.values("profile_id").distinct().count() == 3
        assert Candidate.objects.get(pk=stale.pk).state == "gone"
        assert Candidate.objects.get(state="waiting").evidence["fields"]

    def test_sees_to_the_queue_without_losing_what_comes_meanwhile(self, accept, actor):
        accept(person("a-1", ANNA), person("a-2", ANNA_AGAIN))
        drain_all(NOW)
        seen = queue.visible()
        queue.note_changed({1})

        queue.drop(seen)

        assert queue.length() == 1

    def test_merges_clusters_where_that_is_switched_on(self, accept, actor):
        accept(person("a-1", ANNA), person("a-2", ANNA_AGAIN), person("a-3", OTHER))
        drain_all(NOW)
        operations.change_settings(actor=None, now=NOW, automatic=True, accept_above=0.9)

        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()
        while operations.merge_due(now=NOW):
            pass

        assert Profile.objects.count() == 2
        assert Merge.objects.get().cause == "match"

    def test_writes_households_apart_from_persons(self, accept, actor):
        home = {"address": ANNA["address"], "lastName": "Fitzgerald"}
        accept(
            person("a-1", ANNA),
            person("a-2", home | {"firstName": "Bertram", "birthday": "1981-01-02"}),
            person("a-3", OTHER),
        )
        drain_all(NOW)
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()

        anna, bertram, diego = (lookup(kind="anonymous_id", value=f"a-{number}") or 0 for number in (1, 2, 3))
        household = household_of(anna)
        assert household is not None
        assert household.members == sorted([anna, bertram])
        assert household_of(diego) is None
        assert Profile.objects.count() == 3

        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()
        assert household_of(bertram) == household

    def test_writes_many_pairs_as_it_writes_few(self, accept, actor, monkeypatch):
        accept(*people(30))
        drain_all(NOW)
        match()
        few = pairs()
        decided = Candidate.objects.order_by("pk")[0]
        Candidate.objects.filter(pk=decided.pk).update(state="rejected")

        monkeypatch.setattr(upsert, "FEW", 0)
        Candidate.objects.filter(pk__gt=decided.pk + 3).delete()
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work(NOW + timedelta(minutes=1))

        assert MatchRun.objects.get().error == ""
        assert len(few) > 5
        assert pairs() == few
        assert set(Candidate.objects.exclude(pk=decided.pk).values_list("state", "updated_at")) == {
            ("waiting", NOW + timedelta(minutes=1))
        }
        decided.refresh_from_db()
        assert decided.state == "rejected"

    def test_is_asked_for_once_however_often(self, actor):
        first = runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)

        assert runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW) == first

    def test_is_asked_for_at_its_hour(self, database):
        operations.change_settings(actor=None, now=NOW, full_pass_hour=3)
        night = datetime(2026, 5, 4, 3, 10, tzinfo=UTC)

        jobs.ask_due(now=night - timedelta(hours=1))
        assert not MatchRun.objects.exists()
        jobs.ask_due(now=night)
        jobs.ask_due(now=night + timedelta(minutes=20))
        assert MatchRun.objects.get().kind == "full"


class TestMakingAllKeysAnew:
    @pytest.fixture(autouse=True)
    def always(self, monkeypatch):
        monkeypatch.setattr(keeping, "ANEW_FROM", 0)
        monkeypatch.setattr(keeping, "ANEW_SHARE", 0.0)

    def test_leaves_what_turns_of_the_queue_leave(self, accept, actor):
        accept(*people(60))
        drain_all(NOW)
        match()
        by_turns = keys()
        MatchKey.objects.filter(key__gt=0).delete()
        MatchKey.objects.create(profile_id=2_000_000_000, key=1)

        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()

        assert MatchRun.objects.get().error == ""
        assert keys() == by_turns
        assert constraints() == ["match_key_by_key", "match_key_pkey"]
        assert not MatchSeenTo.objects.exists()

    def test_keeps_what_turns_write_meanwhile(self, accept, matched, actor, monkeypatch):
        matching_in_memory = full.match_origins

        def match_while_others_arrive(*given: Any, **named: Any) -> Any:
            accept(person("a-3", ANNA | {"firstName": "Bertram"}), person("a-4", OTHER))
            drain_all(NOW)
            match()
            Profile.objects.filter(pk=lookup(kind="anonymous_id", value="a-1")).delete()
            queue.note_changed({gone})
            match()
            return matching_in_memory(*given, **named)

        gone = lookup(kind="anonymous_id", value="a-1") or 0
        monkeypatch.setattr(full, "match_origins", match_while_others_arrive)
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()
        beside = keys()

        monkeypatch.undo()
        MatchKey.objects.all().delete()
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()
        assert beside == keys()
        assert {profile for profile, _ in beside} == set(Profile.objects.values_list("pk", flat=True))

    def test_leaves_everything_as_it_was_where_the_pass_fails(self, matched, actor, monkeypatch):
        def fail(*_: Any, **__: Any) -> None:
            raise ValueError("no such luck")

        before = keys()
        monkeypatch.setattr(full, "match_origins", fail)
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()

        assert MatchRun.objects.get().error == "no such luck"
        assert keys() == before
        assert not MatchSeenTo.objects.exists()
        assert "match_key_anew" not in connection.introspection.table_names()

    def test_waits_for_who_reads_the_old_ones(self, matched, actor, monkeypatch):
        monkeypatch.setattr(keeping, "SECONDS_APART", 0.01)
        monkeypatch.setattr(keeping, "LOCK_TIMEOUT", "50ms")
        before = keys()
        reader = connection.copy()
        with reader.cursor() as cursor:
            cursor.execute("BEGIN; SELECT count(*) FROM match_key")
        threading.Timer(0.4, reader.connection.close).start()
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()

        assert MatchRun.objects.get().error == ""
        assert keys() == before


class TestKeysThatDiffer:
    def test_are_written_where_few_do(self, accept, actor):
        accept(*people(30))
        drain_all(NOW)
        match()
        before = keys()
        last = Profile.objects.order_by("-pk").values_list("pk", flat=True)[0]
        MatchKey.objects.filter(pk__in=before[::7]).delete()
        MatchKey.objects.create(profile_id=last, key=1)

        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        work()

        assert keys() == before


class TestRuns:
    def test_a_failing_job_says_why_and_lets_others_pass(self, actor):
        def fail(_run: MatchRun, _progress: runs.Progress) -> None:
            raise ValueError("no such luck")

        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        assert runs.work({"full": fail}, clock=lambda: NOW)

        run = MatchRun.objects.get()
        assert (run.state, run.error) == ("failed", "no such luck")

    def test_two_are_never_at_it_at_once(self, actor):
        runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        other = connection.copy()
        try:
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [runs.LOCK])
            assert not jobs.work(clock=lambda: NOW)
        finally:
            other.close()
        deadline = time.monotonic() + 10
        while not jobs.work(clock=lambda: NOW) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert MatchRun.objects.get().state == "done"

    def test_one_whose_worker_was_killed_is_begun_again(self, matched, actor):
        run = runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        worker = subprocess.Popen([sys.executable, "-c", HANG], env=os.environ | {"RUN_DATABASE": _database()})
        deadline = time.monotonic() + 60
        while MatchRun.objects.get(pk=run.pk).state != "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not jobs.work(clock=lambda: NOW)

        worker.send_signal(signal.SIGKILL)
        worker.wait()
        while not jobs.work(clock=lambda: NOW) and time.monotonic() < deadline:
            time.sleep(0.05)

        run.refresh_from_db()
        assert (run.state, run.attempts) == ("done", 2)

    def test_one_that_kills_its_workers_is_given_up(self, actor):
        run = runs.ask(MatchRun.Kind.FULL, actor=actor, now=NOW)
        MatchRun.objects.update(state="running", attempts=runs.ATTEMPTS)

        work()

        run.refresh_from_db()
        assert run.state == "failed"


HANG = """
import os, time, django
django.setup()
from django.conf import settings
from django.utils import timezone
settings.DATABASES["default"]["NAME"] = os.environ["RUN_DATABASE"]
from identity.candidates import runs
runs.work({"full": lambda run, progress: time.sleep(120)}, clock=timezone.now)
"""


def _database() -> str:
    return str(connection.settings_dict["NAME"])


class TestAcceptAbove:
    def test_merges_all_that_are_sure_enough_and_takes_all_back(self, accept, matched, actor):
        batch = operations.accept_above(threshold=0.9, actor=actor, now=NOW)
        work()

        batch.refresh_from_db()
        assert (batch.state, batch.counts) == ("done", {"accepted": 1, "left": 0})
        assert Profile.objects.count() == 2

        operations.undo_batch(run=batch, actor=actor, now=NOW)
        work()

        assert Profile.objects.count() == 3
        assert Candidate.objects.get().state == "waiting"

    def test_leaves_what_may_not_merge(self, matched, actor):
        pair = Candidate.objects.get()
        merge_profiles(one=pair.one_id, other=pair.other_id, cause=Merge.Cause.PERSON, evidence={}, now=NOW)

        batch = operations.accept_above(threshold=0.9, actor=actor, now=NOW)
        work()

        batch.refresh_from_db()
        pair.refresh_from_db()
        assert batch.counts == {"accepted": 0, "left": 1}
        assert (pair.state, pair.refusal) == ("refused", "same_profile")


class TestVersions:
    @pytest.fixture
    def draft(self, accept, actor, monkeypatch) -> MatchModel:
        monkeypatch.setattr(versions, "ESTIMATE_FROM", 60)
        accept(*people(90))
        drain_all(NOW)
        match()
        versions.estimate(actor=actor, now=NOW)
        work()
        return MatchModel.objects.get()

    def test_a_draft_is_previewed_switched_on_and_rolled_back(self, draft, actor):
        assert (draft.state, draft.summary["profiles"]) == ("draft", 120)
        with pytest.raises(ModelError) as refused:
            versions.switch_on(model=draft, actor=actor, now=NOW)
        assert refused.value.code == "not_previewed"

        versions.preview(model=draft, actor=actor, now=NOW)
        work()
        seen = versions.last_preview(draft)
        assert seen is not None
        assert seen.counts.keys() >= {"gained", "lost", "kept", "gained_samples", "lost_samples"}

        versions.switch_on(model=draft, actor=actor, now=NOW)
        work(NOW + timedelta(minutes=1))
        draft.refresh_from_db()
        assert draft.state == "live"
        assert set(Candidate.objects.filter(state="waiting").values_list("model_id", flat=True)) == {draft.pk}

        versions.roll_back(actor=actor, now=NOW)
        work(NOW + timedelta(minutes=2))
        draft.refresh_from_db()
        assert draft.state == "retired"
        assert set(Candidate.objects.filter(state="waiting").values_list("model_id", flat=True)) == {None}

    def test_too_few_profiles_are_not_estimated_from(self, actor):
        with pytest.raises(ModelError) as refused:
            versions.estimate(actor=actor, now=timezone.now())

        assert refused.value.code == "too_few_profiles"


def test_records_of_erased_profiles_go_with_them(matched):
    gone = Candidate.objects.get().one_id
    Profile.objects.filter(pk=gone).delete()
    queue.note_changed({gone})
    match()

    assert not MatchRecord.objects.filter(profile_id=gone).exists()
    assert not MatchKey.objects.filter(profile_id=gone).exists()
    assert Candidate.objects.get().state == "gone"
