"""Changes of a kind held against stored identifiers: tried, and carried out. R: C1"""

import json
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from activation.people import subjects_of
from consent.subjects import subject_hash
from identity import queries
from identity.kinds import operations
from identity.kinds import queries as kinds
from identity.kinds import run as runs
from identity.kinds.models import KindRun
from tests.factories.ingestion import NOW, identify, message, track
from tests.integration.conftest import at_once, drain_all, rows

GMAIL = {"gmail_dots": True}


def proposed(name: str, **changes: Any) -> Any:
    return replace(kinds.settings_named(name), **changes)


def finish(run: KindRun | None) -> KindRun:
    assert run is not None
    while runs.continue_run(run_id=run.pk, clock=timezone.now):
        pass
    run.refresh_from_db()
    assert run.state == KindRun.State.DONE
    return run


def apply(name: str, **changes: Any) -> KindRun:
    return finish(operations.save_kind(settings=proposed(name, **changes), now=NOW))


def person(user: str | None, mail: str, browser: str | None = None) -> dict[str, Any]:
    return identify(userId=user or ..., anonymousId=browser or ..., traits={"email": mail})


def leads(kind: str, value: str) -> int | None:
    return queries.lookup(kind=kind, value=value)


@pytest.fixture
def people(accept) -> None:
    """Ann twice by dots, without a user id; Bob twice by dots, as two users; Eve with an address that says nothing."""
    accept(
        person(None, "ann@gmail.com", "a-1"),
        person(None, "a.nn@gmail.com", "a-2"),
        person("bob-1", "bob@gmail.com"),
        person("bob-2", "b.ob@gmail.com"),
        person("eve", "test@test.com"),
        person("cid", "c.i.d@gmail.com"),
    )
    drain_all(NOW)


@pytest.mark.usefixtures("people")
class TestDryRun:
    def test_counts_what_a_change_would_do_and_changes_nothing(self):
        before = rows("SELECT * FROM identifier ORDER BY 1, 2")
        settings = proposed("email", options=GMAIL, blocked=("test@test.com",))

        run = finish(operations.try_settings(settings=settings, now=NOW))

        assert (run.total, run.looked_at) == (6, 6)
        assert (run.respelt, run.merged, run.refused, run.blocked, run.profiles) == (3, 1, 1, 1, 1)
        assert run.samples["merged"][0]["spelt"] == "ann@gmail.com"
        assert run.samples["blocked"][0]["reason"] == "blocked"
        assert rows("SELECT * FROM identifier ORDER BY 1, 2") == before
        assert rows("SELECT count(*) FROM identifier_kind_run_value") == [(0,)]

    def test_comes_to_the_same_batch_by_batch(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(runs, "TRY_BATCH", 1)

        run = finish(operations.try_settings(settings=proposed("email", options=GMAIL), now=NOW))

        assert (run.looked_at, run.respelt, run.merged, run.refused) == (6, 3, 1, 1)

    def test_stops_when_told(self):
        run = operations.try_settings(settings=proposed("email", options=GMAIL), now=NOW)
        operations.cancel_run(run=run, now=NOW)

        assert not runs.continue_run(run_id=run.pk, clock=timezone.now)
        run.refresh_from_db()
        assert (run.state, run.looked_at) == ("cancelled", 0)


@pytest.mark.usefixtures("people")
class TestChange:
    @pytest.mark.parametrize("batch", [1, 500])
    def test_spells_merges_and_takes_away(self, batch: int, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(runs, "APPLY_BATCH", batch)
        events = rows("SELECT count(*) FROM event")

        run = apply("email", options=GMAIL, blocked=("test@test.com",))

        assert (run.merged, run.refused, run.blocked, run.profiles) == (1, 1, 1, 1)
        assert leads("anonymous_id", "a-1") == leads("anonymous_id", "a-2") == leads("email", "a.n.n@gmail.com")
        assert leads("user_id", "bob-1") != leads("user_id", "bob-2")
        assert leads("email", "bob@gmail.com") in {leads("user_id", "bob-1"), leads("user_id", "bob-2")}
        assert leads("email", "cid@gmail.com") == leads("user_id", "cid")
        assert queries.get_profile(profile_id=leads("user_id", "eve")).identifiers == {"user_id": ["eve"]}
        assert rows("SELECT count(*) FROM event") == events
        assert rows("SELECT kind, value, profile_id FROM identifier ORDER BY 1, 2") == rows(
            "SELECT kind, value, profile_id FROM profile_identifier ORDER BY 1, 2"
        )

    def test_records_why_profiles_merged(self):
        apply("email", options=GMAIL)

        ((cause, evidence),) = rows("SELECT cause, evidence -> 'identifiers' FROM merge")
        assert (cause, json.loads(evidence)) == (
            "identifier",
            [["email", "a.nn@gmail.com"], ["email", "ann@gmail.com"]],
        )

    def test_is_followed_by_the_messages_that_come_after_it(self, accept):
        apply("email", options=GMAIL)

        accept(track("Bought", userId=..., context={"traits": {"email": "A.N.N@gmail.com"}}))
        drain_all(NOW)

        assert rows("SELECT count(*) FROM event WHERE profile_id = %s", leads("email", "ann@gmail.com")) == [(3,)]

    def test_loses_no_choice_that_consent_has_on_record(self):
        apply("email", options=GMAIL)

        cid = leads("user_id", "cid")
        assert subject_hash("email", "c.i.d@gmail.com") in subjects_of([cid])[cid]

    def test_goes_on_where_a_worker_was_killed(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(runs, "APPLY_BATCH", 2)
        monkeypatch.setattr(runs, "TURN_SECONDS", 0)
        run = operations.save_kind(settings=proposed("email", options=GMAIL), now=NOW)
        assert runs.continue_run(run_id=run.pk, clock=timezone.now)

        waiting = runs.waiting_runs(idle_since=timezone.now())

        assert waiting == [run.pk]
        assert finish(run).respelt == 3

    def test_gives_way_to_a_later_change(self):
        first = operations.save_kind(settings=proposed("email", options=GMAIL), now=NOW)
        apply("email", options={})

        first.refresh_from_db()
        assert first.state == "cancelled"

    def test_runs_beside_workers_that_drain(self, accept):
        for number in range(40):
            accept(person(None, f"p.{number}@gmail.com", f"b-{number}"), person(f"v-{number}", f"p{number}@gmail.com"))
        run = operations.save_kind(settings=proposed("email", options=GMAIL), now=NOW)

        at_once(3, lambda worker: finish(run) if worker == 0 else drain_all(NOW, max_events=7))
        finish(operations.save_kind(settings=proposed("email", options=GMAIL, min_length=2), now=NOW))

        for number in range(40):
            assert leads("anonymous_id", f"b-{number}") == leads("user_id", f"v-{number}")


class TestStatements:
    def test_of_alias_messages_hold_in_the_new_spelling(self, accept):
        accept(message(type="alias", event=..., userId="NEW", previousId="Old"))
        drain_all(NOW)
        apply("user_id", normaliser="casefold")

        accept(track("Seen", userId="OLD"))
        drain_all(NOW)

        assert leads("user_id", "old") == leads("user_id", "new")


class TestAllKindsWithoutSettings:
    def test_change_together(self, accept):
        for kind in ("card", "crm"):
            held = {"id": "x-1", "type": kind, "collection": "users"}
            accept(track("Seen", userId=..., context={"externalIds": [held]}))
        drain_all(NOW)

        run = apply("*", normaliser="alphanumeric")

        assert (run.total, run.respelt) == (2, 2)
        assert rows("SELECT kind, value FROM identifier ORDER BY 1") == [("card", "X1"), ("crm", "X1")]
