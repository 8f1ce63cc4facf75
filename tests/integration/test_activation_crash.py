"""A worker that is killed while it sends: the delivery goes out again as the same message. R: H2"""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from activation.models import Attempt, Delivery
from activation.operations import deliver_due
from activation.queue import LEASE
from cdp.kernel.embedded.home import REPOSITORY
from tests.factories.activation import (
    NOW,
    Receiver,
    Reply,
    make_destination,
    make_subscription,
    owe,
    receiving,
)

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = """
import os, sys
import django
from django.conf import settings

django.setup()
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from datetime import datetime
from activation.operations import deliver_due

deliver_due(now=datetime.fromisoformat(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def receivers_may_be_local(settings):
    settings.EGRESS_ALLOWED_HOSTS = ["127.0.0.1"]


def start_worker(now: datetime) -> subprocess.Popen[bytes]:
    environment = os.environ | {"CDP_EGRESS_ALLOW": "127.0.0.1", "DJANGO_SETTINGS_MODULE": "cdp.settings"}
    name = connection.settings_dict["NAME"]
    return subprocess.Popen([sys.executable, "-c", WORKER, name, now.isoformat()], cwd=REPOSITORY, env=environment)


class TestKilledWorker:
    def test_loses_nothing_and_the_message_keeps_its_id(self):
        with receiving(Receiver(reply=Reply(after=20))) as receiver:
            (delivery,) = owe(make_subscription(make_destination(receiver.url)))
            worker = start_worker(NOW)
            end = time.monotonic() + 60
            while not receiver.received and time.monotonic() < end:
                time.sleep(0.05)
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()

            left = Delivery.objects.get()
            receiver.reply = Reply()
            while_leased = deliver_due(now=NOW + timedelta(seconds=30))
            afterwards = deliver_due(now=left.leased_until)

        assert (left.state, left.attempts) == ("pending", 0)
        assert left.leased_until - NOW < LEASE + timedelta(seconds=10)
        assert (while_leased, afterwards) == (0, 1)
        assert [request.webhook_id for request in receiver.received] == [str(delivery.message_id)] * 2
        assert Delivery.objects.get().state == "delivered"
        assert Attempt.objects.count() == 1


class TestWorkersSideBySide:
    def test_send_everything_once(self):
        with receiving() as receiver:
            owe(make_subscription(make_destination(receiver.url)), 300)
            sent: list[int] = []

            def work() -> None:
                try:
                    sent.append(deliver_due(now=NOW))
                finally:
                    connection.close()

            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert sum(sent) == 300
        assert len({request.webhook_id for request in receiver.received}) == len(receiver.received) == 300
        assert Delivery.objects.filter(state="delivered", attempts=1).count() == 300

    def test_a_worker_that_lost_its_lease_does_not_overwrite_the_outcome(self):
        """Its receiver took longer than the lease; meanwhile another worker has delivered."""
        with receiving(Receiver(replies=[Reply(500, after=1.5)])) as receiver:
            owe(make_subscription(make_destination(receiver.url)))

            def work() -> None:
                try:
                    deliver_due(now=NOW)
                finally:
                    connection.close()

            slow = threading.Thread(target=work)
            slow.start()
            end = time.monotonic() + 30
            while not receiver.received and time.monotonic() < end:
                time.sleep(0.02)
            deliver_due(now=NOW + LEASE + timedelta(seconds=5))
            slow.join()

        done = Delivery.objects.get()
        assert (done.state, done.attempts, done.last_status) == ("delivered", 1, 200)
        assert Attempt.objects.count() == 2
        assert done.created_at < datetime.now(UTC)
