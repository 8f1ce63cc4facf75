"""The receiver as a server: its page, its switch, and whom it does not listen to."""

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from cdp.demo.receiver.server import HOOK, ReceiverServer
from cdp.kernel.embedded.home import REPOSITORY
from tests.deployments import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type": "segment.left", "data": {"segment": {"name": "<b>Bold</b>"}, "profile": {"id": 1, "traits": {}}}}'


@pytest.fixture
def receiver():
    server = ReceiverServer(port=0, secret=lambda: SECRET, console_url="http://127.0.0.1:8000")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def http(receiver):
    with httpx.Client(base_url=receiver.url) as client:
        yield client


def send(http, *, message_id="msg_1", secret=SECRET):
    now = datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, BODY),
    }
    return http.post(HOOK, content=BODY, headers=headers)


class TestReceiverServer:
    def test_takes_what_is_signed_over_one_connection(self, http):
        answers = [send(http, message_id=f"msg_{number}").status_code for number in range(3)]

        assert answers == [204, 204, 204]

    def test_refuses_and_shows_what_is_not_signed(self, http):
        assert http.post(HOOK, content=b"{}").status_code == 401
        assert "not signed by us" in http.get("/").text

    def test_shows_messages_with_their_text_escaped(self, http):
        send(http)

        page = http.get("/").text

        assert "segment.left" in page
        assert "&lt;b&gt;Bold&lt;/b&gt;" in page
        assert "<b>Bold</b>" not in page

    def test_says_when_nothing_has_arrived(self, http):
        assert "Nothing has arrived yet" in http.get("/").text

    def test_fails_when_told_to_and_works_again(self, http):
        http.post("/fail", data={"seconds": "60"})
        failed = send(http)
        http.post("/fail", data={"seconds": "0"})
        worked = send(http)

        assert (failed.status_code, worked.status_code) == (500, 204)
        assert "attempt 2" in http.get("/messages").text

    def test_forgets_what_it_showed(self, http):
        send(http)

        http.post("/clear")

        assert http.get("/messages.json").json() == []

    def test_lets_its_page_run_nothing_foreign(self, http):
        policy = http.get("/").headers["content-security-policy"]

        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for name in ("/receiver.js", "/receiver.css"):
            assert http.get(name).status_code == 200

    def test_has_nothing_else_to_show(self, http):
        assert http.get("/../mailbox.py").status_code == 404
        assert http.post("/elsewhere").status_code == 404

    def test_refuses_another_host_name(self, http):
        assert http.get("/", headers={"host": "attacker.example"}).status_code == 403

    def test_refuses_a_form_of_another_page(self, http):
        answer = http.post("/fail", data={"seconds": "60"}, headers={"origin": "http://attacker.example"})

        assert answer.status_code == 403
        assert send(http).status_code == 204

    def test_refuses_a_body_without_measure(self, http):
        assert http.post(HOOK, content=b"x" * (1024 * 1024 + 1)).status_code == 413


class TestReceiverCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_runs_until_told_to_stop(self, number):
        port = free_port()
        command = [sys.executable, "manage.py", "demo_receiver", "--port", str(port)]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        try:
            first = process.stdout.readline()
            status = httpx.get(f"http://127.0.0.1:{port}/").status_code
            process.send_signal(number)
            process.communicate(timeout=20)
        finally:
            process.kill()

        assert f"http://127.0.0.1:{port}" in first
        assert (status, process.returncode) == (200, 0)

    def test_says_that_its_port_is_taken(self, receiver):
        command = [sys.executable, "manage.py", "demo_receiver", "--port", str(receiver.server_port)]

        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

        assert ran.returncode == 1
        assert "CDP_RECEIVER_PORT" in ran.stderr
