"""Traits of everybody as columns: whatever happens, they are what the rows of profiles say. R: D3"""

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import identity.operations
from identity.columns import dictionary, queries
from identity.columns.build import Limits, build_all, take_step
from identity.columns.models import TraitBlock, TraitColumn, TraitNote
from identity.columns.packing import PATCH, SIZE
from identity.columns.queries import read_profiles, read_trait, read_traits
from identity.columns.wanted import packed_traits, want_trait
from identity.merging import operations as merging
from identity.merging.errors import MergeRefusedError
from identity.models import Merge
from ingestion import operations
from tests.factories.ingestion import NOW, SourceFactory, batch_body, identify
from tests.factories.segments import make_profile, make_profiles, set_traits
from tests.integration.conftest import drain_all, rows, wipe

EAGER = Limits(smallest=0, noted=1, notes=1)
"""Folds whatever is noted."""
HASTY = Limits(smallest=0, noted=1, notes=1, patched=0)
"""Takes it into the blocks, too."""


@contextmanager
def snapshot():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def held(path: str) -> dict[int, Any]:
    """By profile, what the column holds."""
    column = read_trait(path)
    assert column.profiles.tolist() == read_profiles().tolist()
    return {
        id_: column.values[code]
        for id_, code in zip(column.profiles.tolist(), column.codes.tolist(), strict=True)
        if code >= 0
    }


def said(path: str) -> dict[int, Any]:
    """The same of the rows."""
    steps = path.split(".")
    found = rows("SELECT id, (traits #> %s)::text FROM profile", [steps])
    return {id_: json.loads(text) for id_, text in found if text is not None}


def assert_columns_are_right(*paths: str) -> None:
    assert read_profiles().tolist() == [id_ for (id_,) in rows("SELECT id FROM profile ORDER BY id")]
    for path in paths:
        assert held(path) == said(path), path


def want(*paths: str) -> None:
    for path in paths:
        want_trait(path)
    build_all(now=NOW)
    assert packed_traits(paths) == set(paths)


@pytest.mark.django_db
class TestReadTrait:
    @pytest.fixture(autouse=True, params=["of rows", "packed", "noted"])
    def way(self, request):
        self.pack = lambda: want("seen", "address.city", "plan", "age") if request.param == "packed" else None
        if request.param == "noted":
            make_profile()
            want("seen", "address.city", "plan", "age")

    def test_gives_every_kind_of_value(self):
        kinds = ["a, b", 1, 1.5, True, None, ["x", {"y": 2}], "line\nbreak", {"a": {}}, -0.25, 10**30]
        ids = make_profiles([{"seen": value} for value in kinds])
        make_profile({})
        self.pack()

        found = held("seen")

        assert [found[id_] for id_ in ids] == kinds
        assert len(found) == len(ids)

    def test_follows_a_dotted_path(self):
        inside = make_profile({"address": {"city": "Bonn"}})
        make_profile({"address": "Bonn", "city": "Bonn"})
        self.pack()

        assert held("address.city") == {inside: "Bonn"}

    def test_keeps_numbers_that_no_float_holds(self):
        one = make_profile()
        with connection.cursor() as cursor:
            cursor.execute("""UPDATE profile SET traits = '{"seen": 0.12345678901234567890}' WHERE id = %s""", [one])
        self.pack()

        assert held("seen") == {one: Decimal("0.12345678901234567890")}

    def test_refuses_a_path_through_a_list(self):
        with pytest.raises(ValueError, match="no path"):
            read_trait("products[].name")
        with pytest.raises(ValueError, match="no path"):
            want_trait("products[].name")

    def test_reads_several_at_once(self):
        one = make_profile({"plan": "pro", "age": 31})
        self.pack()

        columns = read_traits(["plan", "age"])

        place = columns["plan"].profiles.tolist().index(one)
        assert {path: column.values[column.codes[place]] for path, column in columns.items()} == {
            "plan": "pro",
            "age": 31,
        }


@pytest.mark.django_db
class TestPacking:
    def test_begins_where_rows_would_take_longer(self):
        want_trait("plan")
        make_profiles([{"plan": "pro"}] * 3)

        assert not take_step(now=NOW, limits=Limits(smallest=4))
        make_profile()
        assert take_step(now=NOW, limits=Limits(smallest=4))

    def test_takes_a_trait_that_is_wanted_later(self):
        ids = make_profiles([{"plan": "pro", "age": 31}] * 3)
        want("plan")
        set_traits(ids[0], {"plan": "free", "age": 32})
        take_step(now=NOW, limits=EAGER)

        want_trait("age")
        assert packed_traits(["age", "plan"]) == {"plan"}
        assert_columns_are_right("age")
        want("age")
        set_traits(ids[1], {"age": 33})
        take_step(now=NOW, limits=EAGER)

        assert_columns_are_right("age", "plan")

    def test_leaves_few_notes_where_they_are(self):
        ids = make_profiles([{"plan": "pro"}] * 3)
        want("plan")
        set_traits(ids[0], {"plan": "free"})

        assert not take_step(now=NOW)

        assert TraitNote.objects.count() == 1
        assert_columns_are_right("plan")

    def test_reads_rows_where_notes_name_too_many(self, monkeypatch):
        ids = make_profiles([{"plan": "pro"}] * 3)
        want("plan")
        set_traits(ids[0], {"plan": "free"})
        monkeypatch.setattr(queries, "MOST_NOTED", 0)

        assert_columns_are_right("plan")

    def test_declines_a_trait_of_too_many_values(self, monkeypatch):
        monkeypatch.setattr(dictionary, "MOST_VALUES", 4)
        ids = make_profiles([{"email": f"{n}@example.org", "plan": f"plan {n % 3}"} for n in range(5)])
        for path in ("email", "plan"):
            want_trait(path)
        build_all(now=NOW)
        assert packed_traits(["email", "plan"]) == {"plan"}

        for number in range(3):
            set_traits(ids[0], {"plan": f"new {number}"})
            take_step(now=NOW, limits=EAGER)
            assert_columns_are_right("email", "plan")
        assert packed_traits(["plan"]) == {"plan"}
        set_traits(make_profile(), {"plan": "a fifth"})
        take_step(now=NOW, limits=EAGER)

        assert packed_traits(["plan"]) == set()
        assert_columns_are_right("email", "plan")

    def test_tries_again_what_it_declined_a_week_ago(self, monkeypatch):
        make_profiles([{"plan": "pro"}, {"plan": "free"}])
        want_trait("plan")
        monkeypatch.setattr(dictionary, "MOST_VALUES", 1)
        build_all(now=NOW)
        monkeypatch.undo()

        build_all(now=NOW + timedelta(days=6))
        assert packed_traits(["plan"]) == set()
        TraitColumn.objects.update(asked_at=NOW)
        build_all(now=NOW + timedelta(days=8))

        assert packed_traits(["plan"]) == {"plan"}
        assert_columns_are_right("plan")

    def test_forgets_values_that_nobody_has_any_more(self, monkeypatch):
        monkeypatch.setattr("identity.columns.fold.WORN_FROM", 2)
        ids = make_profiles([{"seen": number} for number in range(8)])
        want("seen")
        for number in range(12):
            set_traits(ids[0], {"seen": f"at {number}"})
            take_step(now=NOW, limits=HASTY)

        assert len(read_trait("seen").values) <= 18
        assert_columns_are_right("seen")

    def test_drops_what_was_not_asked_for_in_a_month(self):
        make_profile({"plan": "pro"})
        want("plan", "age")
        TraitColumn.objects.filter(path="age").update(asked_at=NOW - timedelta(days=31))
        TraitColumn.objects.filter(path="plan").update(asked_at=NOW - timedelta(days=29))

        take_step(now=NOW)

        assert packed_traits(["plan", "age"]) == {"plan"}
        assert TraitBlock.objects.values("column_id").distinct().count() == 2

    def test_is_asked_once_a_day(self):
        want_trait("plan")
        asked = TraitColumn.objects.get().asked_at
        want_trait("plan")
        assert TraitColumn.objects.get().asked_at == asked

        TraitColumn.objects.update(asked_at=asked - timedelta(days=2))
        want_trait("plan")

        assert TraitColumn.objects.get().asked_at == asked  # of one transaction

    def test_keeps_no_more_columns_than_it_can_fold(self, monkeypatch):
        monkeypatch.setattr("identity.columns.wanted.MOST_COLUMNS", 2)
        for path in ("a", "b", "c", "d", "x" * 400):
            want_trait(path)

        assert TraitColumn.objects.count() == 3  # one more, for who exists

    def test_ends_where_it_is_switched_off(self, settings):
        make_profile({"plan": "pro"})
        want("plan")
        settings.IDENTITY_TRAIT_COLUMNS = False

        assert packed_traits(["plan"]) == set()
        assert_columns_are_right("plan")
        want_trait("age")
        take_step(now=NOW)

        assert not TraitColumn.objects.exists()
        assert not TraitBlock.objects.exists()
        settings.IDENTITY_TRAIT_COLUMNS = True
        assert_columns_are_right("plan")


# --- Whatever happens ---------------------------------------------------------------------------------------

MAILS = [f"{n}@example.org" for n in range(3)]
BROWSERS = [f"a-{n}" for n in range(4)]
PATHS = ("plan", "age", "address.city", "score")
SAY = st.tuples(
    st.just("say"),
    st.sampled_from([None, *MAILS]),
    st.sampled_from([None, *BROWSERS]),
    st.fixed_dictionaries(
        {},
        optional={
            "plan": st.sampled_from(["free", "pro", None]),
            "age": st.integers(20, 24),
            "address": st.sampled_from([{"city": "Bonn"}, {"city": None}, "Bonn", None]),
        },
    ),
)
PLACE = st.integers(0, 20)
STEPS = st.one_of(
    SAY,
    SAY,
    SAY,
    st.tuples(st.just("merge"), PLACE, PLACE),
    st.tuples(st.just("undo"), PLACE),
    st.tuples(st.just("compute"), PLACE, st.sampled_from(["1", "2.50", None])),
    st.tuples(st.just("leap")),
    st.tuples(st.just("want"), st.sampled_from(PATHS)),
    st.tuples(st.just("step"), st.sampled_from([EAGER, EAGER, HASTY])),
)


class TestAnySeries:
    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(st.lists(STEPS, min_size=6, max_size=24))
    def test_of_events_and_steps_leaves_what_the_rows_say(self, database, series):
        wipe()
        SourceFactory(id=1, priority=1)
        for number, (what, *step) in enumerate(series):
            globals()[f"do_{what}"](*step, **({"number": number} if what == "say" else {}))
            with snapshot():
                assert_columns_are_right(*PATHS)


def do_say(mail: str | None, browser: str | None, traits: dict[str, Any], *, number: int) -> None:
    item = identify(
        userId=...,
        anonymousId=browser or ...,
        messageId=f"m-{number}",
        timestamp=f"2026-01-01T00:00:{number:02}Z",
        traits=traits | ({"email": mail} if mail else {}),
    )
    if mail or browser:
        operations.accept(source_id=1, kind="batch", events=1, body=batch_body([item]), remote_addr="", now=NOW)
        drain_all(NOW)


def do_merge(one: int, other: int) -> None:
    ids = [id_ for (id_,) in rows("SELECT id FROM profile UNION SELECT profile_id FROM profile_alias ORDER BY 1")]
    if ids:
        pair = {"one": ids[one % len(ids)], "other": ids[other % len(ids)]}
        try:
            merging.merge_profiles(**pair, cause=Merge.Cause.PERSON, evidence={}, now=NOW)
        except MergeRefusedError:
            return


def do_undo(place: int) -> None:
    in_force = rows("SELECT id FROM merge WHERE undone_at IS NULL ORDER BY id")
    if in_force:
        merging.undo_merge(merge_id=in_force[place % len(in_force)][0], never_again=False, now=NOW)


def do_compute(place: int, value: str | None) -> None:
    ids = read_profiles().tolist()
    if ids:
        with transaction.atomic():
            identity.operations.write_computed({ids[place % len(ids)]: {"score": value}}, now=NOW)


def do_leap() -> None:
    """The next profile falls into another block."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('profile_id_seq', nextval('profile_id_seq') + %s)", [SIZE])


def do_want(path: str) -> None:
    want_trait(path)
    take_step(now=NOW, limits=EAGER)


def do_step(limits: Limits) -> None:
    take_step(now=NOW, limits=limits)


# --- At the same time ---------------------------------------------------------------------------------------


@contextmanager
def elsewhere(do):
    """What another connection does, while the block runs, until it may commit."""
    begun, may_commit = threading.Event(), threading.Event()

    def work():
        try:
            with transaction.atomic():
                do()
                begun.set()
                may_commit.wait(30)
        finally:
            begun.set()
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(30)
    try:
        yield
    finally:
        may_commit.set()
        thread.join(30)


@pytest.mark.usefixtures("database")
class TestAtTheSameTime:
    def test_a_step_leaves_the_note_of_what_it_could_not_see(self):
        ids = make_profiles([{"plan": "pro"}] * 3)
        want_trait("plan")
        with elsewhere(lambda: set_traits(ids[1], {"plan": "free"})):
            build_all(now=NOW)
            assert held("plan")[ids[1]] == "pro"

        assert held("plan")[ids[1]] == "free"
        take_step(now=NOW, limits=EAGER)
        assert_columns_are_right("plan")
        assert not TraitNote.objects.exists()

    def test_a_reader_keeps_its_snapshot_while_notes_are_folded(self):
        ids = make_profiles([{"plan": "pro"}] * 3)
        want("plan")
        set_traits(ids[1], {"plan": "free"})
        with snapshot():
            before = held("plan")
            with elsewhere(lambda: set_traits(ids[0], {"plan": "other"})):
                pass
            thread = threading.Thread(target=lambda: (take_step(now=NOW, limits=HASTY), connection.close()))
            thread.start()
            thread.join(30)

            assert TraitNote.objects.exists()
            assert held("plan") == before
        assert not TraitNote.objects.exists()
        assert_columns_are_right("plan")

    def test_one_step_is_taken_at_a_time(self):
        make_profile({"plan": "pro"})
        want_trait("plan")
        with elsewhere(lambda: take_step(now=NOW, limits=EAGER)):
            assert not take_step(now=NOW, limits=EAGER)
            want_trait("age")

        build_all(now=NOW)
        assert_columns_are_right("plan", "age")

    def test_a_step_that_is_killed_has_not_happened(self, monkeypatch):
        ids = make_profiles([{"plan": "pro"}] * 3)
        want("plan")
        set_traits(ids[1], {"plan": "free"})
        monkeypatch.setattr("identity.columns.store.remove_patches", _die)

        with pytest.raises(ConnectionError):
            take_step(now=NOW, limits=HASTY)

        assert TraitNote.objects.count() == 1
        assert not TraitBlock.objects.filter(start=PATCH).exists()
        assert_columns_are_right("plan")

    def test_whoever_reads_sees_what_rows_say(self):
        ids = make_profiles([{"plan": "pro", "age": number} for number in range(40)])
        want("plan")
        end = time.monotonic() + 1.5

        def write(draw: random.Random) -> None:
            with transaction.atomic():
                set_traits(draw.choice(ids), {"plan": draw.choice(["a", "b", "c"]), "age": draw.randrange(9)})
                if draw.random() < 0.3:
                    make_profile({"plan": "new"})

        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(keep_doing, do, until=end) for do in (write, write, step_somehow)]
            want_trait("age")
            reads = 0
            while time.monotonic() < end:
                with snapshot():
                    assert_columns_are_right("plan", "age")
                reads += 1
            done = [other.result() for other in others]

        assert reads > 5
        assert min(done) > 5


def keep_doing(do: Callable[[random.Random], object], *, until: float) -> int:
    """How often it was done."""
    try:
        for number in itertools.count():
            if time.monotonic() > until:
                return number
            do(random.Random(number))
    finally:
        connection.close()
    raise AssertionError


def step_somehow(draw: random.Random) -> None:
    take_step(now=NOW, limits=draw.choice([EAGER, HASTY]))


def _die(_: Any) -> None:
    raise ConnectionError
