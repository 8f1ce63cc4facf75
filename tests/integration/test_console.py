"""The console's own screens: who may open them, what they show empty and full, and how many queries they take."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activation.models import Delivery, Destination
from cdp.console import overview
from cdp.kernel.access.roles import Role
from consent.models import Purpose
from consent.operations import record_consent
from identity.models import ProfileAlias
from ingestion import operations
from ingestion.dictionary.masking import CLEAR
from ingestion.models import Source
from segments.models import Membership, Segment, SegmentVersion, Transition
from tests.factories.access import PASSWORD, make_user
from tests.factories.ingestion import identify, track
from tests.integration.conftest import drain_all

READERS = [Role.ADMIN, Role.MARKETER, Role.ANALYST, Role.ENGINEER, Role.PRIVACY_OFFICER]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def log_in(client: Client, database):
    """`log_in("marketer")`: the client, logged in with this role."""

    def enter(*roles: str) -> Client:
        client.force_login(make_user(*roles))
        return client

    return enter


def page(client: Client, name: str, *args, **query) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def queries_of(client: Client, address: str) -> int:
    client.get(address)  # what is read once per process is read now
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def make_segment(slug: str, *, members: int = 0) -> Segment:
    now = timezone.now()
    return Segment.objects.create(
        slug=slug,
        name=slug.replace("-", " ").capitalize(),
        definition={"type": "trait", "trait": "country", "op": "exists"},
        state="live",
        member_count=members,
        created_at=now,
        updated_at=now,
    )


def make_transition(
    segment: Segment, profile_id: int, *, kind: str = "entered", cause: str = "change", number: int = 1
):
    return Transition.objects.create(
        profile_id=profile_id,
        id=number,
        segment=segment,
        version=1,
        kind=kind,
        at=timezone.now() - number * MINUTE,
        cause=cause,
    )


class TestLogin:
    def test_is_asked_of_strangers_and_leads_back(self, client: Client, database):
        make_user(Role.ANALYST, username="ann", password=PASSWORD)

        refused = client.get("/profiles/?q=anna")
        assert refused.status_code == 302
        assert refused["Location"] == "/login/?next=/profiles/%3Fq%3Danna"
        entered = client.post(refused["Location"], {"username": "ann", "password": PASSWORD})

        assert entered["Location"] == "/profiles/?q=anna"

    def test_sends_a_fragment_to_the_login_as_a_whole_page(self, client: Client, database):
        response = client.get(
            reverse("console:home-live"),
            headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/profiles/?q=a"},
        )

        assert response.status_code == 200
        assert response["HX-Redirect"] == "/login/?next=/profiles/%3Fq%3Da"

    def test_refuses_a_wrong_password(self, client: Client, database):
        make_user(username="ann", password=PASSWORD)

        response = client.post("/login/", {"username": "ann", "password": "wrong"})

        assert response.status_code == 200
        assert 'role="alert"' in response.content.decode()

    def test_does_not_lead_to_another_site(self, client: Client, database):
        make_user(username="ann", password=PASSWORD)

        response = client.post("/login/?next=https://evil.example/", {"username": "ann", "password": PASSWORD})

        assert response["Location"] == "/"

    def test_logs_out_by_post_only(self, log_in):
        client = log_in(Role.ANALYST)

        assert client.get("/logout/").status_code == 405
        assert client.post("/logout/")["Location"] == "/login/"
        assert client.get("/").status_code == 302


class TestAccess:
    @pytest.mark.parametrize("role", READERS)
    @pytest.mark.parametrize(
        "name", ["console:home", "console:profiles", "sources:list", "console:account", "api-docs"]
    )
    def test_every_role_reads(self, log_in, role: Role, name: str):
        page(log_in(role), name)

    @pytest.mark.parametrize("name", ["console:profiles", "console:search", "console:home-live", "sources:list"])
    def test_without_a_role_nothing_opens(self, log_in, name: str):
        response = log_in().get(reverse(name))

        assert response.status_code == 403
        assert "You may not open this" in response.content.decode()

    def test_without_a_role_home_says_what_to_do(self, log_in):
        shown = page(log_in(), "console:home")

        assert "You have no role yet" in shown
        assert 'href="/profiles/"' not in shown

    @pytest.mark.parametrize(("role", "sees"), [(Role.ADMIN, True), (Role.MARKETER, False)])
    def test_the_admin_is_offered_to_admins(self, log_in, role: Role, sees: bool):
        assert ('href="/admin/"' in page(log_in(role), "console:home")) is sees

    @pytest.mark.parametrize("path", ["/nothing/", "/profiles/99999999/", "/sources/nothing/"])
    def test_what_is_not_there_says_so_in_our_look(self, log_in, path: str):
        response = log_in(Role.ADMIN).get(path)

        assert response.status_code == 404
        assert "There is nothing here" in response.content.decode()

    def test_no_screen_carries_inline_scripts_or_styles(self, log_in, accept):
        accept(identify(traits={"name": "Anna Smith"}))
        drain_all()
        client = log_in(Role.ADMIN)

        for name in ("console:home", "console:profiles", "sources:list", "console:account"):
            shown = page(client, name)
            assert " style=" not in shown
            assert " onclick=" not in shown
            assert "<style" not in shown
            assert "<script>" not in shown


class TestHome:
    def test_leads_through_the_first_steps(self, log_in):
        shown = page(log_in(Role.ADMIN), "console:home")

        assert "Create a source" in shown
        assert "Nobody has moved yet" in shown
        assert "There is no source yet." in shown

    def test_ticks_off_what_is_done(self, log_in, accept):
        accept(track("Order Completed"))
        drain_all()

        steps = overview.read_steps()

        assert [step.done for step in steps] == [True, True, False, False]
        assert steps[1].url == "/sources/shop/"

    def test_drops_the_steps_once_all_are_done(self, log_in, accept):
        accept(track("Order Completed"))
        drain_all()
        make_segment("buyers")
        Destination.objects.create(slug="hook", name="Hook", created_at=timezone.now())

        assert "Connect a destination" not in page(log_in(Role.ADMIN), "console:home")

    def test_counts_what_there_is(self, log_in, accept, source: Source):
        now = timezone.now()
        accept(*(track("Order Completed", userId=f"u-{number}") for number in range(3)), now=now)
        accept({"type": "track"}, now=now)
        drain_all(now)
        accept(track("Waiting"), now=now - 20 * MINUTE)
        make_segment("buyers", members=2)

        numbers = overview.read_numbers(now=now)

        assert numbers.profiles == 3
        assert numbers.events_today == numbers.events_this_hour == 3
        assert (numbers.segments, numbers.memberships) == (1, 2)
        assert numbers.quarantined == 1
        assert numbers.inbox == 1
        assert numbers.lag == 20 * MINUTE
        assert numbers.flow == "stuck"

    def test_tells_who_moved_by_name(self, log_in, accept):
        accept(identify(userId="u-1", traits={"name": "Anna Smith"}))
        drain_all()
        profile_id = _only_profile()
        segment = make_segment("lapsed-big-spenders")
        make_transition(segment, profile_id)
        make_transition(segment, profile_id, kind="left", number=2)

        feed = overview.read_feed(masker=CLEAR)

        assert [(line.name, line.kind, line.segment) for line in feed] == [
            ("Anna Smith", "entered", "Lapsed big spenders"),
            ("Anna Smith", "left", "Lapsed big spenders"),
        ]
        assert "Anna Smith" in page(log_in(Role.MARKETER), "console:home-live")

    def test_sums_a_publication_up_in_one_line(self, database):
        segment = make_segment("buyers")
        for number in range(1, 30):
            make_transition(segment, number, cause="definition", number=number)
        SegmentVersion.objects.create(segment=segment, number=1, definition={}, created_at=timezone.now())

        assert [(line.kind, line.segment) for line in overview.read_feed(masker=CLEAR)] == [("published", "Buyers")]

    def test_marks_what_was_quarantined(self, log_in, accept):
        accept({"type": "track"}, now=timezone.now())
        drain_all()

        assert 'href="/sources/shop/quarantine/"' in page(log_in(Role.ANALYST), "console:home-live")

    def test_charts_events_by_day(self, log_in, accept):
        client = log_in(Role.ANALYST)
        assert "No events yet" in page(client, "console:home-events")

        accept(track("Order Completed"), now=timezone.now())
        drain_all()

        assert 'data-chart="bars"' in page(client, "console:home-events")

    def test_takes_as_many_queries_for_much_as_for_little(self, log_in, accept):
        client = log_in(Role.ADMIN)
        accept(identify(userId="u-0"), now=timezone.now())
        drain_all()
        make_transition(make_segment("segment-0"), _only_profile())
        little = queries_of(client, "/")

        for number in range(1, 6):
            operations.create_source(slug=f"source-{number}", name=f"Source {number}", now=timezone.now())
            accept(identify(userId=f"u-{number}"), now=timezone.now())
            make_transition(make_segment(f"segment-{number}"), number, number=number)
        drain_all()

        assert queries_of(client, "/") == little


def _only_profile() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(id) FROM profile")
        return cursor.fetchone()[0]


class TestProfiles:
    def test_empty_says_where_profiles_come_from(self, log_in):
        assert "No profiles yet" in page(log_in(Role.MARKETER), "console:profiles")

    @pytest.mark.parametrize("text", ["anna@example.org", "ANNA@example.org", "anna@", "nna Smi", "u-1"])
    def test_are_found_by_identifier_beginning_or_name(self, log_in, accept, text: str):
        accept(
            identify(userId="u-1", traits={"name": "Anna Smith", "email": "anna@example.org"}),
            identify(userId="v-2", traits={"name": "Bert Jones"}),
        )
        drain_all()

        shown = page(log_in(Role.MARKETER), "console:profiles", q=text)

        assert "Anna Smith" in shown
        assert "Bert Jones" not in shown

    def test_that_do_not_match_say_how_to_search(self, log_in):
        assert "Nobody matches" in page(log_in(Role.MARKETER), "console:profiles", q="zzz")

    def test_a_search_is_shown_as_text(self, log_in):
        shown = page(log_in(Role.MARKETER), "console:profiles", q="<script>alert(1)</script>")

        assert "<script>alert" not in shown

    def test_come_in_pages_that_miss_nobody(self, log_in, accept):
        accept(*(identify(userId=f"u-{number}", traits={"name": f"Person {number:03}"}) for number in range(120)))
        drain_all()
        client = log_in(Role.MARKETER)
        seen, address = set(), "/profiles/"

        while address:
            response = client.get(address)
            found = response.context["page"]
            seen |= {profile.display_name for profile in found}
            address = f"/profiles/?after={found.next}" if found.next else ""

        assert len(seen) == 120

    @pytest.mark.parametrize("after", ["nonsense", "-1", "9" * 40, "٣"])
    def test_a_nonsense_page_is_the_first(self, log_in, after: str):
        page(log_in(Role.MARKETER), "console:profiles", after=after)

    def test_are_suggested_as_one_types(self, log_in, accept):
        accept(identify(userId="u-1", traits={"name": "Anna Smith"}))
        drain_all()
        client = log_in(Role.MARKETER)

        assert "Anna Smith" in page(client, "console:search", q="anna")
        assert "Nobody matches" in page(client, "console:search", q="zzz")
        assert page(client, "console:search", q="").strip() == ""

    def test_list_takes_as_many_queries_for_many_as_for_one(self, log_in, accept):
        client = log_in(Role.MARKETER)
        accept(identify(userId="u-0", traits={"email": "0@example.org"}))
        drain_all()
        little = queries_of(client, "/profiles/")
        accept(*(identify(userId=f"u-{number}", traits={"email": f"{number}@example.org"}) for number in range(1, 30)))
        drain_all()

        assert queries_of(client, "/profiles/") == little


@pytest.fixture
def anna(accept) -> int:
    """A profile with traits, identifiers and events."""
    at = timezone.now()
    accept(
        identify(
            userId="u-1",
            anonymousId="a-1",
            timestamp=(at - 3 * MINUTE).isoformat(),
            traits={"name": "Anna Smith", "email": "anna@example.org", "address": {"city": "Graz"}, "vip": True},
        ),
        track(
            "Order Completed",
            timestamp=(at - 2 * MINUTE).isoformat(),
            properties={
                "revenue": 59.9,
                "currency": "EUR",
                "order_id": "1001",
                "products": [{"name": "Oat milk"}, {"name": "Bread"}, {"name": "Beans"}],
            },
        ),
        {"type": "page", "name": "Checkout", "userId": "u-1", "messageId": "p-1", "properties": {"path": "/checkout"}},
        now=at,
    )
    drain_all(at)
    return _only_profile()


class TestProfile:
    def test_shows_who_it_is_and_where_each_trait_came_from(self, log_in, anna: int):
        shown = page(log_in(Role.MARKETER), "console:profile", anna)

        for text in ("Anna Smith", "anna@example.org", "u-1", "a-1", "Graz", "vip", "Shop · "):
            assert text in shown

    def test_tells_its_events_with_what_matters_in_them(self, log_in, anna: int):
        shown = page(log_in(Role.MARKETER), "console:profile", anna)

        assert "Order Completed" in shown
        assert "59.90 EUR" in shown
        assert "Oat milk, Bread and 1 more" in shown
        assert shown.index("Page Viewed") < shown.index('story-name">Order Completed')

    def test_timeline_is_filtered_by_event(self, log_in, anna: int):
        client = log_in(Role.MARKETER)

        shown = page(client, "console:profile-events", anna, event="Order Completed")

        assert "Order Completed" in shown
        assert "Page Viewed" not in shown
        assert "No event of this name" in page(client, "console:profile-events", anna, event="Nothing")

    def test_timeline_goes_on_where_it_stopped(self, log_in, accept):
        start = timezone.now()
        accept(
            *(
                track("Ticked", timestamp=(start - number * MINUTE).isoformat(), properties={"name": f"n{number:03}"})
                for number in range(75)
            ),
            now=start,
        )
        drain_all(start)
        client = log_in(Role.MARKETER)
        seen: list[str] = []
        query: dict[str, str] = {}

        while True:
            context = client.get(reverse("console:profile-events", args=[_only_profile()]), query).context
            seen += [line.summary for line in context["lines"]]
            if not context["next"]:
                break
            query = {"before": context["next"]}

        assert seen == [f"n{number:03}" for number in range(75)]

    @pytest.mark.parametrize("before", ["nonsense", "2026-13-45T00:00:00Z", "2026-01-01T00:00:00"])
    def test_a_nonsense_instant_is_the_beginning(self, log_in, anna: int, before: str):
        assert "Order Completed" in page(log_in(Role.MARKETER), "console:profile-events", anna, before=before)

    def test_shows_segments_and_deliveries(self, log_in, anna: int):
        segment = make_segment("weekly-regulars")
        Membership.objects.create(profile_id=anna, segment=segment, entered_at=timezone.now())
        destination = Destination.objects.create(slug="hook", name="Campaign tool", created_at=timezone.now())
        Delivery.objects.create(
            destination=destination,
            profile_id=anna,
            transition_id=1,
            event="entered",
            payload={},
            state="dead",
            created_at=timezone.now(),
        )

        shown = page(log_in(Role.MARKETER), "console:profile", anna)

        assert "Weekly regulars" in shown
        assert "Campaign tool" in shown
        assert "Given up" in shown

    @pytest.mark.parametrize(("role", "sees"), [(Role.PRIVACY_OFFICER, True), (Role.MARKETER, False)])
    def test_shows_consent_to_those_who_may_read_it(self, log_in, anna: int, role: Role, sees: bool):
        now = timezone.now()
        Purpose.objects.create(slug="news", name="Newsletter", kind="activation", created_at=now)
        record_consent(
            subjects=[("email", "anna@example.org")],
            purpose="news",
            state="withdrawn",
            method="form",
            happened_at=now,
            now=now,
        )

        shown = page(log_in(role), "console:profile", anna)

        assert ("Newsletter" in shown) is sees
        assert ("Took it back" in shown) is sees

    def test_an_absorbed_id_leads_to_the_profile_that_absorbed_it(self, log_in, anna: int):
        ProfileAlias.objects.create(profile_id=anna + 1000, canonical_id=anna, merged_at=timezone.now())

        response = log_in(Role.MARKETER).get(reverse("console:profile", args=[anna + 1000]))

        assert response.status_code == 302
        assert response["Location"] == reverse("console:profile", args=[anna])

    def test_hostile_traits_are_shown_as_text(self, log_in, accept):
        accept(identify(traits={"name": "<img src=x onerror=alert(1)>", "</script>": "<b>"}))
        drain_all()

        shown = page(log_in(Role.MARKETER), "console:profile", _only_profile())

        assert "<img src=x" not in shown
        assert "&lt;img src=x" in shown

    def test_takes_as_many_queries_for_much_as_for_little(self, log_in, accept, anna: int):
        client = log_in(Role.ADMIN)
        address = reverse("console:profile", args=[anna])
        Purpose.objects.create(slug="p-0", name="P0", kind="activation", created_at=timezone.now())
        little = queries_of(client, address)

        for number in range(1, 6):
            Purpose.objects.create(slug=f"p-{number}", name=f"P{number}", kind="activation", created_at=timezone.now())
            segment = make_segment(f"segment-{number}")
            Membership.objects.create(profile_id=anna, segment=segment, entered_at=timezone.now())
        accept(*(track("Ticked", properties={"n": number}) for number in range(20)), now=timezone.now())
        drain_all()

        assert queries_of(client, address) == little


class TestAccount:
    def test_shows_roles_and_their_scopes(self, log_in):
        shown = page(log_in(Role.MARKETER), "console:account")

        assert "Marketer" in shown
        assert "segments:write" in shown
        assert "sources:write" not in shown

    def test_changes_the_password_and_keeps_one_logged_in(self, client: Client, database):
        user = make_user(Role.ANALYST, username="ann", password=PASSWORD)
        client.force_login(user)
        new = "a-rather-long-one-42"

        response = client.post(
            "/account/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new}, follow=True
        )

        assert "Your password is changed." in response.content.decode()
        assert Client().login(username="ann", password=new)

    def test_refuses_a_wrong_old_password(self, log_in):
        response = log_in(Role.ANALYST).post(
            "/account/", {"old_password": "no", "new_password1": "x", "new_password2": "y"}
        )

        assert response.status_code == 200
        assert "field-error" in response.content.decode()


class TestSources:
    def test_empty_offers_the_first_one_to_those_who_may(self, log_in):
        assert "Create the first source" in page(log_in(Role.ENGINEER), "sources:list")

    def test_empty_tells_others_whom_to_ask(self, log_in):
        shown = page(log_in(Role.MARKETER), "sources:list")

        assert "Somebody with the role engineer or admin" in shown
        assert "/sources/new/" not in shown

    def test_list_what_came_in(self, log_in, accept):
        accept(track("A"), track("B"), {"type": "track"}, now=timezone.now())
        drain_all()

        (row,) = log_in(Role.ANALYST).get("/sources/").context["rows"]

        assert (row["stored"], row["quarantined"]) == (2, 1)
        assert row["spark"] == [0] * 23 + [2]

    def test_list_takes_as_many_queries_for_many_as_for_one(self, log_in, source: Source):
        client = log_in(Role.ADMIN)
        little = queries_of(client, "/sources/")
        for number in range(5):
            operations.create_source(slug=f"s-{number}", name=f"S{number}", now=timezone.now())

        assert queries_of(client, "/sources/") == little

    @pytest.mark.parametrize("role", [Role.MARKETER, Role.ANALYST, Role.PRIVACY_OFFICER])
    def test_are_written_by_engineers_and_admins_only(self, log_in, source: Source, role: Role):
        client = log_in(role)
        key = source.write_keys.get()

        assert client.get("/sources/new/").status_code == 403
        assert client.post("/sources/new/", {"name": "X"}).status_code == 403
        assert client.post("/sources/shop/keys/rotate/").status_code == 403
        assert client.post(f"/sources/shop/keys/{key.pk}/revoke/").status_code == 403
        assert client.post("/sources/shop/state/", {"state": "paused"}).status_code == 403
        shown = page(client, "sources:source", "shop")
        assert "Rotate" not in shown
        assert "Revoke" not in shown
        assert "Pause" not in shown
        assert Source.objects.get().state == "active"
        assert source.write_keys.count() == 1


class TestSource:
    def test_is_made_with_a_key_that_is_shown_once(self, log_in, client: Client):
        log_in(Role.ENGINEER)
        purpose = Purpose.objects.create(slug="a", name="A", kind="collection", created_at=timezone.now())

        made = client.post(
            "/sources/new/", {"name": "Mobile App", "slug": "", "purpose": purpose.pk, "description": "iOS"}
        )

        shown = made.content.decode()
        key = made.context["write_key"]
        source = Source.objects.get()
        assert (source.slug, source.purpose, source.description) == ("mobile-app", purpose, "iOS")
        assert key.startswith("wk_")
        assert f"-u {key}:" in shown
        assert made["Cache-Control"] == "no-store"
        again = page(client, "sources:source", "mobile-app")
        assert key not in again
        assert f"{key[:10]}…" in again
        assert "YOUR_WRITE_KEY" in again

    @pytest.mark.parametrize("slug", ["shop", "new", "Bad Slug"])
    def test_with_a_slug_that_cannot_be_is_refused_with_the_reason(self, log_in, source: Source, slug: str):
        response = log_in(Role.ENGINEER).post("/sources/new/", {"name": "X", "slug": slug})

        assert response.context["form"].errors["slug"]
        assert Source.objects.count() == 1

    def test_shows_what_came_in_as_it_comes(self, log_in, accept):
        client = log_in(Role.ENGINEER)
        accept(track("Order Completed", properties={"revenue": 5}), now=timezone.now())
        drain_all()

        shown = page(client, "sources:now", "shop")

        assert "Order Completed" in shown
        assert 'hx-swap-oob="true"' in shown

    def test_waits_for_its_first_event(self, log_in, source: Source):
        assert "Waiting for the first event" in page(log_in(Role.ENGINEER), "sources:source", "shop")

    def test_says_when_what_arrived_is_old(self, log_in, accept):
        now = timezone.now()
        accept(track("A", timestamp=(now - timedelta(days=90)).isoformat()), now=now)
        drain_all(now)

        assert "about an earlier time" in page(log_in(Role.ENGINEER), "sources:now", "shop")

    def test_says_when_it_has_gone_quiet(self, log_in, source: Source):
        source.write_keys.update(last_used_at=timezone.now() - timedelta(days=3))

        assert "Quiet for 24 hours" in page(log_in(Role.ENGINEER), "sources:now", "shop")

    def test_charts_outcomes_that_happened(self, log_in, accept):
        accept(track("A"), {"type": "track"}, now=timezone.now())
        drain_all()

        chart = log_in(Role.ANALYST).get("/sources/shop/").context["chart"]

        assert [(one["name"], one["data"][-1]) for one in chart["series"]] == [("Stored", 1), ("Quarantined", 1)]
        assert len(chart["x"]) == 48

    def test_rotates_to_a_second_key_and_revokes_the_first(self, log_in, source: Source, send, key: str):
        client = log_in(Role.ENGINEER)
        old = source.write_keys.get()

        new_key = client.post("/sources/shop/keys/rotate/").context["write_key"]

        assert send(track("A")).status_code == 200
        assert send(track("B"), write_key=new_key).status_code == 200
        client.post(f"/sources/shop/keys/{old.pk}/revoke/")
        assert send(track("C")).status_code == 401
        assert send(track("D"), write_key=new_key).status_code == 200

    def test_does_not_revoke_the_key_of_another_source(self, log_in, source: Source):
        operations.create_source(slug="other", name="Other", now=timezone.now())
        key = source.write_keys.get()

        response = log_in(Role.ENGINEER).post(f"/sources/other/keys/{key.pk}/revoke/")

        assert response.status_code == 404
        key.refresh_from_db()
        assert key.revoked_at is None

    def test_pauses_and_resumes(self, log_in, source: Source, send):
        client = log_in(Role.ENGINEER)

        client.post("/sources/shop/state/", {"state": "paused"})
        assert send(track("A")).status_code == 403
        client.post("/sources/shop/state/", {"state": "active"})
        assert send(track("A")).status_code == 200

    def test_changes_nothing_by_get(self, log_in, source: Source):
        client = log_in(Role.ADMIN)
        key = source.write_keys.get()

        for path in ("keys/rotate/", f"keys/{key.pk}/revoke/", "state/"):
            assert client.get(f"/sources/shop/{path}").status_code == 405

    def test_changes_nothing_without_a_csrf_token(self, source: Source):
        client = Client(enforce_csrf_checks=True)
        client.force_login(make_user(Role.ADMIN))

        response = client.post("/sources/shop/state/", {"state": "paused"})

        assert response.status_code == 403
        assert "This form is too old" in response.content.decode()


class TestApiDocs:
    def test_are_for_people_who_are_logged_in(self, client: Client, database):
        assert client.get("/api/docs/").status_code == 302

    def test_come_in_the_console_and_without_inline_code(self, log_in):
        shown = page(log_in(Role.ENGINEER), "api-docs")

        assert 'class="sidebar' in shown
        assert "<style" not in shown
        assert "<script>" not in shown
