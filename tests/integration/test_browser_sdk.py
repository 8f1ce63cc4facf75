"""What analytics.js is served from: the library, its parts and its settings. R: A2"""

import gzip
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from ingestion import browser_sdk, keys, operations


@pytest.fixture
def at_home(settings: Any) -> None:
    settings.PUBLIC_URL = "https://cdp.example.com"


@pytest.mark.usefixtures("at_home", "static_root")
class TestLibrary:
    def test_names_no_host_but_ours(self, client: Client):
        code = client.get("/analytics.js/v1/wk_any/analytics.min.js").content

        assert b"https://cdp.example.com/analytics-next/bundles/" in code
        assert b"cdp.example.com/v1" in code
        assert b"segment.io" not in code
        assert b"https://cdn.segment.com" not in code
        assert b"cdnjs" not in code

    def test_is_zipped_for_who_takes_it(self, client: Client):
        plain = client.get("/analytics.js/v1/wk_any/analytics.min.js")
        zipped = client.get("/analytics.js/v1/wk_any/analytics.min.js", headers={"Accept-Encoding": "br, gzip"})

        assert (zipped["Content-Encoding"], zipped["Vary"]) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(zipped.content) == plain.content
        assert zipped["Cache-Control"] == "public, max-age=300"

    def test_has_its_parts(self, client: Client):
        parts = [path.name for path in browser_sdk.PACKAGE.glob("*.bundle.*.js")]

        assert len(parts) > 3
        for name in parts:
            response = client.get(f"/analytics-next/bundles/{name}")
            assert (response.status_code, response["Content-Type"]) == (200, "text/javascript; charset=utf-8")
            assert "immutable" in response["Cache-Control"]

    @pytest.mark.parametrize(
        "path",
        [
            "/analytics-next/bundles/standalone.js",
            "/analytics-next/bundles/..%2Fpackage.json",
            "/analytics-next/bundles/no.bundle.abc.js",
            "/analytics.js/v1/a%22b/analytics.min.js",
        ],
    )
    def test_has_nothing_else(self, client: Client, path: str):
        assert client.get(path).status_code == 404

    def test_says_when_it_is_not_installed(self, client: Client, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(browser_sdk, "PACKAGE", django_settings.BASE_DIR / "nowhere")

        response = client.get("/analytics.js/v1/wk_any/analytics.min.js")

        assert (response.status_code, response.json()["code"]) == (503, "sdk_missing")


@pytest.mark.usefixtures("at_home")
class TestSettings:
    def test_send_the_library_here(self, client: Client, key: str):
        response = client.get(f"/v1/projects/{key}/settings", headers={"Origin": "https://shop.example"})

        segment = response.json()["integrations"]["Segment.io"]
        assert (segment["apiKey"], segment["protocol"], segment["apiHost"]) == (key, "https", "cdp.example.com/v1")
        assert response.json()["metrics"]["sampleRate"] == 0
        assert response["Access-Control-Allow-Origin"] == "*"

    @pytest.mark.parametrize("method", ["revoked", "unknown"])
    def test_of_a_key_that_is_none(self, client: Client, source: Any, key: str, method: str):
        if method == "revoked":
            operations.revoke_write_key(key_id=source.write_keys.get().pk, now=source.created_at)
            keys.forget()
        response = client.get(f"/v1/projects/{key if method == 'revoked' else 'wk_x'}/settings")

        assert (response.status_code, response.json()["code"]) == (404, "write_key_unknown")
