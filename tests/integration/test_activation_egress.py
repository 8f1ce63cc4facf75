"""Connections that leave: to the judged address only, with the name still verified, and never too long."""

import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from activation.egress import MAX_RESPONSE_BYTES, Client
from activation.errors import DestinationError, EgressRefusedError
from tests.factories.activation import Receiver, Reply, receiving


@pytest.fixture
def make_client():
    made: list[Client] = []

    def make(**options: object) -> Client:
        made.append(Client(connections=1, **options))
        return made[-1]

    yield make
    for client in made:
        client.rest(idle_for=0)


def post(client: Client, url: str, *, timeout: float = 5.0):
    return client.post(url, headers={}, body=b"{}", timeout=timeout)


class TestAddress:
    def test_is_the_one_that_was_judged_even_when_the_name_changes_its_mind(self, make_client, settings):
        settings.EGRESS_ALLOWED_HOSTS = []
        answers = [["93.184.216.34"], ["127.0.0.1"]]
        asked: list[str] = []

        def rebinding(host: str, _port: int) -> list[str]:
            asked.append(host)
            return answers[min(len(asked) - 1, 1)]

        client = make_client(resolver=rebinding)
        with receiving() as receiver:
            url = f"http://rebound.example:{receiver.port}/"
            with pytest.raises(DestinationError):
                post(client, url, timeout=0.5)  # connects outside, where nobody answers here
            with pytest.raises(EgressRefusedError):
                post(client, url)

        assert receiver.received == []

    def test_is_resolved_once_for_a_connection_and_connected_to_directly(self, make_client, settings):
        settings.EGRESS_ALLOWED_HOSTS = ["inside.example"]
        asked: list[str] = []

        def resolver(host: str, _port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        with receiving() as receiver:
            client = make_client(resolver=resolver)
            for _ in range(3):
                post(client, f"http://inside.example:{receiver.port}/hook?a=b")

        assert asked == ["inside.example"]
        assert receiver.received[0].path == "/hook?a=b"
        assert receiver.received[0].headers["host"] == f"inside.example:{receiver.port}"

    @pytest.mark.parametrize(
        "literal", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "localhost"]
    )
    def test_inside_is_refused_however_it_is_spelt(self, make_client, literal, settings):
        settings.EGRESS_ALLOWED_HOSTS = []
        with receiving() as receiver, pytest.raises(DestinationError):
            post(make_client(), f"http://{literal}:{receiver.port}/")

        assert receiver.received == []

    def test_tries_the_next_one_when_the_first_does_not_answer(self, make_client, settings):
        settings.EGRESS_ALLOWED_HOSTS = ["two.example"]
        with receiving() as gone:
            closed = gone.port
        assert closed
        with receiving() as receiver:
            client = make_client(resolver=lambda *_: ["127.0.0.2", "127.0.0.1"])

            assert post(client, f"http://two.example:{receiver.port}/").status == 200

    def test_ignores_proxies_of_the_environment(self, make_client, settings, monkeypatch):
        settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]
        with receiving() as proxy, receiving() as receiver:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")

            post(make_client(), receiver.url)

        assert len(receiver.received) == 1
        assert proxy.received == []


class TestAnswer:
    @pytest.fixture(autouse=True)
    def local(self, settings):
        settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]

    def test_is_cut_where_it_is_endless(self, make_client):
        with receiving(Receiver(reply=Reply(body=b"x" * 5_000_000))) as receiver:
            answer = post(make_client(), receiver.url)

        assert len(answer.text) == MAX_RESPONSE_BYTES

    @pytest.mark.parametrize("reply", [Reply(after=3.0), Reply(body=b"x" * 100, drip=0.2)])
    def test_has_to_be_there_in_time(self, make_client, reply):
        with receiving(Receiver(reply=reply)) as receiver:
            began = time.monotonic()
            with pytest.raises(DestinationError, match="No answer within"):
                post(make_client(), receiver.url, timeout=0.7)

        assert time.monotonic() - began < 2.5


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path):
        """Self-signed, for right.example."""
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "right.example")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("right.example")]), critical=False)
            .sign(private, hashes.SHA256())
        )
        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        key.write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return key, cert

    @pytest.fixture
    def port(self, certificate):
        key, cert = certificate

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
        server.server_close()

    def client(self, make_client, certificate, settings) -> Client:
        settings.EGRESS_ALLOWED_HOSTS = ["right.example", "wrong.example"]
        context = ssl.create_default_context(cafile=str(certificate[1]))
        return make_client(resolver=lambda *_: ["127.0.0.1"], ssl_context=context)

    def test_verifies_the_name_though_the_address_is_pinned(self, make_client, certificate, port, settings):
        client = self.client(make_client, certificate, settings)

        assert post(client, f"https://right.example:{port}/").status == 204
        with pytest.raises(DestinationError, match=r"(?i)certificate"):
            post(client, f"https://wrong.example:{port}/")

    def test_trusts_no_certificate_that_nobody_vouches_for(self, make_client, port, settings):
        settings.EGRESS_ALLOWED_HOSTS = ["right.example"]

        with pytest.raises(DestinationError, match=r"(?i)certificate"):
            post(make_client(resolver=lambda *_: ["127.0.0.1"]), f"https://right.example:{port}/")
