"""The ingestion endpoints: who may write, what is refused and how it is said, and that 200 means kept."""

import base64
import gzip
import json
import time
import zlib
from typing import Any
from urllib.parse import quote, urlencode

import psycopg2
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from cdp.kernel import wake
from ingestion import keys, operations, rates
from ingestion.models import InboxItem, Source, WriteKey
from ingestion.settings import RateLimit, SourceSettings
from tests.factories.ingestion import batch_body, message
from tests.integration.conftest import drain_all, rows

BATCH = "/v1/batch"


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


@pytest.fixture
def post(client: Client, key: str):
    def send(body: Any = None, *, path: str = BATCH, content_type: str = "application/json", headers=None):
        data = batch_body([message()]) if body is None else body
        headers = {"X-Write-Key": key} if headers is None else headers
        return client.post(path, data, content_type=content_type, headers=headers)

    return send


class TestAccepted:
    @pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group", "alias"])
    @pytest.mark.parametrize("spelling", ["/v1/{}", "/v1/{}/", "/v1/{:.1}"])
    def test_a_single_message(self, post, kind: str, spelling: str):
        response = post(json.dumps(message(type=...)), path=spelling.format(kind))

        assert (response.status_code, response.json()) == (200, {"success": True})
        assert rows("SELECT kind, events FROM inbox") == [(kind, 1)]

    @pytest.mark.parametrize("name", ["batch", "b", "import"])
    def test_several_messages(self, post, name: str):
        assert post(batch_body([message(), message()]), path=f"/v1/{name}").status_code == 200
        assert rows("SELECT kind, events FROM inbox") == [("batch", 2)]

    def test_what_the_browser_library_says_of_itself_is_not_kept(self, post):
        response = post(b'{"series": []}', path="/v1/m", headers={})

        assert (response.status_code, response.json()) == (200, {"success": True})
        assert not InboxItem.objects.exists()

    @pytest.mark.parametrize(
        "encode", [quote, lambda text: "data=" + quote(text), lambda text: urlencode({"data": text})]
    )
    def test_a_form(self, post, encode):
        text = json.dumps({"batch": [message(userId="ü +&=")]})

        assert post(encode(text).encode(), content_type="application/x-www-form-urlencoded").status_code == 200
        assert drain_all().stored == 1
        assert rows("SELECT value FROM identifier") == [("ü +&=",)]

    def test_a_batch_is_one_row(self, post, source: Source):
        body = batch_body([message(), message()])

        response = post(body)

        assert (response.status_code, response.json()) == (200, {"success": True})
        assert rows("SELECT source_id, kind, events FROM inbox") == [(source.pk, "batch", 2)]

    def test_what_was_sent_is_what_is_drained(self, send):
        send(message(messageId="m-1", userId="ü-😀"))

        assert drain_all().stored == 1
        assert rows("SELECT value FROM identifier") == [("ü-😀",)]

    def test_an_empty_batch_leaves_nothing(self, post):
        assert post(b'{"batch": []}').status_code == 200
        assert not InboxItem.objects.exists()

    @pytest.mark.parametrize(
        "content_type",
        [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
            "multipart/form-data; boundary=x",
            "text/plain;charset=UTF-8",
            "nonsense",
        ],
    )
    def test_any_content_type(self, post, content_type: str):
        assert post(content_type=content_type).status_code == 200
        assert InboxItem.objects.count() == 1

    def test_gzip(self, post, key: str):
        response = post(
            gzip.compress(batch_body([message()])), headers={"X-Write-Key": key, "Content-Encoding": "gzip"}
        )

        assert response.status_code == 200
        assert drain_all().stored == 1

    def test_half_an_emoji(self, post):
        body = rb'{"batch":[{"type":"track","event":"E\ud83d","userId":"u","properties":{"a":"\ud83d"}}]}'

        assert post(body).status_code == 200
        assert drain_all().stored == 1
        assert rows("SELECT name FROM event_name") == [("E\ufffd",)]

    def test_a_message_that_will_be_quarantined(self, post):
        assert post(batch_body([5, message(type="purchase"), message()])).status_code == 200

        drained = drain_all()

        assert (drained.stored, drained.quarantined) == (1, 2)


class TestWhoSends:
    def test_by_basic_authentication(self, post, key: str):
        assert post(headers=basic(key)).status_code == 200

    def test_by_header(self, post, key: str):
        assert post(headers={"X-Write-Key": key}).status_code == 200

    @pytest.mark.parametrize("path", [BATCH, "/v1/track"])
    def test_by_the_body(self, post, key: str, path: str):
        body = {"writeKey": key, "batch": [message()], **message()}

        assert post(json.dumps(body), path=path, headers={}).status_code == 200

    def test_both_keys_during_rotation(self, post, source: Source, key: str):
        second = operations.rotate_write_key(source=source, now=timezone.now())

        assert [post(headers={"X-Write-Key": live}).status_code for live in (key, second)] == [200, 200]

    @pytest.mark.parametrize(
        ("headers", "code"),
        [
            ({}, "write_key_missing"),
            ({"X-Write-Key": "wk_unknown"}, "write_key_unknown"),
            (basic("wk_unknown"), "write_key_unknown"),
            ({"X-Write-Key": "wk_\ud800".encode("utf-8", "surrogatepass").decode("latin-1")}, "write_key_unknown"),
            ({"Authorization": "Basic !!"}, "authorization_malformed"),
            ({"Authorization": "Basic " + base64.b64encode(b"\xff:").decode()}, "authorization_malformed"),
            ({"Authorization": "Bearer abc"}, "write_key_missing"),
        ],
    )
    def test_anybody_else_is_refused(self, post, headers: dict[str, str], code: str):
        response = post(headers=headers)

        assert response.status_code == 401
        assert response.json()["code"] == code
        assert not InboxItem.objects.exists()

    def test_a_revoked_key_is_refused_at_once(self, post, key: str):
        assert post().status_code == 200
        operations.revoke_write_key(key_id=WriteKey.objects.get().pk, now=timezone.now())

        response = post()

        assert (response.status_code, response.json()["code"]) == (401, "write_key_unknown")

    def test_a_key_that_another_process_revoked_lives_for_seconds_only(self, post, monkeypatch: pytest.MonkeyPatch):
        assert post().status_code == 200
        WriteKey.objects.update(revoked_at=timezone.now())
        later = keys.time.monotonic() + 6
        monkeypatch.setattr(keys.time, "monotonic", lambda: later)

        assert post().status_code == 401

    def test_a_paused_source_is_refused(self, post, source: Source):
        operations.set_source_state(source=source, state="paused")

        response = post()

        assert (response.status_code, response.json()["code"]) == (403, "source_paused")

    def test_the_use_of_a_key_is_noted(self, post):
        post()

        assert WriteKey.objects.get().last_used_at is not None

    def test_keys_are_kept_as_hashes(self, key: str):
        (row,) = rows("SELECT w::text FROM ingestion_writekey w")

        assert key not in row[0]


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "code", "path"),
        [
            (b"", "json_invalid", None),
            (b"{", "json_invalid", None),
            (b'{"batch": [{]}', "json_invalid", None),
            (b'{"batch": [NaN]}', "json_invalid", None),
            (b'{"batch": "\xff"}', "utf8_invalid", None),
            (b"[]", "body_invalid", None),
            (b"{}", "body_invalid", None),
            (b'{"batch": {}}', "body_invalid", "/batch"),
            (b'{"batch": [], "sentAt": 5}', "body_invalid", "/sentAt"),
            (b'{"batch": [], "writeKey": 5}', "body_invalid", "/writeKey"),
        ],
    )
    def test_a_body_that_is_no_batch(self, post, body: bytes, code: str, path: str | None):
        response = post(body)

        assert response.status_code == 400
        assert (response.json()["code"], response.json().get("path")) == (code, path)
        assert response.json()["message"]

    def test_a_body_beyond_the_limit(self, post):
        response = post(b'{"batch": [%s]}' % b" " * settings.INGESTION_MAX_BODY_BYTES)

        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    def test_a_body_of_just_the_limit_is_taken(self, post):
        body = batch_body([message()])

        assert post(body.ljust(settings.INGESTION_MAX_BODY_BYTES)).status_code == 200
        assert post(body.ljust(settings.INGESTION_MAX_BODY_BYTES + 1)).status_code == 413

    def test_an_event_beyond_the_limit_is_named(self, post):
        large = message(properties={"a": "x" * settings.INGESTION_MAX_EVENT_BYTES})

        response = post(batch_body([message(), message(), large]))

        assert response.status_code == 400
        assert (response.json()["code"], response.json()["path"]) == ("event_too_large", "/batch/2")

    def test_a_single_event_beyond_the_limit(self, post):
        response = post(json.dumps(message(properties={"a": "x" * 33_000})), path="/v1/track")

        assert (response.status_code, response.json()["code"]) == (400, "event_too_large")

    def test_too_many_events(self, post):
        item = b'{"userId":"u"}'
        most = settings.INGESTION_MAX_BATCH_EVENTS

        few, many = (post(b'{"batch":[%s]}' % b",".join([item] * number)) for number in (most, most + 1))

        assert few.status_code == 200
        assert (many.status_code, many.json()["code"], many.json()["path"]) == (400, "batch_too_long", "/batch")

    @pytest.mark.parametrize("data", [b"not gzip", gzip.compress(b"{}", mtime=0)[:-4], zlib.compress(b"{}"), b""])
    def test_gzip_that_is_none(self, post, key: str, data: bytes):
        response = post(data, headers={"X-Write-Key": key, "Content-Encoding": "gzip"})

        assert (response.status_code, response.json()["code"]) == (400, "gzip_invalid")

    def test_a_gzip_bomb(self, post, key: str):
        bomb = gzip.compress(b" " * 200_000_000)

        response = post(bomb, headers={"X-Write-Key": key, "Content-Encoding": "gzip"})

        assert len(bomb) < settings.INGESTION_MAX_BODY_BYTES
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")

    def test_an_encoding_that_nobody_knows(self, post, key: str):
        response = post(headers={"X-Write-Key": key, "Content-Encoding": "br"})

        assert (response.status_code, response.json()["code"]) == (400, "encoding_unknown")

    @pytest.mark.parametrize("path", ["/v1/", "/v1/purchase", "/v1/track/me", "/v1/projects"])
    @pytest.mark.parametrize("method", ["get", "post", "options"])
    def test_other_addresses(self, client: Client, method: str, path: str):
        response = getattr(client, method)(path, headers={"Origin": "https://shop.example"})

        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response["Access-Control-Allow-Origin"] == "*"

    def test_a_look_at_the_address(self, client: Client):
        response = client.head(BATCH)

        assert (response.status_code, response.content) == (405, b"")

    @pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
    def test_other_methods(self, client: Client, method: str):
        response = getattr(client, method)(BATCH)

        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert "POST" in response["Allow"]

    def test_leave_nothing_behind(self, post):
        for body in (b"", b"[]", b'{"batch":[{]}'):
            post(body)

        assert not InboxItem.objects.exists()


class TestRateLimit:
    @pytest.fixture
    def limit(self, source: Source):
        def set_to(per_second: int, burst: int = 0) -> None:
            wake.client().delete(f"cdp:rate:{source.pk}")
            rates.forget()
            operations.change_settings(source=source, settings=SourceSettings(rate=RateLimit(per_second, burst)))

        return set_to

    def test_of_a_source_says_when_to_come_back(self, post, limit):
        limit(1, burst=3)

        answers = [post(headers=None) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["code"] == "rate_limited"
        assert answers[-1]["Retry-After"] == "1"
        assert rows("SELECT sum(events) FROM inbox") == [(3,)]

    def test_counts_messages(self, post, limit):
        limit(1, burst=10)

        answers = [post(batch_body([message()] * number)) for number in (8, 5)]

        assert [answer.status_code for answer in answers] == [200, 429]
        assert 2 <= int(answers[1]["Retry-After"]) <= 3

    def test_takes_a_batch_beyond_the_burst_when_there_was_a_pause(self, post, limit):
        limit(10)

        answers = [post(batch_body([message()] * number)) for number in (40, 1)]

        assert [answer.status_code for answer in answers] == [200, 429]
        assert int(answers[1]["Retry-After"]) == 4

    def test_lets_go_on_after_that_time(self, post, limit):
        limit(20, burst=1)
        assert [post().status_code, post().status_code] == [200, 429]

        time.sleep(0.1)

        assert post().status_code == 200

    def test_is_none_unless_it_is_set(self, post, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(rates, "spend", lambda **_: pytest.fail("asked Redis"))

        assert post().status_code == 200

    def test_lets_everything_pass_where_redis_is_away(self, post, limit, monkeypatch: pytest.MonkeyPatch):
        limit(1, burst=1)
        away = Redis(port=1, socket_connect_timeout=1)
        monkeypatch.setattr(rates, "_script", away.register_script("return 0"))
        asked = []
        monkeypatch.setattr(away, "evalsha", lambda *_: asked.append(1) or refuse(), raising=False)

        assert [post().status_code for _ in range(5)] == [200] * 5
        assert len(asked) == 1
        rates.forget()


def refuse() -> None:
    raise RedisConnectionError


class TestDeepNesting:
    def test_of_one_message_does_not_refuse_its_batch(self, post):
        deep = b'{"userId":"u","type":"track","event":"E","properties":{"a":%s}}' % (b"[" * 12_000 + b"]" * 12_000)
        body = b'{"batch":[%s,%s]}' % (deep, json.dumps(message()).encode())

        response = post(body)
        drained = drain_all()

        assert response.status_code == 200
        assert (drained.stored, drained.quarantined) == (1, 1)
        assert rows(
            "SELECT r.code, r.path FROM quarantined_message m JOIN quarantine_reason r ON r.id = m.reason_id"
        ) == [("nested_too_deeply", "/properties")]


class TestBrowsers:
    def test_may_write_from_any_page(self, client: Client):
        response = client.options(
            BATCH, headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        )

        assert response.status_code == 204
        assert response["Access-Control-Allow-Origin"] == "*"
        assert response["Access-Control-Allow-Methods"] == "POST, OPTIONS"
        allowed = response["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "content-type", "x-write-key", "x-retry-count", "rsa-recovered"} <= set(allowed)

    def test_may_read_the_answer(self, post, key: str):
        for body, status in ((None, 200), (b"{", 400)):
            response = post(body, headers={"X-Write-Key": key, "Origin": "https://shop.example"})

            assert response.status_code == status
            assert response["Access-Control-Allow-Origin"] == "*"
            assert response["Access-Control-Expose-Headers"] == "Retry-After"

    def test_servers_are_told_nothing_of_that(self, post):
        assert "Access-Control-Allow-Origin" not in post()


class TestPostgresAway:
    @pytest.fixture
    def away(self, post, monkeypatch: pytest.MonkeyPatch):
        """The connection is lost, and no new one can be made."""
        post()
        rows("DELETE FROM inbox RETURNING 1")
        connection.close()

        def refuse(*_: Any, **__: Any) -> None:
            raise psycopg2.OperationalError("connection refused")

        with monkeypatch.context() as patch:
            patch.setattr("django.db.backends.postgresql.base.Database.connect", refuse)
            yield patch

    @pytest.mark.parametrize("key_is_known", [True, False])
    def test_says_when_to_come_back(self, post, away, key_is_known: bool):
        if not key_is_known:
            keys.forget()

        response = post()

        assert response.status_code == 503
        assert response["Retry-After"] == "5"
        assert response.json()["code"] == "unavailable"

    def test_goes_on_when_it_is_back(self, post, away: pytest.MonkeyPatch):
        assert post().status_code == 503
        away.undo()

        assert post().status_code == 200
        assert InboxItem.objects.count() == 1
