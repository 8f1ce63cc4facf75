"""Sessions as people see them: on the timeline of a profile and on the tab of a source."""

import pytest
from django.test import Client

from identity import queries as identities
from ingestion.models import Source
from ingestion.sessions.settings import SessionSettings
from ingestion.sessions.words import duration_text, origin_text, session_text
from tests.factories.access import make_user
from tests.factories.ingestion import NOW
from tests.integration.test_sessions import PAGE, browsed, drain, end_all, use

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Version/18.6 Mobile/15E148"
    " Safari/604.1"
)
SEARCHED = {"page": PAGE | {"referrer": "https://www.google.com/"}, "userAgent": IPHONE}


@pytest.fixture
def analyst(database: None) -> Client:
    client = Client()
    client.force_login(make_user("analyst"))
    return client


def timeline(client: Client, **query: str) -> str:
    visitor = identities.lookup(kind="anonymous_id", value="a-1")
    return client.get(f"/profiles/{visitor}/", query).content.decode()


class TestTimeline:
    def test_puts_events_under_their_session(self, accept, analyst):
        drain(accept, browsed(0, context=SEARCHED), browsed(4.2, "Product Added", context=SEARCHED), browsed(90))
        end_all()

        page = timeline(analyst)

        assert "4 min 12 s, 2 events, Organic search, iPhone" in page
        assert page.count("story-session") == 2
        assert page.count("story-visit") == 3

    def test_says_that_one_is_under_way(self, accept, analyst):
        drain(accept, browsed(0, context=SEARCHED))

        assert "under way, Organic search, iPhone" in timeline(analyst)

    def test_shows_plain_events_where_one_kind_is_asked_for(self, accept, analyst):
        drain(accept, browsed(0))
        end_all()

        page = timeline(analyst, event="Session Ended")

        assert page.count("story-session") == 0
        assert "landing_page" in page

    def test_takes_a_senders_own_id_for_no_session_of_ours(self, accept, analyst):
        server = {"library": {"name": "analytics-python"}}
        drain(accept, browsed(0, properties={"session_id": "mine"}, context=server))

        assert "story-session" not in timeline(analyst)

    def test_says_when_and_with_what_somebody_was_last_seen(self, accept, analyst):
        drain(accept, browsed(0, context=SEARCHED))

        assert "with iPhone, Mobile Safari, iOS, organic search" in timeline(analyst)

    def test_loses_no_event_of_the_instant_at_which_a_stretch_ends(self, accept, analyst):
        drain(accept, *(browsed(0, f"Event {number}") for number in range(40)))
        visitor = identities.lookup(kind="anonymous_id", value="a-1")

        first = analyst.get(f"/profiles/{visitor}/events/")
        second = analyst.get(f"/profiles/{visitor}/events/", {"before": first.context["next"]})

        shown = [line.event.name for answer in (first, second) for line in answer.context["lines"]]
        assert sorted(shown) == sorted({f"Event {number}" for number in range(40)})


class TestTab:
    def test_tells_how_many_how_long_and_from_where(self, accept, analyst, settings, monkeypatch):
        monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
        drain(accept, browsed(0, context=SEARCHED), browsed(2), browsed(0, anonymousId="a-2"))
        end_all()

        answer = analyst.get("/sources/shop/sessions/")

        summary = answer.context["summary"]
        assert (summary.started, summary.ended, summary.median_seconds, summary.bounced) == (2, 2, 60, 0.5)
        assert summary.channels == {"organic search": 1, "direct": 1}
        assert summary.devices == {"phone": 1, "not known": 1}
        assert summary.days[NOW.date()] == 2
        assert "1 min" in answer.content.decode()

    def test_says_what_to_do_where_there_are_none(self, analyst, source: Source):
        assert "No session yet" in analyst.get("/sources/shop/sessions/").content.decode()

        use(source, SessionSettings(mode="never"))
        assert "switched off" in analyst.get("/sources/shop/sessions/").content.decode()


class TestSettings:
    def test_are_saved(self, database, source: Source):
        engineer = Client()
        engineer.force_login(make_user("engineer"))
        sent = {"part": "sessions", "sessions-mode": "always", "sessions-timeout_minutes": "45"}

        assert engineer.post("/sources/shop/settings/", sent).status_code == 302
        source.refresh_from_db()
        assert source.settings["sessions"] == {"mode": "always", "timeout_minutes": 45}

        sent["sessions-timeout_minutes"] = "0"
        assert engineer.post("/sources/shop/settings/", sent).status_code == 422


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0 s"), (48.4, "48 s"), (60, "1 min"), (252, "4 min 12 s"), (3_900, "1 h 5 min"), (7_200, "2 h")],
    )
    def test_tell_a_duration(self, seconds, text):
        assert duration_text(seconds) == text

    def test_tell_a_session(self):
        told = {"duration": 252, "pages": 6, "channel": "organic search", "model": "iPhone", "device": "phone"}

        assert session_text(told) == "4 min 12 s, 6 pages, Organic search, iPhone"
        assert session_text({"duration": 1, "pages": 1}) == "1 s, 1 page"
        assert session_text({"channel": "direct"}) == "under way, Direct"

    def test_tell_where_an_event_came_from(self):
        assert origin_text({"device": "phone", "country": "NO", "channel": "internal"}) == "phone, NO"
        assert origin_text("nonsense") == origin_text(None) == ""
