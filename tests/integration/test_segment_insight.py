"""Breakdowns and overlaps of segments: over the API and on the page. R: D8"""

import json
import threading
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from identity.columns.build import build_all
from identity.columns.wanted import want_trait
from segments import operations
from segments.engine import fetch
from segments.insight import overlap as sets
from segments.insight.breakdown import trait_path
from segments.insight.errors import CancelledError
from segments.insight.holders import Rows
from segments.insight.people import asked, of_segment
from segments.insight.tally import tally_of
from segments.models import Membership, Segment
from segments.sql import Sql
from tests.factories import segments as make
from tests.factories.access import make_user
from tests.integration.test_segment_api import client

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
URL = "/api/v1/segments/"


def segment_of(slug: str, ids: Any) -> Segment:
    """A live segment of these people, whatever its definition says."""
    never = {"type": "trait", "trait": f"in_{slug}", "op": "is_true"}
    made = operations.create_segment(name=slug.title(), slug=slug, definition=never, now=NOW)
    Membership.objects.bulk_create(Membership(profile_id=id_, segment=made, entered_at=NOW) for id_ in sorted(ids))
    Segment.objects.filter(pk=made.pk).update(state=Segment.State.LIVE, member_count=len(set(ids)))
    return Segment.objects.get(pk=made.pk)


def broken_down(slug: str, trait: str, *scopes: str) -> Any:
    return (
        client("segments:read", "profiles:read", *(scopes or ("pii:read",)))
        .get(f"{URL}{slug}/breakdown/", {"trait": trait})
        .json()
    )


def labels(found: Any) -> list[tuple[str, int, int]]:
    return [(line["label"], line["count"], line["everybody"]) for line in found["lines"]]


@pytest.mark.django_db
class TestBreakdown:
    def test_counts_values_beside_everybody_and_who_has_none(self):
        ids = make.make_profiles([{"country": "DE"}] * 3 + [{"country": "FR"}, {"country": None}, {}])
        segment_of("some", [ids[0], ids[3], ids[4], ids[5]])

        found = broken_down("some", "country")

        assert (found["kind"], found["people"], found["everybody"]) == ("values", 4, 6)
        assert labels(found) == [("DE", 1, 3), ("FR", 1, 1), ("Not set", 2, 2)]

    def test_keeps_types_apart_and_sums_up_the_rest(self):
        ids = make.make_profiles([{"plan": "5"}, {"plan": 5}, {"plan": True}, *({"plan": f"p{n}"} for n in range(20))])
        segment_of("some", ids)

        found = broken_down("some", "plan")

        assert len(found["lines"]) == 11
        assert found["lines"][-1] == {"label": "All others", "kind": "other", "count": 13, "everybody": 13}
        assert sum(line["count"] for line in found["lines"]) == 23

    def test_cuts_numbers_into_parts_of_about_the_same_size(self):
        ids = make.make_profiles([*({"age": number} for number in range(100)), {"age": "old"}, {}])
        segment_of("some", [*ids[:50], *ids[100:]])

        found = broken_down("some", "age")

        assert found["kind"] == "bins"
        assert [count for _, count, _ in labels(found)[:5]] == [9, 10, 10, 10, 11]
        assert labels(found)[4] == ("39 and more", 11, 61)
        assert labels(found)[5:] == [("All others", 1, 1), ("Not set", 1, 1)]

    def test_counts_each_element_of_a_list_once_for_a_person(self):
        ids = make.make_profiles([{"tags": ["a", "a", "b"]}, {"tags": ["b", None]}, {"tags": []}, {"tags": "a"}])
        segment_of("some", ids)

        assert labels(broken_down("some", "tags[]")) == [("b", 2, 2), ("a", 1, 1), ("Not set", 2, 2)]

    def test_says_only_who_has_one_where_values_may_not_be_seen(self):
        ids = make.make_profiles([{"email": "a@example.org"}, {"email": "b@example.org"}, {}])
        segment_of("some", ids[1:])

        found = broken_down("some", "email", "events:read")

        assert found["kind"] == "hidden"
        assert labels(found) == [("Set", 1, 2), ("Not set", 1, 1)]

    def test_of_nobody_is_empty(self):
        make.make_profile({"country": "DE"})
        segment_of("none", [])

        assert labels(broken_down("none", "country")) == [("DE", 0, 1)]

    def test_refuses_what_is_no_path(self):
        segment_of("some", [])

        reader = client("segments:read", "profiles:read")

        wrong, missing = (reader.get(f"{URL}some/breakdown/", {"trait": trait}) for trait in ("a..b", ""))

        assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_path")
        assert missing.json()["path"] == "/trait"

    def test_needs_the_scope_for_profiles(self):
        segment_of("some", [])

        answer = client("segments:read").get(f"{URL}some/breakdown/", {"trait": "country"})

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


ODDS = (None, True, False, "", "1", 1, 1.0, 2.5, -3, 10**30, 1e120, "a", "b", "ä", ["a", "b"], [], {"x": 1})


@pytest.mark.usefixtures("database")
class TestBreakdownByColumns:
    @pytest.mark.parametrize("seed", range(6))
    def test_says_what_the_rows_say(self, seed: int, settings: Any):
        draw = Random(seed)
        values = [*ODDS, *([draw.randrange(40) for _ in range(80)] if seed % 2 else [])]
        ids = make.make_profiles([{"held": draw.choice(values)} if draw.random() < 0.9 else {} for _ in range(150)])
        some = Sql("SELECT unnest(%s::bigint[]) AS profile_id", ([*draw.sample(ids, 60 * (seed > 1)), ids[-1] + 9],))
        pack("held", settings)
        make.set_traits(ids[0], {"held": "new"})

        with asked():
            packed, rows = tally_of(some, trait_path("held")), Rows(some, trait_path("held"))
            assert packed is not None
            look = rows.look(parts=PARTS)
            assert packed.look(parts=PARTS)._replace(edges=[]) == look._replace(edges=[])
            assert packed.holders() == rows.holders()
            for limit in (1, 4, 100):
                assert listed(packed.by_values(limit=limit)) == listed(rows.by_values(limit=limit))
            if look.numbers:
                assert packed.look(parts=PARTS).edges == look.edges
                bounds = sorted(set(look.edges))
                assert packed.by_bins(bounds=bounds) == rows.by_bins(bounds=bounds)

    def test_asks_for_a_column_where_there_is_none(self, settings: Any):
        make.make_profiles([{"plan": "pro"}, {"plan": 0.12345678901234567}])
        pack("country", settings)
        everybody = Sql("SELECT id AS profile_id FROM profile")

        with asked():
            assert tally_of(everybody, trait_path("plan")) is None
            assert tally_of(everybody, trait_path("plan[]")) is None
        build_all(now=NOW)

        with asked():
            assert tally_of(everybody, trait_path("plan")) is not None

    def test_reads_rows_for_numbers_that_no_float_holds(self, settings: Any):
        (one,) = make.make_profiles([{}])
        with connection.cursor() as cursor:
            cursor.execute("""UPDATE profile SET traits = '{"plan": 0.1234567890123456789}' WHERE id = %s""", [one])
        pack("plan", settings)

        with asked():
            assert tally_of(Sql("SELECT id AS profile_id FROM profile"), trait_path("plan")) is None


PARTS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def pack(trait: str, settings: Any) -> None:
    settings.SEGMENTS_COLUMNAR_FROM = 0
    want_trait(trait)
    build_all(now=NOW)


def listed(rows: Any) -> list[tuple[Any, ...]]:
    """1 and 1.0 are one value, shown as either."""
    return [(shown and json.loads(shown), *counts) for shown, *counts in rows]


@pytest.mark.django_db
class TestOverlap:
    def test_combinations_and_pairs_are_those_of_plain_sets(self):
        random = Random(7)
        ids = make.make_profiles([{}] * 60)
        members = {slug: set(random.sample(ids, random.randrange(5, 40))) for slug in ("a", "b", "c", "d")}
        for slug, inside in members.items():
            segment_of(slug, inside)

        answer = client("segments:read").get(f"{URL}a/overlap/", {"with": "b,c,d"}).json()

        for combination in answer["combinations"]:
            expected = set.intersection(*(members[slug] for slug in combination["inside"]))
            expected -= set().union(*(members[slug] for slug in combination["outside"]))
            assert combination["count"] == len(expected)
        assert sum(one["count"] for one in answer["combinations"]) == len(set().union(*members.values()))
        for pair in answer["pairs"]:
            other = members[pair["segment"]]
            both, either = len(other & members["a"]), len(other | members["a"])
            assert (pair["size"], pair["both"]) == (len(other), both)
            assert pair["jaccard"] == pytest.approx(both / either)
            assert pair["share"] == pytest.approx(both / len(members["a"]))

    def test_without_a_choice_takes_the_segments_that_most_are_in_too(self):
        ids = make.make_profiles([{}] * 10)
        segment_of("a", ids)
        for place, slug in enumerate(("none", "one", "two", "three", "four", "five")):
            segment_of(slug, ids[:place])

        answer = client("segments:read").get(f"{URL}a/overlap/").json()

        assert [pair["segment"] for pair in answer["pairs"]] == ["five", "four", "three", "two"]

    def test_refuses_unknown_segments_and_too_many(self):
        segment_of("a", [])
        for number in range(6):
            segment_of(f"s{number}", [])
        reader = client("segments:read")

        unknown = reader.get(f"{URL}a/overlap/", {"with": "nobody"})
        many = reader.get(f"{URL}a/overlap/", {"with": ",".join(f"s{number}" for number in range(6))})

        assert (unknown.status_code, unknown.json()["code"], unknown.json()["path"]) == (
            400,
            "unknown_segment",
            "/with",
        )
        assert many.json()["code"] == "too_many_segments"

    def test_the_definition_of_a_combination_means_just_these_people(self):
        traits = [{"x": True}, {"x": True, "y": True}, {"y": True, "z": True}, {"x": True, "z": True}, {}]
        ids = make.make_profiles(traits)
        for slug in "xyz":
            definition = {"type": "trait", "trait": slug, "op": "is_true"}
            made = operations.create_segment(name=slug, slug=slug, definition=definition, now=NOW)
            operations.recompute(segment_id=made.pk, now=NOW)

        definition = sets.definition_of(inside=["x"], outside=["y", "z"])
        found = client("segments:read", "profiles:read").post(
            f"{URL}preview/", {"definition": definition}, format="json"
        )

        assert [profile["id"] for profile in found.json()["sample"]] == [ids[0]]
        x, y, z = (Segment.objects.get(slug=slug) for slug in "xyz")
        people = sets.exactly(inside=[x], outside=[y, z])
        assert sets.pairs(people=people, others=[x])[0].both == 1
        assert of_segment(x) != people


@pytest.mark.django_db
class TestCards:
    @pytest.fixture
    def marketer(self) -> Client:
        made = Client()
        made.force_login(make_user("marketer"))
        return made

    def test_break_down_and_compare(self, marketer: Client):
        ids = make.make_profiles([{"name": "Anna", "country": "DE"}, {"name": "Ben", "country": "FR"}])
        segment_of("a", ids)
        segment_of("b", ids[:1])

        page = marketer.get("/segments/a/").content.decode()
        by_country = marketer.get("/segments/a/breakdown/?trait=country").content.decode()
        overlap = marketer.get("/segments/a/overlap/").content.decode()
        both = marketer.get("/segments/overlap/people/?in=a&in=b").content.decode()

        assert '<option value="country">' in page
        assert "DE" in by_country
        assert "50%" in by_country
        assert "In A and B: 1 people" in overlap
        assert "Anna" in both
        assert "Ben" not in both
        assert "/segments/new/?in=a&amp;in=b" in both

    def test_say_what_is_wrong(self, marketer: Client):
        segment_of("a", [])

        assert "There is no segment" in marketer.get("/segments/a/overlap/?with=zzz").content.decode()
        assert "is no path" in marketer.get("/segments/a/breakdown/?trait=a..b").content.decode()
        assert "Name a segment" in marketer.get("/segments/overlap/people/").content.decode()


def test_an_answer_is_given_up_when_the_same_asker_asks_again(database: None) -> None:
    ended: list[str] = []
    sleeping = threading.Event()

    def ask() -> None:
        try:
            with asked(asker="one panel", seconds=20):
                sleeping.set()
                fetch(Sql("SELECT pg_sleep(15)"))
        except CancelledError as error:
            ended.append(error.code)
        finally:
            connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    assert sleeping.wait(10)
    started = datetime.now(UTC)
    while not ended and datetime.now(UTC) - started < timedelta(seconds=10):
        with asked(asker="another panel"):
            assert not ended
        with asked(asker="one panel"):
            thread.join(0.05)
    thread.join(20)

    assert ended == ["cancelled"]
