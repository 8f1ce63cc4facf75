"""The sender: patient with a busy server, plain with one that says no. The server here is a real one."""

import gzip
import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cdp.demo.errors import RefusedError, ServerUnreachableError
from cdp.demo.sender import Sender, send_all
from tests.deployments import free_port


class Answers(BaseHTTPRequestHandler):
    """Answers from a list, then 200 for ever; keeps what was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(
            (time.monotonic(), {name.lower(): value for name, value in self.headers.items()}, body)
        )
        status, headers = next(self.server.answers, (200, {}))
        self.send_response(status)
        for name, value in ({"Content-Length": "2"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def serve():
    servers = []

    def start(*answers):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        server.daemon_threads = True
        server.asked, server.answers = [], iter(answers)
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class TestSender:
    def test_sends_gzip_with_the_write_key(self, serve):
        server = serve()

        with Sender(server.url) as sender:
            sender.batch(b'{"batch":[]}', write_key="wk_1")

        _, headers, body = server.asked[0]
        assert gzip.decompress(body) == b'{"batch":[]}'
        assert headers["authorization"] == "Basic d2tfMTo="
        assert headers["content-encoding"] == "gzip"

    @pytest.mark.parametrize("status", [429, 503])
    def test_waits_as_long_as_it_is_asked_to(self, serve, status):
        server = serve((status, {"Retry-After": "1"}))

        with Sender(server.url) as sender:
            sender.batch(b"{}", write_key="k")

        first, second = (at for at, _, _ in server.asked)
        assert 1.0 <= second - first < 2.5
        assert sender.backoffs == 1

    def test_sends_the_same_bytes_again(self, serve):
        server = serve((503, {}), (429, {}), (502, {}))

        with Sender(server.url) as sender:
            sender.batch(b'{"batch":[1]}', write_key="k")

        assert len({body for _, _, body in server.asked}) == 1
        assert len(server.asked) == 4

    def test_gives_up_when_its_patience_ends(self, serve):
        server = serve(*itertools.repeat((503, {}), 50))

        with Sender(server.url, patience=0.5) as sender, pytest.raises(RefusedError, match="503"):
            sender.batch(b"{}", write_key="k")

    def test_does_not_insist_where_it_is_refused(self, serve):
        server = serve((401, {}))

        with Sender(server.url) as sender, pytest.raises(RefusedError, match="401"):
            sender.batch(b"{}", write_key="k")
        assert len(server.asked) == 1

    def test_says_where_no_server_answers(self):
        url = f"http://127.0.0.1:{free_port()}"

        with Sender(url, patience=0.1) as sender, pytest.raises(ServerUnreachableError, match=f"at {url}"):
            sender.batch(b"{}", write_key="k")

    def test_stops_waiting_at_once_when_told_to(self, serve):
        server = serve((503, {"Retry-After": "30"}))
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        began = time.monotonic()

        with Sender(server.url, stop=stop) as sender:
            sender.batch(b"{}", write_key="k")

        assert time.monotonic() - began < 5


class TestSendAll:
    def test_yields_in_order_whatever_finishes_first(self):
        sent = []

        def send(number: int) -> None:
            time.sleep(0.02 * (number % 3))
            sent.append(number)

        assert list(send_all(range(30), send, threads=4)) == list(range(30))
        assert sorted(sent) == list(range(30))

    def test_makes_few_ahead_of_what_is_sent(self):
        made, release = [], threading.Event()

        def items():
            for number in range(1_000):
                made.append(number)
                yield number

        sending = send_all(items(), lambda _number: release.wait(5), threads=2)
        threading.Timer(0.2, release.set).start()
        next(sending)

        assert len(made) < 10
        sending.close()

    def test_raises_what_went_wrong(self):
        def send(number: int) -> None:
            if number == 5:
                raise RefusedError("no")

        with pytest.raises(RefusedError):
            list(send_all(range(1_000), send, threads=2))
