"""What can be told of a sender: device, place, the way to the page. R: A6"""

import json
from dataclasses import replace
from typing import Any

import maxminddb
import pytest

from cdp.kernel import env
from ingestion import messages
from ingestion.contracts import Incoming, SourceTerms
from ingestion.enrich import addresses, checks, geo
from ingestion.enrich.agents import read_agent
from ingestion.enrich.channels import CHANNELS, Campaign, classify, host_of, path_of, telling
from ingestion.enrich.operations import enrich
from ingestion.enrich.settings import EnrichSettings
from ingestion.settings import SourceSettings
from tests.factories.ingestion import batch_body, inbox_row, track
from tests.factories.maxmind import write_database

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.6 Mobile/15E148 Safari/604.1"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile"
    " Safari/537.36"
)
TABLET = (
    "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
IPAD = IPHONE.replace("iPhone;", "iPad;").replace("iPhone OS", "OS")
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:143.0) Gecko/20100101 Firefox/143.0"
TELEVISION = "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like Gecko) TV Safari/538.1"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HEADLESS = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0 Safari/537.36"
PAGE = {"path": "/shoes", "url": "https://shop.example.com/shoes", "referrer": ""}


def enriched(context: Any, *, remote: str = "198.51.100.77", **settings: Any) -> dict[str, Any]:
    """The context as jsonb would keep it, after the drain's step."""
    row = replace(inbox_row(batch_body([track("Viewed", context=context)])), remote_addr=remote)
    (event,) = messages.decode_row(row)
    assert isinstance(event, Incoming)
    enrich([event], {1: SourceTerms(None, 100, SourceSettings(enrich=EnrichSettings(**settings)))})
    return json.loads(event.context)


class TestAgent:
    @pytest.mark.parametrize(
        ("user_agent", "device", "os", "program"),
        [
            (IPHONE, "phone", "iOS", "Mobile Safari"),
            (PIXEL, "phone", "Android", "Chrome Mobile"),
            (IPAD, "tablet", "iOS", "Mobile Safari"),
            (TABLET, "tablet", "Android", "Chrome"),
            (CHROME, "desktop", "Windows", "Chrome"),
            (MAC, "desktop", "macOS", "Firefox"),
            (TELEVISION, "tv", "Tizen", "Safari"),
        ],
    )
    def test_reads_a_user_agent(self, user_agent, device, os, program):
        agent = read_agent(user_agent=user_agent)

        assert (agent.device, agent.os, agent.browser, agent.bot) == (device, os, program, False)

    @pytest.mark.parametrize("user_agent", [GOOGLEBOT, HEADLESS, "facebookexternalhit/1.1", "AhrefsBot/7.0"])
    def test_knows_a_bot(self, user_agent):
        agent = read_agent(user_agent=user_agent)

        assert (agent.device, agent.bot) == ("bot", True)

    @pytest.mark.parametrize("user_agent", ["", "curl/8.0", "okhttp/4.9", "x" * 100_000, "\ufffd"])
    def test_claims_no_device_that_is_not_told(self, user_agent):
        assert read_agent(user_agent=user_agent).device == ""

    def test_believes_client_hints_over_the_user_agent(self):
        hints = {
            "brands": [
                {"brand": "Chromium", "version": "141"},
                {"brand": "Not?A_Brand", "version": "8"},
                {"brand": "Microsoft Edge", "version": "141"},
            ],
            "mobile": False,
            "platform": "Windows",
            "platformVersion": "15.0.0",
        }

        agent = read_agent(user_agent=CHROME, hints=json.dumps(hints).encode())

        assert (agent.browser, agent.os, agent.os_version, agent.device) == ("Edge", "Windows", "15.0", "desktop")

    def test_knows_the_device_of_an_app(self):
        agent = read_agent(
            user_agent="okhttp/4.9",
            device=b'{"type": "android", "model": "Pixel 9", "id": "x"}',
            system=b'{"name": "Android", "version": "15"}',
        )

        assert (agent.device, agent.model, agent.os, agent.os_version) == ("phone", "Pixel 9", "Android", "15")

    @pytest.mark.parametrize("data", [b"null", b"5", b"[]", b'{"brands": 3, "mobile": "x"}', b'{"model": []}'])
    def test_takes_nonsense_for_nothing(self, data):
        assert read_agent(user_agent=CHROME, hints=data, device=data, system=data) == read_agent(user_agent=CHROME)


class TestChannel:
    @pytest.mark.parametrize(
        ("search", "referrer", "channel"),
        [
            ("", "", "direct"),
            ("", "https://www.google.co.uk/", "organic search"),
            ("", "https://duckduckgo.com/", "organic search"),
            ("", "android-app://com.google.android.googlequicksearchbox/", "organic search"),
            ("", "https://l.facebook.com/", "social"),
            ("", "https://t.co/abc", "social"),
            ("", "https://out.reddit.com/", "social"),
            ("", "https://mail.google.com/mail/u/0/", "email"),
            ("", "https://blog.example.org/post", "referral"),
            ("", "https://netflix.com/", "referral"),
            ("", "https://www.shop.example.com/a", "internal"),
            ("", "https://example.com/", "internal"),
            ("", "https://checkout.pay.example/", "internal"),
            ("?gclid=1", "https://www.google.com/", "paid search"),
            ("?msclkid=1", "", "paid search"),
            ("?fbclid=1", "https://l.facebook.com/", "paid social"),
            ("?utm_source=google&utm_medium=cpc", "", "paid search"),
            ("?utm_source=google&gclid=1", "", "paid search"),
            ("?utm_source=facebook&utm_medium=cpc", "", "paid social"),
            ("?utm_source=x&utm_medium=Paid-Social", "", "paid social"),
            ("?utm_source=weekly&utm_medium=email&fbclid=1", "https://l.facebook.com/", "email"),
            ("?utm_source=newsletter", "", "email"),
            ("?utm_source=partner&utm_medium=affiliate", "", "affiliate"),
            ("?utm_medium=banner", "", "display"),
            ("?utm_medium=sms", "", "sms"),
            ("?utm_medium=web-push", "", "push"),
            ("?utm_source=Instagram", "", "social"),
            ("?utm_source=bing&utm_medium=organic", "", "organic search"),
            ("?utm_source=poster&utm_medium=qr", "https://www.google.com/", "other"),
            ("?q=shoes&clidx", "", "direct"),
        ],
    )
    def test_follows_from_the_first_rule_that_says_something(self, search, referrer, channel):
        came = classify(
            campaign=None,
            search=telling(search),
            referrer=host_of(referrer),
            host="shop.example.com",
            own_hosts={"pay.example"},
        )

        assert came.channel == channel
        assert came.channel in CHANNELS

    def test_prefers_the_campaign_that_the_library_found(self):
        campaign = Campaign("newsletter", "email", "weekly", "t", "c")

        came = classify(campaign=campaign, search="?utm_source=other", referrer="google.com", host="")

        assert (came.channel, came.source, came.medium, came.campaign, came.term, came.content) == (
            "email",
            "newsletter",
            "email",
            "weekly",
            "t",
            "c",
        )

    def test_names_who_sent_the_visitor(self):
        came = classify(campaign=None, search="", referrer="google.com", host="")

        assert (came.source, came.medium) == ("google", "organic")

    @pytest.mark.parametrize(
        ("url", "host", "path"),
        [
            ("https://user:pw@www.Shop.example:8000/a/b?c=d#e", "shop.example", "/a/b"),
            ("https://shop.example?utm_source=x", "shop.example", "/"),
            ("nonsense", "", "/"),
            ("", "", ""),
        ],
    )
    def test_takes_addresses_apart(self, url, host, path):
        assert host_of(url) == host
        if url != "nonsense":
            assert path_of(url) == path


class TestAddresses:
    @pytest.mark.parametrize(
        ("full", "kept"),
        [
            ("203.0.113.77", "203.0.113.0"),
            ("2001:db8:1234:5678::1", "2001:db8:1234::"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
        ],
    )
    def test_are_cut_to_a_neighbourhood(self, full, kept):
        assert addresses.truncate(addresses.parse(full)) == kept

    @pytest.mark.parametrize(
        ("remote", "forwarded", "sender"),
        [
            ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "6.6.6.6, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
            ("10.0.0.1", "10.0.0.7, 10.0.0.2", "10.0.0.7"),
        ],
    )
    def test_are_those_that_trusted_proxies_forward_for(self, remote, forwarded, sender, monkeypatch):
        monkeypatch.setenv("CDP_TRUSTED_PROXIES", "10.0.0.0/8,::1")

        found = addresses.client_address(
            remote=remote, forwarded=forwarded, trusted=env.networks("CDP_TRUSTED_PROXIES")
        )

        assert found == sender

    def test_refuse_to_trust_what_is_no_network(self, monkeypatch):
        monkeypatch.setenv("CDP_TRUSTED_PROXIES", "everybody")

        with pytest.raises(env.InvalidSettingError, match="CDP_TRUSTED_PROXIES"):
            env.networks("CDP_TRUSTED_PROXIES")


class TestEnrich:
    def test_adds_one_key_and_cuts_the_address(self):
        sent = {"userAgent": IPHONE, "ip": "203.0.113.77", "page": PAGE, "odd": {"ünï": [1.50]}}

        context = enriched(sent)

        assert context.pop("enriched") == {
            "bot": False,
            "device": "phone",
            "model": "iPhone",
            "os": "iOS",
            "os_version": "18.6",
            "browser": "Mobile Safari",
            "browser_version": "18",
            "channel": "direct",
        }
        assert context == sent | {"ip": "203.0.113.0"}

    def test_leaves_the_bytes_that_came_as_they_were(self):
        body = (
            b'{"batch": [{"type": "track", "event": "E", "userId": "u", "context": {"a":  1.500, "ip": "1.2.3.4"}}]}'
        )
        (event,) = messages.decode_row(inbox_row(body))

        enrich([event], {1: SourceTerms(None, 100)})

        assert event.context == b'{"a":  1.500, "ip": "1.2.3.4","ip":"1.2.3.0"}'

    @pytest.mark.parametrize(
        ("policy", "kept"), [("truncate", "203.0.113.0"), ("drop", None), ("keep", "203.0.113.77")]
    )
    def test_keeps_of_the_address_what_the_source_says(self, policy, kept):
        assert enriched({"ip": "203.0.113.77"}, ip=policy)["ip"] == kept

    def test_keeps_nothing_of_what_is_no_address(self):
        assert enriched({"ip": "at home"})["ip"] is None

    def test_takes_the_address_of_the_request_where_a_browser_sent_it(self):
        assert enriched({"page": PAGE})["ip"] == "198.51.100.0"
        assert enriched({"library": {"name": "analytics.js"}})["ip"] == "198.51.100.0"
        assert "ip" not in enriched({"library": {"name": "analytics-python"}})
        assert "ip" not in enriched({})

    def test_adds_nothing_where_it_is_switched_off(self):
        context = enriched({"userAgent": IPHONE, "ip": "203.0.113.77"}, enabled=False)

        assert context == {"userAgent": IPHONE, "ip": "203.0.113.0"}

    def test_finds_the_campaign_in_the_page(self):
        search = "?utm_source=news&utm_medium=email&utm_campaign=may"

        context = enriched({"page": PAGE | {"url": PAGE["url"] + search}})

        assert context["enriched"]["channel"] == "email"
        assert context["enriched"]["campaign"] == "may"

    @pytest.mark.parametrize(
        "context",
        [
            {"ip": 5, "userAgent": IPHONE},
            {"page": "x", "userAgent": IPHONE, "campaign": []},
            {"library": [1], "userAgent": IPHONE},
            {"page": {"url": 7}, "userAgent": IPHONE},
        ],
    )
    def test_reads_what_it_can_of_a_context_of_other_types(self, context):
        assert enriched(context)["enriched"]["device"] == "phone"

    def test_tells_the_country_from_the_file(self, settings, tmp_path):
        write_database(tmp_path / "geo.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "NO"}, "city": "Oslo"}})
        settings.GEOIP_FILE = str(tmp_path / "geo.mmdb")

        found = enriched({"ip": "203.0.113.77"})["enriched"]

        assert (found["country"], found["city"]) == ("NO", "Oslo")
        assert "country" not in enriched({"ip": "8.8.8.8"}).get("enriched", {})

    def test_follows_the_file_when_it_changes(self, settings, tmp_path):
        settings.GEOIP_FILE = str(tmp_path / "geo.mmdb")
        assert "enriched" not in enriched({"ip": "203.0.113.77"})

        write_database(tmp_path / "geo.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "NO"}}})
        geo.forget()
        assert enriched({"ip": "203.0.113.77"})["enriched"]["country"] == "NO"

        write_database(tmp_path / "new.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "IS"}}})
        (tmp_path / "new.mmdb").rename(tmp_path / "geo.mmdb")
        geo.forget()
        assert enriched({"ip": "203.0.113.77"})["enriched"]["country"] == "IS"

    def test_goes_on_with_the_old_file_when_the_new_one_is_bad_and_says_so(self, settings, tmp_path):
        file = tmp_path / "geo.mmdb"
        settings.GEOIP_FILE = str(file)
        write_database(file, {"203.0.113.0/24": {"country": {"iso_code": "NO"}}})
        assert geo.problem() == ""
        assert enriched({"ip": "203.0.113.77"})["enriched"]["country"] == "NO"

        (tmp_path / "bad").write_bytes(b"not a database")
        (tmp_path / "bad").rename(file)
        geo.forget()

        assert enriched({"ip": "203.0.113.78"})["enriched"]["country"] == "NO"
        assert "cannot be read" in geo.problem()
        assert [warning.id for warning in checks.check_geoip_file()] == ["ingestion.W001"]

    def test_needs_no_file(self, settings, tmp_path):
        settings.GEOIP_FILE = ""
        assert geo.problem() == ""

        settings.GEOIP_FILE = str(tmp_path / "none.mmdb")
        assert "missing" in geo.problem()
        assert "enriched" not in enriched({"ip": "203.0.113.77"})


def test_the_file_is_one_that_maxminddb_reads(tmp_path):
    write_database(tmp_path / "geo.mmdb", {"10.0.0.0/8": {"country": {"iso_code": "DE"}}, "192.0.2.0/24": {"n": 5}})

    with maxminddb.open_database(tmp_path / "geo.mmdb") as reader:
        assert reader.get("10.200.3.4") == {"country": {"iso_code": "DE"}}
        assert reader.get("192.0.2.9") == {"n": 5}
        assert reader.get("11.0.0.1") is None
