import errno
import os
import socket
from pathlib import Path

import pytest

from cdp.kernel.embedded import access, layout, postgres, preflight
from cdp.kernel.embedded.errors import EmbeddedError


class TestPort:
    def test_a_taken_port_is_named_with_the_way_out(self, monkeypatch: pytest.MonkeyPatch):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            monkeypatch.setenv("CDP_PORT", str(port))

            with pytest.raises(EmbeddedError) as raised:
                preflight.check_ports(demo=False)

        assert raised.value.code == "port_taken"
        assert f"Port {port} on 127.0.0.1 is taken" in raised.value.message
        assert str(os.getpid()) in raised.value.message
        assert f"CDP_PORT={port + 10}" in raised.value.remedy

    def test_the_demo_needs_a_second_one(self, monkeypatch: pytest.MonkeyPatch):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            monkeypatch.setenv("CDP_RECEIVER_PORT", str(other.getsockname()[1]))
            monkeypatch.setattr(preflight, "web_port", lambda: 0)

            with pytest.raises(EmbeddedError) as raised:
                preflight.check_ports(demo=True)

        assert "CDP_RECEIVER_PORT" in raised.value.remedy

    @pytest.mark.parametrize("value", ["0", "70000", "http"])
    def test_nonsense_is_refused(self, monkeypatch: pytest.MonkeyPatch, value: str):
        monkeypatch.setenv("CDP_PORT", value)

        with pytest.raises(EmbeddedError) as raised:
            preflight.web_port()

        assert "CDP_PORT" in raised.value.message

    def test_a_forbidden_port_is_explained(self):
        error = preflight.port_error(
            OSError(errno.EACCES, "Permission denied"), address="127.0.0.1", port=80, variable="CDP_PORT"
        )

        assert error.code == "port_forbidden"


class TestDisk:
    def test_too_little_room_is_told_with_figures(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setenv("CDP_MIN_FREE_MB", "999999999")
        layout.prepare(tmp_path)

        with pytest.raises(EmbeddedError) as raised:
            preflight.check_disk(tmp_path)

        layout.remove(tmp_path)
        assert raised.value.code == "disk_nearly_full"
        assert "999999999 MB are wanted" in raised.value.message
        assert "CDP_MIN_FREE_MB" in raised.value.remedy


class TestHome:
    def test_that_is_a_file_is_refused(self, tmp_path: Path):
        (tmp_path / "file").touch()

        with pytest.raises(EmbeddedError) as raised:
            layout.prepare(tmp_path / "file")

        assert raised.value.code == "home_not_writable"

    def test_sockets_are_not_put_into_somebody_elses_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        folder = tmp_path / "theirs"
        folder.symlink_to(tmp_path)

        with pytest.raises(EmbeddedError) as raised:
            layout.make_private(folder, owner=access.current_user())

        assert raised.value.code == "folder_not_ours"

    def test_one_launcher_at_a_time(self, tmp_path: Path):
        (tmp_path / "run").mkdir()

        with preflight.hold_home(tmp_path), pytest.raises(EmbeddedError) as raised:
            preflight.hold_home(tmp_path)

        assert raised.value.code == "already_running"
        assert str(os.getpid()) in raised.value.message
        assert preflight.holder(tmp_path) is None


class TestPostgres:
    def test_data_of_another_version_are_left_alone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setattr(postgres, "data_dir", lambda _home: tmp_path)
        (tmp_path / "PG_VERSION").write_text("16\n")

        with pytest.raises(EmbeddedError) as raised:
            postgres.check_version(tmp_path)

        assert raised.value.code == "postgres_version"
        assert "made by PostgreSQL 16; this release runs 18" in raised.value.message

    def test_a_user_without_a_name_is_told(self):
        with pytest.raises(EmbeddedError) as raised:
            postgres.check_passwd_entry(access.user_by_uid(987654))

        assert raised.value.code == "user_without_name"
