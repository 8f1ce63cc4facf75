import configparser
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from cdp.kernel.embedded import postgres, valkey
from cdp.kernel.embedded.programs import PROGRAMS, chosen, render


def parsed(**options: bool) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    defaults = {"demo": False, "own_database": False, "own_redis": False}
    parser.read_string(render(chosen(**(defaults | options)), key="0123", user="root"))
    return parser


class TestPrograms:
    def test_servers_start_first_and_stop_last(self):
        by_priority = sorted(PROGRAMS, key=lambda program: program.priority)

        assert [program.name for program in by_priority[:2]] == ["postgres", "valkey"]
        assert all(program.priority > 20 for program in PROGRAMS if not program.server)

    def test_postgres_is_stopped_by_its_fast_shutdown(self):
        assert parsed()["program:postgres"]["stopsignal"] == "INT"

    def test_every_queue_has_a_worker(self):
        commands = " ".join(program.command for program in PROGRAMS)

        served = {queue for word in commands.split() if word.startswith("--queues=") for queue in word[9:].split(",")}

        assert served == {"ingest", "evaluate", "deliver", "default", "match"}

    def test_own_servers_replace_the_embedded_ones(self):
        sections = parsed(own_database=True, own_redis=True).sections()

        assert "program:postgres" not in sections
        assert "program:valkey" not in sections
        assert "program:web" in sections

    def test_the_demo_adds_its_own(self):
        assert "program:simulate" not in parsed()
        assert "program:simulate" in parsed(demo=True)

    def test_workers_stop_together(self):
        assert parsed()["group:workers"]["programs"] == "worker-ingest,worker-evaluate,worker,worker-deliver"

    def test_commands_survive_expansion(self):
        """As supervisord reads them: ENV_ names are filled in, the rest is split like a shell would."""
        values = {"ENV_CDP_PYTHON": "'/a b/python'", "ENV_CDP_QUOTED_HOME": "'/it'\"'\"'s %; home'"}
        values |= {"ENV_CDP_BIND": "127.0.0.1", "ENV_CDP_PORT": "8000"}

        commands = {
            name: shlex.split(section["command"] % values)
            for name, section in parsed(demo=True).items()
            if name.startswith("program:")
        }

        nice = commands.pop("program:worker")
        assert nice[:4] == ["nice", "-n", "5", "/a b/python"]
        assert all(command[0] == "/a b/python" for command in commands.values())
        assert "--schedule=/it's %; home/beat/schedule" in commands["program:beat"]
        assert "--hostname=worker@%h" in nice


DISK = 100 * 1024**3


class TestServerSettings:
    def test_postgres_listens_on_its_socket_alone(self):
        text = postgres.render_settings(Path("/run/x"), disk=DISK, durable=True)

        assert "listen_addresses = ''" in text
        assert "unix_socket_directories = '/run/x'" in text
        assert "fsync" not in text

    @pytest.mark.parametrize(("gigabytes", "buffers"), [(1, "256MB"), (8, "2048MB"), (256, "8192MB")])
    def test_postgres_keeps_a_quarter_of_the_memory(self, monkeypatch, tmp_path: Path, gigabytes: int, buffers: str):
        monkeypatch.setattr(postgres.psutil, "virtual_memory", lambda: SimpleNamespace(total=gigabytes * 1024**3))
        monkeypatch.setattr(postgres, "CGROUP_LIMIT", tmp_path / "none")

        assert f"shared_buffers = {buffers}\n" in postgres.render_settings(Path("/run/x"), disk=DISK, durable=True)

    def test_a_container_may_have_less_than_its_machine(self, monkeypatch, tmp_path: Path):
        limit = tmp_path / "memory.max"
        limit.write_text(f"{4 * 1024**3}\n")
        monkeypatch.setattr(postgres.psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * 1024**3))
        monkeypatch.setattr(postgres, "CGROUP_LIMIT", limit)

        assert "shared_buffers = 1024MB\n" in postgres.render_settings(Path("/run/x"), disk=DISK, durable=True)

    @pytest.mark.parametrize(("gigabytes", "megabytes"), [(1, 256), (100, 5_120), (4_000, 16_384)])
    def test_the_write_ahead_log_may_take_a_twentieth_of_the_disk(self, gigabytes: int, megabytes: int):
        text = postgres.render_settings(Path("/run/x"), disk=gigabytes * 1024**3, durable=True)

        assert f"max_wal_size = {megabytes}MB\n" in text

    def test_volatile_data_are_not_synced(self):
        text = postgres.render_settings(Path("/run/x"), disk=DISK, durable=False)

        assert "fsync = off" in text
        assert "shared_buffers = 256MB\n" in text

    def test_valkey_never_fails_for_want_of_disk(self, tmp_path: Path):
        command = valkey.command(tmp_path)

        options = dict(zip(command[1::2], command[2::2], strict=True))

        assert options["--port"] == "0"
        assert options["--appendonly"] == "no"
        assert options["--maxmemory-policy"] == "noeviction"
        assert options["--dir"] == str(tmp_path / "valkey")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_each_program_has_time_to_stop(program):
    assert program.stop_seconds >= 20
