"""What keeps the launcher from starting, what it starts with, and its end in mid-start; the rest is in test_faults."""

import contextlib
import socket
from collections.abc import Iterator

import psycopg2
import pytest
import pytest_django
from celery import Celery
from django.db import connection

from cdp.kernel.embedded import layout, preflight, services
from cdp.kernel.embedded.home import broker_url, redis_url
from cdp.kernel.embedded.programs import PROGRAMS
from tests.deployments import Deployment, all_processes, free_port, temporary_home

# Seconds on an idle machine; patient where other tests keep it busy.
pytestmark = pytest.mark.timeout(900)
WORKERS = [program for program in PROGRAMS if program.group == "workers"]


class TestStopping:
    def test_in_the_middle_of_starting(self):
        with temporary_home() as home:
            deployment = Deployment(home)
            deployment.launch()
            deployment.wait_for(lambda: "Bringing the database up to date" in deployment.said)

            assert deployment.stop() == 0
            assert all_processes(home) == []


class TestRefusals:
    def test_a_taken_port(self):
        with temporary_home() as home, socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            deployment = Deployment(home, port=other.getsockname()[1])

            deployment.launch()

            assert deployment.wait_ended() == 1
            assert f"Error: Port {deployment.port} on 127.0.0.1 is taken" in deployment.said
            assert "CDP_PORT" in deployment.said
            assert "Traceback" not in deployment.said

    def test_a_disk_that_is_nearly_full(self):
        with temporary_home() as home:
            deployment = Deployment(home, environment={"CDP_MIN_FREE_MB": "999999999"})

            deployment.launch()

            assert deployment.wait_ended() == 1
            assert "nearly full" in deployment.said
            assert "CDP_MIN_FREE_MB" in deployment.said
            assert "Traceback" not in deployment.said

    def test_the_lock_is_given_back(self):
        with temporary_home() as home:
            deployment = Deployment(home, environment={"CDP_MIN_FREE_MB": "999999999"})
            deployment.launch()
            deployment.wait_ended()

            assert preflight.holder(home) is None

    def test_a_database_of_ones_own_that_does_not_answer(self):
        with temporary_home() as home:
            elsewhere = f"postgresql://somebody@127.0.0.1:{free_port()}/nothing"
            deployment = Deployment(home, environment={"DATABASE_URL": elsewhere})

            deployment.launch()

            assert deployment.wait_ended() == 1
            assert "Error: The server of DATABASE_URL does not answer" in deployment.said
            assert "Traceback" not in deployment.said


@pytest.fixture
def database(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[str]:
    """The address of one that somebody else looks after, already migrated."""
    own = connection.settings_dict
    name = f"{own['NAME']}_own"
    server = {"host": own["HOST"], "port": own["PORT"], "user": own["USER"], "password": own["PASSWORD"]}
    with django_db_blocker.unblock(), contextlib.closing(psycopg2.connect(**server, dbname="postgres")) as admin:
        admin.autocommit = True
        cursor = admin.cursor()
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {own['TEST']['TEMPLATE']}")
        yield f"postgresql://{own['USER']}:{own['PASSWORD']}@/{name}?host={own['HOST']}&port={own['PORT']}"
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


class TestOwnServers:
    def test_replace_the_embedded_ones(self, database: str):
        with temporary_home("servers") as servers, temporary_home() as home:
            layout.prepare(servers)
            services.start_valkey(servers)
            deployment = Deployment(home, environment={"DATABASE_URL": database, "REDIS_URL": redis_url(servers)})

            deployment.launch()
            deployment.wait_running()
            deployment.wait_for(deployment.answers)
            workers = Celery(broker=broker_url(redis_url(servers)), set_as_current=False).control
            deployment.wait_for(lambda: len(workers.ping(timeout=2)) == len(WORKERS))
            embedded = services.servers(home)
            deployment.kill()  # alone: supervisord notices and stops the rest
            deployment.wait_for(lambda: all_processes(home) == [])

            assert embedded == []
            assert len(services.servers(servers)) == 1
            with contextlib.closing(psycopg2.connect(database)) as still, still.cursor() as cursor:
                cursor.execute("SELECT count(*) > 0 FROM django_session")
