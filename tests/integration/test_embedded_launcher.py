"""The launcher as `make up` runs it: start, watch, recover, stop. Every process here is a real one."""

import signal
import socket
from collections.abc import Iterator

import psutil
import pytest

from cdp.kernel.embedded import leftovers, postgres, preflight, processes, services, valkey
from cdp.kernel.embedded.home import database_url, redis_url
from cdp.kernel.embedded.programs import PROGRAMS
from tests.deployments import Deployment, all_processes, free_port, query, temporary_home

# Seconds on an idle machine; patient where other tests keep it busy.
pytestmark = pytest.mark.timeout(900)
ALWAYS = {program.name for program in PROGRAMS if not program.demo}


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    """One that runs for the whole module, up to the test that stops it."""
    with temporary_home("a running one") as home:
        running = Deployment(home)
        running.launch()
        running.wait_running()
        yield running
        running.kill()
        running.wait_for(lambda: all_processes(home) == [])


def main_process(deployment: Deployment, name: str) -> psutil.Process:
    """The one that supervisord started, not its children."""
    supervisor = processes.marked(deployment.home)["supervisor"][0]
    return next(child for child in supervisor.children() if processes.mark_of(child).endswith(f":{name}"))


class TestRunning:
    def test_answers(self, deployment: Deployment):
        assert deployment.answers()

    def test_every_program_runs(self, deployment: Deployment):
        running = set(processes.marked(deployment.home)) | {"postgres"}

        assert running >= ALWAYS

    def test_the_database_is_migrated(self, deployment: Deployment):
        assert query(deployment.home, "SELECT count(*) > 0 FROM django_migrations") == [(True,)]

    def test_steps_are_told(self, deployment: Deployment):
        assert "Creating the database … " in deployment.said
        assert f"Tributary runs at http://127.0.0.1:{deployment.port}/" in deployment.said

    def test_a_second_launcher_is_refused(self, deployment: Deployment):
        second = Deployment(deployment.home.with_name("link"))
        second.home.symlink_to(deployment.home)

        second.launch()

        assert second.wait_ended() == 1
        assert f"already runs from {deployment.home} (process {deployment.process.pid})" in second.said
        assert "Traceback" not in second.said

    def test_start_leaves_a_running_deployment_alone(self, deployment: Deployment):
        before = services.servers(deployment.home)

        services.start(deployment.home)

        assert services.servers(deployment.home) == before


class TestRecovery:
    def test_from_the_death_of_postgres(self, deployment: Deployment):
        killed = postgres.postmaster(deployment.home)

        killed.kill()

        deployment.wait_for(lambda: postgres.postmaster(deployment.home) not in {None, killed})
        deployment.wait_for(deployment.answers)

    def test_from_the_death_of_valkey(self, deployment: Deployment):
        killed = valkey.process(deployment.home)

        killed.kill()

        deployment.wait_for(lambda: valkey.process(deployment.home) not in {None, killed})
        deployment.wait_for(lambda: valkey.is_ready(deployment.home))

    def test_from_the_death_of_the_web_server(self, deployment: Deployment):
        killed = main_process(deployment, "web")
        orphans = killed.children()

        killed.kill()

        deployment.wait_for(lambda: not any(processes.is_alive(orphan) for orphan in orphans))
        deployment.wait_for(deployment.answers)

    def test_from_the_death_of_the_supervisor(self, deployment: Deployment):
        killed = processes.marked(deployment.home)["supervisor"][0]

        killed.kill()

        deployment.wait_for(lambda: deployment.said.count("Starting web, workers and beat …") == 2)
        deployment.wait_for(deployment.answers)
        assert killed not in processes.marked(deployment.home)["supervisor"]

    def test_from_the_death_of_everybody_in_charge(self, deployment: Deployment):
        query(deployment.home, 'CREATE TABLE kept AS SELECT 1 AS "one"')
        supervisor = processes.marked(deployment.home)["supervisor"][0]

        deployment.process.send_signal(signal.SIGSTOP)  # so that it does not notice
        supervisor.kill()
        deployment.kill()
        left = leftovers.find(deployment.home)
        deployment.launch()
        deployment.wait_running()

        assert {"postgres", "valkey", "web", "worker"} <= set(left)
        assert "Stopping what an earlier run left behind" in deployment.said
        assert query(deployment.home, "SELECT one FROM kept") == [(1,)]


class TestStopping:
    def test_goes_backwards_and_leaves_nothing(self, deployment: Deployment):
        status = deployment.stop(signal.SIGTERM)

        log = (deployment.home / "log/supervisor.log").read_text()
        stopped = [line.split("stopped: ")[1].split()[0] for line in log.splitlines() if "stopped: " in line]
        assert status == 0
        assert stopped[-3:] == ["web", "valkey", "postgres"]
        assert stopped[-len(ALWAYS)] == "beat"
        assert all_processes(deployment.home) == []

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


class TestOwnServers:
    def test_replace_the_embedded_ones(self):
        with temporary_home("servers") as servers, temporary_home() as home:
            services.start(servers, durable=False)
            own = {"DATABASE_URL": database_url(servers), "REDIS_URL": redis_url(servers)}
            deployment = Deployment(home, environment=own)

            deployment.launch()
            deployment.wait_running()
            answered = deployment.answers()
            embedded = services.servers(home)
            deployment.kill()  # alone: supervisord notices and stops the rest
            deployment.wait_for(lambda: all_processes(home) == [])

            assert answered
            assert embedded == []
            assert len(services.servers(servers)) == 2
