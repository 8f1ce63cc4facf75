"""The screens of segments: who may open them, what they show, and what the builder is told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from cdp.kernel.access.roles import Role
from ingestion.dictionary.masking import CLEAR
from ingestion.partitions import forget_known_partitions
from segments import operations
from segments.ast import parse
from segments.gallery import GALLERY, PURPOSE, Template, offered
from segments.insight.members import members_page
from segments.models import Membership, Segment
from tests.factories.access import make_user
from tests.factories.activation import make_destination, make_subscription
from tests.factories.consent import PurposeFactory
from tests.factories.segments import ensure_months, make_event, make_event_name, make_profile, note_change

pytestmark = pytest.mark.django_db

DID = {"type": "event", "event": "Order Completed", "measure": "count", "op": "gte", "value": 1}
DID_NOT = {**DID, "op": "eq", "value": 0}


def login(*roles: Role) -> Client:
    client = Client()
    client.force_login(make_user(*roles, username="-".join(roles) or "nobody"))
    return client


@pytest.fixture
def marketer() -> Client:
    return login(Role.MARKETER)


@pytest.fixture
def analyst() -> Client:
    return login(Role.ANALYST)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def shoppers(now) -> Iterator[dict[str, int]]:
    """Anna bought for 600 ten days ago, Ben for 700 an hour ago, Cleo never."""
    cache.clear()
    forget_known_partitions()
    ensure_months((now - timedelta(days=40)).date(), now.date())
    make_event_name("Order Completed", value_property="revenue")
    anna, ben, cleo = (make_profile({"name": name, "vip": name == "Anna"}) for name in ("Anna", "Ben", "Cleo"))
    make_event(anna, "Order Completed", now - timedelta(days=10), {"revenue": 600, "category": "tea"})
    make_event(ben, "Order Completed", now - timedelta(hours=1), {"revenue": 700, "category": "milk"})
    yield {"anna": anna, "ben": ben, "cleo": cleo}
    forget_known_partitions()  # they are rolled back


def make_segment(definition: Any = DID, *, name: str = "Buyers", compute: bool = True, **fields: Any) -> Segment:
    segment = operations.create_segment(name=name, definition=definition, now=timezone.now(), **fields)
    if compute:
        operations.recompute(segment_id=segment.pk, now=timezone.now())
        segment.refresh_from_db()
    return segment


def ask(client: Client, address: str, definition: Any) -> Any:
    return client.post(f"/segments/builder/{address}/", {"definition": definition}, "application/json").json()


class TestAccess:
    def test_sends_strangers_to_the_login(self):
        answer = Client().get("/segments/")

        assert answer.status_code == 302
        assert answer.url.startswith("/login/")

    def test_refuses_people_without_a_role(self):
        assert login().get("/segments/").status_code == 403

    def test_hides_the_buttons_from_those_who_may_only_look(self, analyst, marketer):
        make_segment()

        for page in ("/segments/", "/segments/buyers/"):
            assert "/segments/new/" not in analyst.get(page).content.decode()
            assert "/segments/buyers/edit/" not in analyst.get(page).content.decode()
        assert "/segments/new/" in marketer.get("/segments/").content.decode()
        assert "/segments/buyers/edit/" in marketer.get("/segments/buyers/").content.decode()

    @pytest.mark.parametrize("address", ["new/", "buyers/edit/", "buyers/delete/", "buyers/recompute/"])
    def test_refuses_changes_to_those_who_may_only_look(self, analyst, address):
        make_segment()

        assert analyst.post(f"/segments/{address}", {"name": "X", "definition": "{}"}).status_code == 403
        assert Segment.objects.get().name == "Buyers"


class TestList:
    def test_offers_the_gallery_while_there_is_nothing(self, marketer):
        page = marketer.get("/segments/").content.decode()

        assert "No segments yet" in page
        assert all(f"?template={template.slug}" in page for template in GALLERY)

    def test_shows_state_size_sentence_and_the_week(self, analyst, shoppers):
        make_segment()

        page = analyst.get("/segments/").content.decode()

        assert "Did Order Completed" in page
        assert "Live" in page
        assert "<strong>2</strong>" in page
        assert "+2" in page

    def test_finds_by_name_description_and_state(self, analyst):
        make_segment(name="Tea lovers", description="They drink it")
        make_segment(name="Milk lovers", compute=False)

        def names(query: str) -> list[str]:
            return [row.name for row, _ in analyst.get(f"/segments/{query}").context["rows"]]

        assert names("") == ["Milk lovers", "Tea lovers"]
        assert names("?q=DRINK") == ["Tea lovers"]
        assert names("?state=computing") == ["Milk lovers"]
        assert names("?q=coffee") == []

    def test_pages_through_many(self, analyst, monkeypatch):
        monkeypatch.setattr("segments.listing.PAGE", 2)
        for name in "abc":
            make_segment(name=name, compute=False)

        first = analyst.get("/segments/").context["page"]
        second = analyst.get(f"/segments/?after={first.next}").context["page"]

        assert [row.name for row in first] == ["a", "b"]
        assert [row.name for row in second] == ["c"]
        assert second.next == ""


class TestPreview:
    def test_counts_exactly_and_shows_some(self, marketer, shoppers):
        spent = {**DID, "measure": "sum", "of": "revenue", "op": "gt", "value": 500, "window": {"last": "30d"}}
        lapsed = {"type": "all", "of": [spent, {**DID_NOT, "window": {"last": "7d"}}]}

        found = ask(marketer, "preview", lapsed)

        assert (found["count"], found["total"]) == (1, 3)
        assert [(person["name"], person["url"]) for person in found["sample"]] == [
            ("Anna", f"/profiles/{shoppers['anna']}/")
        ]
        assert found["sentence"].startswith("Sum of revenue of Order Completed is more than 500")
        assert found["warnings"] == []

    def test_says_where_a_definition_is_wrong(self, analyst):
        bad = {"type": "all", "of": [DID, {**DID, "op": "equals"}]}

        problem = ask(analyst, "preview", bad)["problem"]

        assert (problem["code"], problem["path"]) == ("unknown_operator", "/of/1/op")
        assert ask(analyst, "funnel", bad)["problem"] == problem

    @pytest.mark.parametrize(
        ("condition", "warning"),
        [({**DID, "event": "Never Seen"}, "Nobody matches"), ({**DID, "op": "gte", "value": 0}, "Everybody matches")],
    )
    def test_warns_of_what_looks_like_a_mistake(self, analyst, shoppers, condition, warning):
        [said] = ask(analyst, "preview", condition)["warnings"]

        assert said.startswith(warning)

    def test_says_which_name_or_which_pair_is_to_blame(self, analyst, shoppers):
        never = {**DID, "event": "Never Seen"}
        apart = {"type": "any", "of": [DID, {"type": "all", "of": [DID_NOT, {"type": "not", "of": DID_NOT}]}]}

        assert "No event “Never Seen” has ever arrived." in ask(analyst, "preview", never)["warnings"][0]
        assert "rule each other out" in ask(analyst, "preview", apart)["warnings"][0]

    def test_says_so_while_there_are_no_profiles(self, analyst):
        assert "no profiles yet" in ask(analyst, "preview", DID)["warnings"][0]

    @pytest.mark.parametrize("body", ["", "{", "[]", "{}", '"definition"', "[" * 100_000])
    def test_refuses_a_body_that_is_no_question(self, analyst, body):
        answer = analyst.post("/segments/builder/preview/", body, "application/json").json()

        assert answer["problem"]["code"] == "bad_json"


class TestFunnel:
    def test_says_how_many_each_condition_leaves(self, analyst, shoppers):
        found = ask(analyst, "funnel", {"type": "all", "of": [DID, {**DID_NOT, "window": {"last": "7d"}}]})

        assert [(step["count"], step["alone"]) for step in found["steps"]] == [(2, 2), (1, 2)]
        assert found["steps"][1]["label"] == "did not do Order Completed in the last 7 days"


class TestSuggest:
    def suggest(self, client: Client, query: str) -> list[tuple[Any, Any, int]]:
        found = client.get(f"/segments/builder/suggest/?{query}").json()["results"]
        return [(entry["value"], entry.get("type"), entry["count"]) for entry in found]

    def test_names_events_the_most_frequent_first(self, analyst, shoppers, now):
        make_event_name("Aged Event")

        assert self.suggest(analyst, "of=events") == [("Order Completed", None, 2), ("Aged Event", None, 0)]

    def test_names_properties_and_traits_with_their_types(self, analyst, shoppers):
        properties = self.suggest(analyst, "of=properties&event=Order+Completed&event=Never+Seen")

        of_time = [("event.hour", "number", 0), ("event.weekday", "number", 0)]
        assert properties == [("category", "string", 2), ("revenue", "number", 2), *of_time]
        assert self.suggest(analyst, "of=traits") == [("name", "string", 3), ("vip", "boolean", 3)]

    def test_gives_values_as_what_they_are(self, analyst, shoppers):
        assert self.suggest(analyst, "of=values&event=Order+Completed&property=revenue") == [
            (600, "number", 1),
            (700, "number", 1),
        ]
        assert self.suggest(analyst, "of=values&trait=vip") == [(False, "boolean", 2), (True, "boolean", 1)]

    def test_knows_nothing_else(self, analyst):
        assert analyst.get("/segments/builder/suggest/?of=secrets").status_code == 404


class TestNew:
    def test_saves_and_goes_to_its_page(self, marketer):
        form = {"name": "Big tea buyers", "description": "", "definition": '{"type": "all", "of": [%s]}'}
        form["definition"] %= '{"type": "trait", "trait": "vip", "op": "is_true"}'

        answer = marketer.post("/segments/new/", form)

        segment = Segment.objects.get()
        assert answer.url == "/segments/big-tea-buyers/"
        assert (segment.state, segment.version, str(segment.created_by)) == ("computing", 1, "marketer")

    def test_keeps_what_was_typed_where_the_definition_is_refused(self, marketer):
        refused = {"type": "all", "of": []}

        answer = marketer.post("/segments/new/", {"name": "Mine", "definition": '{"type": "all", "of": []}'})

        assert answer.status_code == 422
        assert answer.context["definition"] == refused
        assert answer.context["problem"]["path"] == "/of"
        assert 'value="Mine"' in answer.content.decode()

    @pytest.mark.parametrize("form", [{}, {"name": "Mine"}, {"name": "Mine", "definition": "{"}, {"definition": "{}"}])
    def test_refuses_what_is_not_filled_in(self, marketer, form):
        assert marketer.post("/segments/new/", {"x": "1", **form}).status_code == 422
        assert not Segment.objects.exists()

    @pytest.mark.parametrize("name", ["New", "Builder"])
    def test_takes_no_address_that_a_screen_has(self, marketer, name):
        marketer.post("/segments/new/", {"name": name, "definition": '{"type": "event", "event": "X"}'})

        page = marketer.get(f"/segments/{Segment.objects.get().slug}/")

        assert page.context["segment"].name == name


class TestGallery:
    @pytest.mark.parametrize("template", GALLERY, ids=lambda template: template.slug)
    def test_is_made_of_definitions_that_hold(self, template: Template, analyst, shoppers):
        PurposeFactory(slug=PURPOSE)
        assert parse(template.definition)
        assert "problem" not in ask(analyst, "preview", template.definition)

    def test_asks_about_a_purpose_that_there_is(self):
        definitions = {template.slug: template.definition for template in offered(["newsletter", "ads"])}

        assert definitions["may-be-written-to"]["of"][1]["purpose"] == "newsletter"
        assert offered([]) == offered(["ads", PURPOSE]) == GALLERY


class TestEdit:
    def test_makes_a_new_version_and_computes_it(self, marketer):
        make_segment()

        answer = marketer.post(
            "/segments/buyers/edit/", {"name": "Few", "definition": '{"type": "event", "event": "Order Completed"}'}
        )
        assert answer.url == "/segments/buyers/"
        assert Segment.objects.get().version == 1  # the same meaning in other words

        marketer.post("/segments/buyers/edit/", {"name": "Few", "definition": '{"type": "event", "event": "Else"}'})
        segment = Segment.objects.get()
        assert (segment.name, segment.version, segment.state) == ("Few", 1, "live")
        assert segment.computation.number == 2
        operations.recompute(segment_id=segment.pk, now=timezone.now())
        assert Segment.objects.get().version == 2

    def test_keeps_what_was_typed_where_it_is_refused(self, marketer):
        make_segment()

        answer = marketer.post("/segments/buyers/edit/", {"name": "Few", "definition": '{"type": "event"}'})

        assert (answer.status_code, answer.context["problem"]["path"]) == (422, "/event")
        assert Segment.objects.get().name == "Buyers"


class TestSegmentPage:
    def test_shows_who_is_in_and_what_it_means(self, marketer, shoppers):
        make_segment({"type": "all", "of": [DID, {"type": "not", "of": {"type": "any", "of": [DID_NOT]}}]})

        page = marketer.get("/segments/buyers/")

        text = page.content.decode()
        assert "Anna" in text
        assert "Cleo" not in text
        assert "66.7% of all profiles" in text
        assert [part.text for part in page.context["outline"].parts] == ["did Order Completed", "None of these"]
        assert page.context["size_chart"]["series"][0]["data"][-1] == 2

    def test_shows_ninety_days_when_asked(self, analyst):
        make_segment()

        assert len(analyst.get("/segments/buyers/?days=90").context["size_chart"]["x"]) == 90
        assert len(analyst.get("/segments/buyers/?days=x").context["size_chart"]["x"]) == 30

    def test_finds_members_and_nobody_else(self, marketer, shoppers):
        make_segment()

        assert "Anna" in marketer.get("/segments/buyers/members/?q=ann").content.decode()
        assert "No member like this" in marketer.get("/segments/buyers/members/?q=cleo").content.decode()

    def test_pages_through_members_without_gap_or_repetition(self, shoppers, now):
        segment = make_segment()
        for number in range(9):
            at = now - timedelta(minutes=number // 3)
            Membership.objects.create(profile_id=10**9 + number, segment=segment, entered_at=at)

        seen, after = [], ""
        while True:
            page = members_page(segment, text="", sort="", after=after, columns=[], size=2, masker=CLEAR)
            seen += [line.person.id for line in page]
            after = page.next
            if not after:
                break

        assert len(seen) == 11
        assert len(set(seen)) == 11

    @pytest.mark.parametrize("after", ["x", "2026-01-01 5", f"2026-01-01T00:00:00+00:00 {10**30}", "\x00 1"])
    def test_takes_a_nonsense_page_for_the_first(self, marketer, shoppers, after):
        make_segment()

        assert "Anna" in marketer.get("/segments/buyers/members/", {"after": after}).content.decode()

    def test_polls_while_it_computes_and_then_fetches_the_page_again(self, analyst):
        segment = make_segment(compute=False)
        assert 'hx-get="/segments/buyers/status/"' in analyst.get("/segments/buyers/").content.decode()
        assert "Computing who is in" in analyst.get("/segments/buyers/status/").content.decode()

        operations.recompute(segment_id=segment.pk, now=timezone.now())

        assert analyst.get("/segments/buyers/status/").headers["HX-Refresh"] == "true"
        assert "/status/" not in analyst.get("/segments/buyers/").content.decode()

    def test_offers_to_compute_again_what_failed(self, marketer):
        make_segment()
        Segment.objects.update(state="failed", error="It took too long.")
        assert "It took too long." in marketer.get("/segments/buyers/").content.decode()

        marketer.post("/segments/buyers/recompute/")

        assert Segment.objects.get().state == "computing"

    def test_feeds_what_happens_live(self, marketer, shoppers, now):
        make_segment()
        make_event(shoppers["cleo"], "Order Completed", now, {"revenue": 5})
        note_change(shoppers["cleo"], events=["Order Completed"])

        operations.evaluate_changes(now=timezone.now(), limit=100)

        lines = marketer.get("/segments/buyers/feed/").context["moves"]
        assert (lines[0].person.name, lines[0].kind, lines[0].cause) == (
            "Cleo",
            "entered",
            "An event or trait changed",
        )

    def test_is_not_found_where_there_is_none(self, analyst):
        assert analyst.get("/segments/nothing/").status_code == 404

    @pytest.mark.parametrize("part", ["feed", "status"])
    def test_that_is_open_still_when_it_is_deleted_stops_asking(self, analyst, part):
        answer = analyst.get(f"/segments/nothing/{part}/")

        assert answer.status_code == 286  # by which htmx knows
        assert "has been deleted" in answer.content.decode()


class TestDelete:
    def test_asks_and_deletes(self, marketer):
        make_segment()
        assert "Delete this segment?" in marketer.get("/segments/buyers/").content.decode()

        marketer.post("/segments/buyers/delete/")

        assert not Segment.objects.exists()

    def test_is_guarded_while_a_destination_hears_of_it(self, marketer):
        segment = make_segment()
        destination = make_destination("https://example.com/hook")
        make_subscription(destination, segment)

        page = marketer.get("/segments/buyers/").content.decode()
        answer = marketer.post("/segments/buyers/delete/", follow=True)

        assert "This segment is in use" in page
        assert destination.name in page
        assert "Remove those first" in answer.content.decode()
        assert Segment.objects.exists()


class TestLife:
    """Drafts, versions, the archive and folders, by the buttons of the pages. R: D3"""

    OTHER = '{"type": "event", "event": "Else"}'
    NOTHING = '{"type": "all", "of": []}'

    def test_a_draft_waits_beside_what_is_live_until_it_is_published(self, marketer):
        segment = make_segment()
        marketer.post(
            "/segments/buyers/edit/", {"name": "Later", "definition": '{"type": "all", "of": []}', "as": "draft"}
        )
        page = marketer.get("/segments/buyers/").content.decode()
        assert "An edit waits as a draft" in page
        editor = marketer.get("/segments/buyers/edit/")
        assert (editor.context["definition"], editor.context["form"].initial["name"]) == (
            {"type": "all", "of": []},
            "Later",
        )

        marketer.post("/segments/buyers/discard/now/")
        segment = Segment.objects.get()
        assert not hasattr(segment, "draft")
        marketer.post(f"/segments/undo/{marketer.session['segments:undo']['token']}/")
        assert Segment.objects.get().draft.name == "Later"
        marketer.post("/segments/buyers/edit/", {"name": "Later", "definition": self.OTHER, "as": "version"})

        segment = Segment.objects.get()
        assert (segment.name, segment.computation.number, hasattr(segment, "draft")) == ("Later", 2, False)

    def test_a_new_one_can_begin_as_a_draft(self, marketer):
        answer = marketer.post(
            "/segments/new/", {"name": "Soon", "definition": '{"type": "all", "of": []}', "as": "draft"}
        )

        assert answer.url == "/segments/soon/"
        assert "This is a draft." in marketer.get("/segments/soon/").content.decode()
        marketer.post("/segments/soon/edit/", {"name": "Soon", "definition": self.OTHER, "as": "version"})
        assert Segment.objects.get().state == "computing"

    def test_an_old_version_is_restored_and_that_is_taken_back(self, marketer):
        segment = make_segment()
        operations.update_segment(
            segment_id=segment.pk, definition={"type": "event", "event": "Else"}, now=timezone.now()
        )
        operations.recompute(segment_id=segment.pk, now=timezone.now())
        compared = marketer.get("/segments/buyers/compare/", {"from": "1", "to": "2"})
        assert compared.context["summary"] == "1 condition changed"
        assert "<del>Order Completed</del>" in compared.content.decode()

        page = marketer.post("/segments/buyers/restore/now/", {"version": "1"}, follow=True).content.decode()
        assert "Version 1 is restored, as version 3." in page
        assert Segment.objects.get().computation.number == 3
        marketer.post(f"/segments/undo/{marketer.session['segments:undo']['token']}/")

        assert Segment.objects.get().next is None
        assert "too late" in marketer.post("/segments/undo/x/", follow=True).content.decode()

    def test_an_archived_one_is_hidden_and_comes_back(self, marketer):
        make_segment()

        marketer.post("/segments/buyers/archive/now/")

        assert marketer.get("/segments/").context["rows"] == []
        assert len(marketer.get("/segments/", {"state": "archived"}).context["rows"]) == 1
        assert "Archived" in marketer.get("/segments/buyers/").content.decode()
        marketer.post("/segments/buyers/unarchive/now/")
        assert Segment.objects.get().state == "computing"

    def test_a_copy_opens_in_the_editor(self, marketer):
        make_segment()

        assert marketer.post("/segments/buyers/duplicate/now/").url == "/segments/copy-of-buyers/edit/"

    def test_many_are_moved_tagged_and_archived_and_that_is_taken_back(self, marketer):
        ids = [make_segment(name=name).pk for name in ("A", "B")]

        def bulk(what: str, **fields: str) -> None:
            marketer.post("/segments/bulk/", {"ids": ids, "what": what, **fields})

        def undo() -> None:
            marketer.post(f"/segments/undo/{marketer.session['segments:undo']['token']}/")

        bulk("move", folder="Spring")
        bulk("tag", tag="mail")
        assert list(Segment.objects.values_list("folder", "tags")) == [("Spring", ["mail"])] * 2
        assert len(marketer.get("/segments/", {"folder": "Spring", "tag": "mail"}).context["rows"]) == 2
        undo()
        assert list(Segment.objects.values_list("folder", "tags")) == [("Spring", [])] * 2
        bulk("archive")
        assert Segment.objects.filter(state="archived").count() == 2
        undo()
        assert Segment.objects.filter(state="computing").count() == 2
        assert "Tick some" in marketer.post("/segments/bulk/", {"what": "move"}, follow=True).content.decode()

    def test_one_is_put_into_a_folder_and_found_by_any_word(self, marketer):
        make_segment()
        marketer.post("/segments/buyers/place/", {"folder": "Spring", "tags": "mail, VIP"})

        segment = Segment.objects.get()
        assert (segment.folder, segment.tags) == ("Spring", ["mail", "VIP"])
        for text in ("order completed", "vip", "spring buyers"):
            assert len(marketer.get("/segments/", {"q": text}).context["rows"]) == 1, text

    @pytest.mark.parametrize("what", ["publish", "discard", "archive", "restore", "duplicate"])
    def test_needs_the_right_to_write(self, analyst, what):
        make_segment()

        assert analyst.post(f"/segments/buyers/{what}/now/").status_code == 403
