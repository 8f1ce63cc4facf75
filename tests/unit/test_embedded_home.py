import stat
from pathlib import Path
from types import SimpleNamespace

import dj_database_url
import pytest
import redis
from kombu import Connection
from kombu.transport.redis import Channel

from cdp.kernel.embedded import access, home
from cdp.kernel.embedded.access import User, may_enter, user_can_reach


class TestHome:
    def test_is_in_the_checkout_by_default(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv("CDP_HOME")

        assert home.cdp_home() == home.REPOSITORY / ".cdp"

    def test_is_absolute(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CDP_HOME", "data")

        assert home.cdp_home() == tmp_path / "data"


class TestSocketDir:
    @pytest.fixture(autouse=True)
    def _anyone_may_pass(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(home, "user_can_reach", lambda *_, **__: True)

    def test_is_run_in_a_short_home(self):
        assert home.socket_dir(Path("/srv/cdp")) == Path("/srv/cdp/run")

    @pytest.mark.parametrize("folder", ["/srv/" + "deep/" * 30, "/srv/my data", "/srv/a,b", "/srv/a?b", "/srv/naïve"])
    def test_is_short_and_plain_where_the_home_is_not(self, folder: str):
        found = home.socket_dir(Path(folder))

        assert found.parent == home.temporary_dir()
        assert home.PLAIN_PATH.fullmatch(str(found))
        assert len(str(found)) < 60

    def test_leaves_room_for_every_socket_name(self):
        longest = max(
            (home.socket_dir(Path("/srv/" + "x" * length)) for length in range(120)), key=lambda path: len(str(path))
        )

        assert len(str(longest / "control.sock.4194304")) <= home.MAX_SOCKET_PATH

    def test_differs_between_homes(self):
        first, second = (home.socket_dir(Path(f"/srv/a b/{name}")) for name in "xy")

        assert first != second

    def test_is_elsewhere_when_the_service_user_cannot_enter(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(home, "user_can_reach", lambda *_, **__: False)

        assert home.socket_dir(Path("/srv/cdp")).parent == home.temporary_dir()


class TestAddresses:
    PLACE = Path("/Srv/CDP")

    def test_database_url_and_settings_mean_the_same(self):
        settings = home.database_settings(self.PLACE)

        parsed = dj_database_url.parse(home.database_url(self.PLACE))

        assert parsed["NAME"] == settings["NAME"]
        assert parsed["USER"] == settings["USER"]
        assert parsed["OPTIONS"]["host"] == settings["HOST"]

    def test_redis_py_understands_redis_url(self):
        client = redis.Redis.from_url(home.redis_url(self.PLACE))

        assert client.connection_pool.connection_kwargs["path"] == str(home.valkey_socket(self.PLACE))

    @pytest.mark.parametrize(
        "address",
        [
            "unix:///Srv/CDP/run/valkey.sock?db=7",
            "unix:///Srv/CDP/its.sock",
            "unix:///Srv/CDP/its.sock?db=3&password=p%25%40w",
            "unix://me:p%25%40w@/Srv/CDP/its.sock?db=3",
            "redis://redis.internal:6380/3",
        ],
    )
    def test_celery_reaches_what_redis_py_does(self, address: str):
        channel = Channel.__new__(Channel)  # else it would connect
        channel.connection = SimpleNamespace(client=Connection(home.broker_url(address)), default_port=6379)

        theirs = channel._connparams()

        ours = redis.Redis.from_url(address).connection_pool.connection_kwargs
        reached = {name: theirs.get(name) or None for name in ("path", "host", "port", "db", "username", "password")}
        assert reached == {name: ours.get(name) or None for name in reached}

    def test_parallel_tests_have_databases_of_their_own(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("CDP_REDIS_DB", "7")

        assert home.redis_url(self.PLACE).endswith("?db=7")
        assert home.broker_url(home.redis_url(self.PLACE)).endswith("?virtual_host=7")


class TestAccess:
    STRANGER = User(name="stranger", uid=12345, gid=12345, groups=frozenset([12345]))

    def test_a_closed_folder_keeps_a_stranger_out(self, tmp_path: Path):
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)

        assert not user_can_reach(closed / "run", user=self.STRANGER)

    def test_the_owner_may_enter(self, tmp_path: Path):
        tmp_path.chmod(0o700)

        assert may_enter(tmp_path, user=access.current_user())

    def test_a_group_counts(self, tmp_path: Path):
        tmp_path.chmod(0o710)
        friend = User(name="friend", uid=12345, gid=12345, groups=frozenset([tmp_path.stat().st_gid]))

        assert may_enter(tmp_path, user=friend) is bool(tmp_path.stat().st_mode & stat.S_IXGRP)

    def test_a_folder_yet_to_be_made_is_no_obstacle(self, tmp_path: Path):
        assert may_enter(tmp_path / "new", user=self.STRANGER)
