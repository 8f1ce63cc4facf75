"""The small commands for shells and scripts."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from cdp.kernel.access.models import ApiToken
from ingestion import keys
from ingestion.models import Source
from ingestion.queries import inbox_depth

pytestmark = pytest.mark.usefixtures("database")


def say(*arguments, **options) -> str:
    said = StringIO()
    call_command(*arguments, stdout=said, **options)
    return said.getvalue().strip()


class TestAddSource:
    def test_prints_a_key_that_opens_the_source(self):
        key = say("add_source", "till-7", name="Till 7")

        source = Source.objects.get(slug="till-7")
        assert (source.name, source.kind) == ("Till 7", "http")
        assert keys.sender_of(key).source_id == source.pk

    def test_names_the_source_by_its_slug_if_need_be(self):
        say("add_source", "till")

        assert Source.objects.get(slug="till").name == "till"

    @pytest.mark.parametrize("slug", ["till", "No Slug", ""])
    def test_says_why_it_cannot(self, slug):
        say("add_source", "till")

        with pytest.raises(CommandError):
            say("add_source", slug)


class TestAddToken:
    def test_prints_a_token_with_those_scopes_only(self):
        token = say("add_token", "dashboard", scopes="sources:write, activation:write")

        row = ApiToken.objects.get(digest=ApiToken.digest_of(token))
        assert (row.name, row.scopes) == ("dashboard", ["activation:write", "sources:write"])

    def test_shows_personal_data_to_those_who_read_people_unless_masked(self):
        clear = ApiToken.objects.get(digest=ApiToken.digest_of(say("add_token", "a", scopes="profiles:read")))
        masked = ApiToken.objects.get(
            digest=ApiToken.digest_of(say("add_token", "b", scopes="profiles:read", masked=True))
        )

        assert clear.scopes == ["pii:read", "profiles:read"]
        assert masked.scopes == ["profiles:read"]

    @pytest.mark.parametrize("scopes", ["everything", "profiles:read,write", " , "])
    def test_refuses_scopes_that_do_not_exist(self, scopes):
        with pytest.raises(CommandError, match="profiles:read"):
            say("add_token", "dashboard", scopes=scopes)
        assert not ApiToken.objects.exists()

    def test_refuses_a_name_twice(self):
        say("add_token", "dashboard", scopes="admin")

        with pytest.raises(CommandError, match="already"):
            say("add_token", "dashboard", scopes="admin")


class TestDrain:
    def test_empties_the_inbox_and_says_what_became_of_it(self, accept):
        accept(*({"type": "track", "event": "A", "userId": "u", "messageId": str(number)} for number in range(3)))
        accept({"type": "track", "event": "A", "userId": "u", "messageId": "1"}, {"type": "no such thing"})

        said = say("drain")

        assert said == "3 stored, 1 duplicates, 0 refused for want of consent, 1 quarantined"
        assert inbox_depth() == 0
