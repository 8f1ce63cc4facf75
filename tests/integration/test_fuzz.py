"""Whatever arrives, the drain ends with an empty inbox and an account of every message. R: H2

The bodies are JSON as text and not as values: numbers that no float holds, text that is no text, keys that come twice.
"""

import json
from typing import Any

from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion import inbox, operations
from ingestion.models import HourlyCount, InboxItem, Source
from tests.factories.ingestion import NOW
from tests.integration.conftest import drain_all, rows
from tests.unit.test_messages import FIELDS, JSON

ODD = [
    b"1e400000", b"-1e-400000", b"1" * 400, b"-0", b"0.1e+308", b"9223372036854775808", b"1E5", b'"\\u0000"',
    b'"a\\u0000b"', b'"\\ud83d"', b'"\\udc00x"', b'"\\\\ud83d"', b'"\\ud83d\\ude00"', b'"\\uD83D\\u0000"', b'""',
    b'" "', b'"\\u001f"', b'"\x7f"', '"ü😀\u2028"'.encode(), b'"\xff"', b'"' + b"x" * 5_000 + b'"', b"null", b"true",
    b"{}", b"[]", b'{"":null}', b'{"a":1,"a":2}', b'{"email":"a@example.org"}', b'{"email":"\\u0000@\\ud83d"}',
    b'{"revenue":1e999}', b'{"revenue":1e308,"total":"\\u0000"}', b'{"value":9e400000,"traits":{"x":1e400000}}',
    b'{"traits":{"email":5,"n":1e400000}}', b'{"page":{"url":"\\ud83d"},"ip":"\\u0000"}', b"NaN", b"Infinity", b"01",
    b"'x'", b"", b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59.999999-14:00"', b'"2026-03-10T12:00:00Z"',
    b'"1999-12-31T23:59:59Z"', b'"2026-02-30T00:00:00Z"', b'"20260310T1200"', b'"2026-W11-2"', b"1773144000",
]  # fmt: skip
NESTED = st.integers(1, 300).map(lambda depth: b'{"x":[' * depth + b"]}" * depth)
VALUE = st.sampled_from(ODD) | NESTED | JSON.map(lambda value: json.dumps(value).encode())
TYPE = st.sampled_from([b'"track"', b'"identify"', b'"page"', b'"screen"', b'"group"', b'"alias"'])
SANE = st.fixed_dictionaries({"type": TYPE, "userId": st.just(b'"u-1"'), "event": st.just(b'"Seen"')})
PAIRS = st.lists(st.tuples(st.sampled_from([*FIELDS, "previousId", "groupId", "integrations"]), VALUE), max_size=4)


@st.composite
def raw_messages(draw: st.DrawFn) -> bytes:
    """Mostly an object that would be a message but for one or two of its values; a key may come twice."""
    if draw(st.integers(0, 9)) == 0:
        return draw(VALUE)
    pairs = [*draw(SANE).items(), *draw(PAIRS)]
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in pairs) + b"}"


@st.composite
def raw_batches(draw: st.DrawFn) -> bytes:
    items = draw(st.lists(raw_messages(), min_size=1, max_size=6))
    common = b"".join(
        b',"%s":%s' % (name, draw(VALUE)) for name in (b"context", b"sentAt") if draw(st.integers(0, 3)) == 0
    )
    body = bytearray(b'{"batch":[' + b",".join(items) + b"]" + common + b"}")
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(body) - 1))
        body[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


MANY = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class TestFuzz:
    @MANY
    @given(raw_batches())
    def test_whatever_http_accepts_is_accounted_for(self, client: Client, key: str, body: bytes):
        self.post(client, key, "batch", body)

    @MANY
    @given(raw_messages(), st.sampled_from(["track", "identify", "page", "screen"]))
    def test_and_so_are_single_messages(self, client: Client, key: str, body: bytes, kind: str):
        self.post(client, key, kind, body)

    def post(self, client: Client, key: str, kind: str, body: bytes) -> None:
        before = counted()

        response = client.post(f"/v1/{kind}", body, content_type="application/json", headers={"X-Write-Key": key})
        assert response.status_code in {200, 400, 413}
        accepted = sum(InboxItem.objects.values_list("events", flat=True))
        drained = drain_all()

        assert bool(accepted) == (response.status_code == 200 and b'"batch":[]' not in body)
        assert drained.stored + drained.duplicates + drained.quarantined == accepted
        assert counted() - before == accepted
        assert inbox.depth()[0] == 0

    @MANY
    @given(st.lists(st.binary(max_size=80) | raw_batches(), min_size=1, max_size=3), st.data())
    def test_any_bytes_at_all_block_nothing(self, source: Source, bodies: list[bytes], data: Any):
        """Rows that were damaged after they were accepted."""
        before = rows("SELECT count(*) FROM event")
        kinds = st.sampled_from(["batch", "track", "nonsense"])
        for body in [*bodies, b'{"type":"track","event":"Good","userId":"u-1"}']:
            kind = "track" if b"Good" in body else data.draw(kinds)
            operations.accept(source_id=source.pk, kind=kind, events=1, body=body, remote_addr="", now=NOW)

        drain_all(NOW)

        assert inbox.depth()[0] == 0
        assert rows("SELECT count(*) FROM event") > before


def counted() -> int:
    return sum(HourlyCount.objects.values_list("events", flat=True))
