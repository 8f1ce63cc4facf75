"""PostgreSQL and Valkey as real processes, started and stopped as tests and scripts do."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from kombu import Connection

from cdp.kernel.embedded import layout, postgres, services, valkey
from cdp.kernel.embedded.errors import EmbeddedError
from cdp.kernel.embedded.home import REPOSITORY, broker_url, redis_url, socket_dir
from tests.deployments import all_processes, as_user, clean_environment, query, temporary_home, wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture(autouse=True)
def _no_other_servers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as path:
        yield path


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    with temporary_home("running") as path:
        services.start(path, durable=False)
        yield path


def note(home: Path, text: str) -> None:
    """Leave something in both servers."""
    query(home, "CREATE TABLE IF NOT EXISTS note (text text)")
    query(home, "INSERT INTO note VALUES (%s)", text)
    redis.Redis.from_url(redis_url(home)).set("note", text)


def notes(home: Path) -> tuple[str, str]:
    kept = redis.Redis.from_url(redis_url(home)).get("note")
    return noted(home), kept.decode()


def noted(home: Path) -> str:
    """In PostgreSQL: what is in Valkey is gone with its process."""
    return str(query(home, "SELECT max(text) FROM note")[0][0])


class TestFirstStart:
    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("server_encoding", "UTF8"),
            ("data_checksums", "on"),
            ("listen_addresses", ""),
            ("jit", "off"),
            ("TimeZone", "UTC"),
        ],
    )
    def test_sets_postgres_up(self, running: Path, setting: str, value: str):
        assert query(running, f"SHOW {setting}") == [(value,)]

    def test_text_is_ordered_alike_everywhere(self, running: Path):
        sql = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'tributary'"

        assert query(running, sql) == [("b", "C.UTF-8")]

    def test_no_network_port_is_opened(self, running: Path):
        opened = [process.net_connections("inet") for process in services.servers(running)]

        assert opened == [[], []]

    def test_sockets_are_private(self, running: Path):
        assert socket_dir(running).stat().st_mode & 0o777 == 0o700

    @AS_ROOT
    def test_postgres_does_not_run_as_root(self, running: Path):
        assert postgres.postmaster(running).username() == "nobody"

    def test_is_idempotent(self, running: Path):
        before = services.servers(running)

        services.start(running, durable=False)

        assert services.servers(running) == before

    def test_that_was_killed_is_done_again(self, home: Path):
        layout.prepare(home)
        half_made = layout.postgres_root(home) / "data.new"
        half_made.mkdir()
        (half_made / "PG_VERSION").write_text("18\n")

        services.start(home, durable=False)

        assert query(home, "SELECT 1") == [(1,)]

    def test_celery_finds_its_database(self, running: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("CDP_REDIS_DB", "9")

        with Connection(broker_url(redis_url(running))) as connection:
            connection.SimpleQueue("letters").put("hello")

        assert redis.Redis.from_url(redis_url(running)).llen("letters") == 1


class TestStop:
    def test_keeps_the_data_and_leaves_nothing_running(self, home: Path):
        services.start(home)
        note(home, "kept")

        services.stop(home)
        left = all_processes(home)
        services.start(home)

        assert left == []
        assert noted(home) == "kept"

    def test_of_what_never_ran_is_nothing(self, home: Path):
        services.stop(home)

        assert not home.exists()


class TestRecovery:
    def test_after_both_servers_were_killed(self, home: Path):
        services.start(home)
        note(home, "committed")
        for process in services.servers(home):
            process.kill()
        wait_until(lambda: not services.servers(home))

        services.start(home)

        assert noted(home) == "committed"

    def test_a_recorded_process_number_that_is_somebody_elses_now(self, home: Path):
        services.start(home)
        services.stop(home)
        pid_file = layout.data_dir(home) / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n{layout.data_dir(home)}\n1700000000\n5432\n\n\n  0  0\nready\n")
        valkey.pid_file(home).write_text(f"{os.getpid()}\n")

        services.start(home)

        assert len(services.servers(home)) == 2

    def test_a_backend_that_outlived_its_server_does_not_block_the_next(self, home: Path):
        services.start(home, durable=False)
        busy = psycopg2.connect(host=str(socket_dir(home)), user="tributary", dbname="tributary", async_=True)
        wait_until(lambda: busy.poll() == psycopg2.extensions.POLL_OK)
        busy.cursor().execute("SELECT count(*) FROM generate_series(1, 1e10)")
        wait_until(
            lambda: query(
                home, "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%%1e10%%' AND pid <> pg_backend_pid()"
            )
        )
        postgres.postmaster(home).kill()
        wait_until(lambda: not postgres.postmaster(home))

        services.start(home, durable=False)

        assert query(home, "SELECT 1") == [(1,)]


class TestPlaces:
    def test_two_homes_run_side_by_side(self, running: Path, home: Path):
        services.start(home, durable=False)
        note(running, "one")
        note(home, "two")

        assert (notes(running), notes(home)) == (("one", "one"), ("two", "two"))

    @pytest.mark.parametrize(
        "name",
        [
            "a folder with spaces",
            "/".join(["a-long-path-that-does-not-fit-into-a-socket-address"] * 6),
            "o'dd ; 100% \"#ü",
        ],
        ids=["spaces", "long", "odd"],
    )
    def test_any_path_will_do(self, name: str):
        with temporary_home(name) as home:
            services.start(home, durable=False)

            note(home, "here")

            assert notes(home) == ("here", "here")

    @AS_ROOT
    def test_a_home_closed_to_others_keeps_its_data_outside(self):
        with temporary_home("closed/home") as home:
            home.parent.mkdir(mode=0o700)
            services.start(home, durable=False)
            outside = layout.postgres_root(home)

            note(home, "here")
            home.parent.chmod(0o755)  # data and sockets stay found

            assert not outside.is_relative_to(home)
            assert layout.postgres_root(home) == outside
            assert notes(home) == ("here", "here")
            services.stop(home)
            layout.remove(home)
            assert not outside.exists()

    @AS_ROOT
    def test_programs_that_the_service_user_cannot_reach_are_copied(self, home: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(postgres, "may_run", lambda *_, **__: False)

        services.start(home, durable=False)

        assert Path(postgres.postmaster(home).exe()).is_relative_to(layout.postgres_root(home))

    @AS_ROOT
    def test_an_ordinary_user_can_run_it(self):
        with temporary_home() as home:
            home.mkdir()
            home.chmod(0o777)
            environment = clean_environment(CDP_HOME=str(home))

            subprocess.run(
                as_user("daemon", "start"), cwd=REPOSITORY, env=environment, check=True, capture_output=True
            )
            users = {process.username() for process in services.servers(home)}
            subprocess.run(as_user("daemon", "stop"), cwd=REPOSITORY, env=environment, check=True, capture_output=True)

            assert users == {"daemon"}
            assert all_processes(home) == []


class TestFullDisk:
    @pytest.fixture
    def small_disk(self, home: Path) -> Iterator[Path]:
        home.mkdir(parents=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=420m,mode=755", "tmpfs", str(home)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("no disk can be mounted here")
        yield home
        services.stop(home)
        subprocess.run(["umount", str(home)], check=True)

    @AS_ROOT
    def test_reads_go_on_and_writes_come_back_with_the_space(self, small_disk: Path):
        services.start(small_disk)
        query(small_disk, "CREATE TABLE filler AS SELECT repeat('x', 500) AS x FROM generate_series(1, 1000)")
        query(small_disk, "CHECKPOINT")
        filler = small_disk / "filler"
        self.fill(filler)

        with pytest.raises((psycopg2.errors.DiskFull, psycopg2.OperationalError)):
            query(small_disk, "INSERT INTO filler SELECT repeat('y', 500) FROM generate_series(1, 400000)")
        services.start(small_disk)  # as the supervisor does, where the server stopped
        kept = query(small_disk, "SELECT count(*) FROM filler")
        filler.unlink()
        query(small_disk, "INSERT INTO filler SELECT repeat('y', 500) FROM generate_series(1, 1000)")

        assert kept == [(1000,)]
        assert query(small_disk, "SELECT count(*) FROM filler") == [(2000,)]

    def fill(self, file: Path) -> None:
        with file.open("wb", buffering=0) as output:
            try:
                while True:
                    output.write(b"\0" * 1_000_000)
            except OSError:
                return


class TestRefusals:
    def test_data_of_another_version(self, home: Path):
        layout.prepare(home)
        layout.data_dir(home).mkdir()
        (layout.data_dir(home) / "PG_VERSION").write_text("16\n")

        with pytest.raises(EmbeddedError) as raised:
            services.start(home)

        assert raised.value.code == "postgres_version"

    def test_a_server_that_dies_is_quoted(self, home: Path):
        services.start(home, durable=False)
        services.stop(home)
        with (layout.data_dir(home) / "postgresql.conf").open("a") as file:
            file.write("shared_buffers = nonsense\n")

        with pytest.raises(EmbeddedError) as raised:
            services.start(home, durable=False)

        assert "contains errors" in raised.value.message
        assert "postgres.log" in raised.value.remedy
