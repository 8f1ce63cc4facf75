"""Manual segments: given members, by the API and through merges. R: D7"""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from cdp.kernel.access.models import ApiToken
from identity.merging import operations as merging
from identity.models import Identifier, ProfileIdentifier
from segments import operations
from segments.ast import DefinitionError
from segments.manual import uploads
from segments.manual.errors import UploadError
from segments.manual.models import GivenMember, Upload
from segments.manual.operations import Named, add_members, create_manual, freeze, remove_members
from segments.models import Change, Membership, Segment, Transition
from tests.factories import segments as make
from tests.factories.ingestion import NOW

pytestmark = pytest.mark.django_db

GERMAN = {"type": "trait", "trait": "country", "op": "eq", "value": "DE"}


@pytest.fixture(scope="module", autouse=True)
def _months(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        make.ensure_months((NOW - timedelta(days=40)).date(), NOW.date())


def person(email: str, **traits: Any) -> int:
    profile_id = make.make_profile(traits)
    Identifier.objects.create(kind="email", value=email, profile_id=profile_id)
    ProfileIdentifier.objects.create(
        kind="email", value=email, profile_id=profile_id, first_seen_at=make.LONG_AGO, source_id=1
    )
    return profile_id


@pytest.fixture
def anna() -> int:
    return person("anna@example.com", country="DE")


@pytest.fixture
def ben() -> int:
    return person("ben@example.com", country="FR")


@pytest.fixture
def vip() -> Segment:
    segment = create_manual(name="VIP", now=NOW)
    compute_all()
    return segment


def compute_all() -> None:
    for segment in Segment.objects.filter(state=Segment.State.COMPUTING).order_by("pk"):
        operations.recompute(segment_id=segment.pk, now=NOW)


def settle() -> None:
    while Change.objects.exists():
        operations.evaluate_changes(now=NOW)


def members(segment: Segment) -> set[int]:
    return set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))


def profiles(*ids: int) -> list[Named]:
    return [Named("profile", str(id_)) for id_ in ids]


def add(segment: Segment, *ids: int) -> None:
    add_members(segment_id=segment.pk, people=profiles(*ids), now=NOW)
    settle()


class TestAddAndRemove:
    def test_says_of_each_what_became_of_it(self, vip: Segment, anna: int, ben: int) -> None:
        wanted = [*profiles(anna, 999_999_999), Named("email", "BEN@example.com "), Named("email", "nobody@x.de")]

        first = add_members(segment_id=vip.pk, people=wanted, now=NOW)
        again = add_members(segment_id=vip.pk, people=wanted, now=NOW)

        settle()
        assert [item.outcome for item in first] == ["added", "not_found", "added", "not_found"]
        assert [item.outcome for item in again] == ["already_in", "not_found", "already_in", "not_found"]
        assert members(vip) == {anna, ben}
        assert set(Transition.objects.values_list("kind", "cause")) == {("entered", "manual")}

    def test_takes_out_again(self, vip: Segment, anna: int, ben: int) -> None:
        add(vip, anna)

        items = remove_members(segment_id=vip.pk, people=[Named("email", "anna@example.com"), *profiles(ben, anna)])

        settle()
        assert [item.outcome for item in items] == ["removed", "not_in", "not_in"]
        assert members(vip) == set()
        assert list(Transition.objects.order_by("id").values_list("kind", "cause")) == [
            ("entered", "manual"),
            ("left", "manual"),
        ]

    def test_has_the_segments_that_name_it_asked(self, vip: Segment, anna: int, ben: int) -> None:
        both = {"type": "all", "of": [GERMAN, {"type": "segment", "segment": vip.slug}]}
        outer = operations.create_segment(name="German VIP", definition=both, now=NOW)
        compute_all()

        add(vip, anna, ben)

        assert members(outer) == {anna}
        assert Transition.objects.get(segment=outer).cause == "change"

    def test_stays_as_it_is_when_computed_again(self, vip: Segment, anna: int, ben: int) -> None:
        add(vip, anna)

        span = operations.recompute(segment_id=vip.pk, now=NOW)

        assert (span.entered, span.left) == (0, 0)
        assert members(vip) == {anna}

    def test_no_other_definition_gives_members(self) -> None:
        with pytest.raises(DefinitionError) as caught:
            operations.create_segment(name="Sly", definition={"type": "given", "segment": "vip"}, now=NOW)

        assert caught.value.code == "given_not_allowed"

    def test_a_frozen_segment_keeps_who_was_in(self, anna: int, ben: int) -> None:
        germans = operations.create_segment(name="Germans", definition=GERMAN, now=NOW)
        compute_all()

        frozen = freeze(source=germans, name="Germans of today", user=None, now=NOW)

        compute_all()
        settle()
        make.set_traits(anna, {"country": "AT"})
        make.note_change(anna, traits=["country"])
        settle()
        assert members(germans) == set()
        assert members(frozen) == {anna}


class TestMerges:
    def test_membership_follows_a_merge_and_its_undoing(self, vip: Segment, anna: int, ben: int) -> None:
        add(vip, ben)

        merge = merging.merge_profiles(one=anna, other=ben, cause="person", evidence={}, now=NOW)
        settle()
        assert members(vip) == {anna}
        remove_and_back = remove_members(segment_id=vip.pk, people=profiles(ben))
        assert [item.outcome for item in remove_and_back] == ["removed"]
        add_members(segment_id=vip.pk, people=[Named("email", "ben@example.com")], now=NOW)
        settle()
        assert members(vip) == {anna}
        merging.undo_merge(merge_id=merge.id, now=NOW)
        settle()

        assert members(vip) == {ben}
        assert list(GivenMember.objects.values_list("origin_id", flat=True)) == [ben]


class TestApi:
    @pytest.fixture
    def writer(self) -> APIClient:
        _, token = ApiToken.issue(name="test", scopes=["segments:read", "segments:write", "pii:read"])
        made = APIClient()
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return made

    def test_adds_reads_and_removes(self, writer: APIClient, anna: int) -> None:
        made = writer.post("/api/v1/segments/manual/", {"name": "Guests"})
        compute_all()
        url = f"/api/v1/segments/{made.json()['slug']}/members/"
        both = {"members": [anna, {"kind": "email", "value": "nobody@example.com"}]}

        added = writer.post(url, both)
        settle()
        listed = writer.get(url)
        removed = writer.delete(url, {"members": [{"profile": anna}]})
        gone = writer.post(f"{url}remove/", {"members": [anna]})

        assert made.status_code == 201
        assert added.json() == {
            "results": [
                {"member": {"profile": anna}, "profile": anna, "outcome": "added"},
                {"member": both["members"][1], "profile": None, "outcome": "not_found"},
            ],
            "next": None,
        }
        assert [one["profile"] for one in listed.json()["results"]] == [anna]
        assert removed.json()["results"][0]["outcome"] == "removed"
        assert gone.json()["results"][0]["outcome"] == "not_in"

    @pytest.mark.parametrize(
        ("body", "code", "path"),
        [
            ({}, "required", "/members"),
            ({"members": []}, "empty", "/members"),
            ({"members": [True]}, "person", "/members/0"),
            ({"members": [{"kind": "email"}]}, "person", "/members/0"),
            ({"members": list(range(1, 5_002))}, "max_length", "/members"),
        ],
    )
    def test_says_what_is_wrong(self, writer: APIClient, vip: Segment, body: Any, code: str, path: str) -> None:
        answer = writer.post(f"/api/v1/segments/{vip.slug}/members/", body)

        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["path"]) == (code, path)

    def test_a_computed_segment_is_given_nobody(self, writer: APIClient, anna: int) -> None:
        operations.create_segment(name="Germans", slug="germans", definition=GERMAN, now=NOW)

        answer = writer.post("/api/v1/segments/germans/members/", {"members": [anna]})

        assert answer.status_code == 409
        assert answer.json()["code"] == "not_manual"


class TestUpload:
    def take(self, segment: Segment, text: str, *, kinds: list[str] | None = None) -> Upload:
        upload = uploads.take_upload(
            segment_id=segment.pk, file_name="list.csv", body=text.encode(), user=None, now=NOW
        )
        guessed = kinds or [column["kind"] for column in upload.columns]
        uploads.start_matching(upload_id=upload.pk, kinds=guessed, now=NOW)
        upload.refresh_from_db()
        return upload

    def apply(self, upload: Upload, mode: str = "add", *, create: bool = False) -> Upload:
        uploads.start_applying(upload_id=upload.pk, mode=mode, create_unknown=create, now=NOW)
        settle()
        upload.refresh_from_db()
        return upload

    def test_shows_what_the_lines_lead_to_before_anything_changes(self, vip: Segment, anna: int, ben: int) -> None:
        text = f"Mail;Profile\nANNA@example.com;\nanna@example.com;\nnobody@x.de;\nguest;\nben@example.com;{anna}\n"

        upload = self.take(vip, text)

        assert [column["kind"] for column in upload.columns] == ["email", "profile"]
        assert upload.state == "ready"
        assert upload.counts == {"found": 1, "duplicate": 1, "unknown": 1, "invalid": 1, "ambiguous": 1}
        assert members(vip) == set()

    def test_guesses_a_column_without_a_name_by_what_is_known(self, vip: Segment, anna: int) -> None:
        Identifier.objects.create(kind="user_id", value="u-1", profile_id=anna)

        upload = self.take(vip, "u-1\nu-2\n")

        assert [column["kind"] for column in upload.columns] == ["user_id"]
        assert upload.counts == {"found": 1, "unknown": 1}

    def test_adds_and_is_taken_back(self, vip: Segment, anna: int, ben: int) -> None:
        add(vip, ben)

        upload = self.apply(self.take(vip, "email\nanna@example.com\nben@example.com\n"))
        assert members(vip) == {anna, ben}
        assert (upload.counts["added"], upload.counts["removed"]) == (1, 0)
        uploads.undo(upload_id=upload.pk, now=NOW)
        settle()

        assert members(vip) == {ben}

    def test_replaces_everybody_and_is_taken_back(self, vip: Segment, anna: int, ben: int) -> None:
        add(vip, ben)

        upload = self.apply(self.take(vip, "email\nanna@example.com\n"), "replace")
        assert members(vip) == {anna}
        uploads.undo(upload_id=upload.pk, now=NOW)
        settle()

        assert members(vip) == {ben}

    def test_removes(self, vip: Segment, anna: int, ben: int) -> None:
        add(vip, anna, ben)

        self.apply(self.take(vip, "email\nanna@example.com\n"), "remove")

        assert members(vip) == {ben}

    def test_makes_profiles_of_unknown_ones_where_asked_to(self, vip: Segment, anna: int) -> None:
        upload = self.apply(self.take(vip, "email\nanna@example.com\nnew@example.com\n"), create=True)

        new = Identifier.objects.get(kind="email", value="new@example.com").profile_id
        assert members(vip) == {anna, new}
        assert upload.counts["created"] == 1

    def test_a_long_list_is_left_to_a_worker_that_may_be_lost(self, vip: Segment, anna: int) -> None:
        lines = "".join(f"nobody-{number}@example.com\n" for number in range(uploads.AT_ONCE + 1))
        upload = self.take(vip, f"email\nanna@example.com\n{lines}")
        assert upload.state == "matching"
        assert uploads.waiting(idle_since=NOW + timedelta(seconds=1)) == [upload.pk]

        uploads.work(upload_id=upload.pk, now=NOW)

        upload.refresh_from_db()
        assert upload.counts == {"found": 1, "unknown": uploads.AT_ONCE + 1}

    @pytest.mark.parametrize("body", [b"", b"PK\x03\x04", b"\x00\x01\x02"])
    def test_refuses_what_is_no_list(self, vip: Segment, body: bytes) -> None:
        with pytest.raises(UploadError):
            uploads.take_upload(segment_id=vip.pk, file_name="x", body=body, user=None, now=NOW)
