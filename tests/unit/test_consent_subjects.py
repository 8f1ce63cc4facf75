"""Hashes of identifiers, and the key that makes them."""

import multiprocessing
import stat
from pathlib import Path

import pytest

from consent import subjects
from consent.subjects import read_or_make_key, subject_hash, subject_hashes


@pytest.fixture
def fresh_key(monkeypatch, settings, tmp_path):
    """A deployment that has made no key yet."""
    settings.CDP_HOME = tmp_path
    monkeypatch.delenv("CDP_SUBJECT_KEY", raising=False)
    subjects.subject_key.cache_clear()
    yield tmp_path / subjects.KEY_FILE
    subjects.subject_key.cache_clear()


class TestSubjectHash:
    def test_is_the_same_for_every_spelling(self):
        assert subject_hash("email", " Anna@Example.COM ") == subject_hash("email", "anna@example.com")

    def test_differs_by_kind_and_value(self):
        found = {subject_hash(kind, value) for kind in ("user_id", "anonymous_id") for value in ("1", "2", "A", "a")}

        assert len(found) == 8

    def test_does_not_depend_on_the_secret_key(self, settings):
        before = subject_hash("user_id", "u-1")
        settings.SECRET_KEY = "another"

        assert subject_hash("user_id", "u-1") == before

    @pytest.mark.usefixtures("fresh_key")
    def test_depends_on_the_deployments_key(self, monkeypatch):
        kept = subject_hash("user_id", "u-1")
        subjects.subject_key.cache_clear()
        monkeypatch.setenv("CDP_SUBJECT_KEY", "given by whoever runs it")

        assert subject_hash("user_id", "u-1") != kept

    def test_takes_any_text(self):
        assert len({subject_hash("user_id", value) for value in ("\ud800", "", "\0", "ü" * 1_000)}) == 4


class TestSubjectHashes:
    def test_are_sorted_and_each_there_once(self):
        given = [("email", "b@example.com"), ("email", "B@example.com"), ("user_id", "u-1")]

        assert subject_hashes(given) == sorted({subject_hash(*given[0]), subject_hash(*given[2])})

    def test_leave_out_values_that_identify_nobody(self):
        assert subject_hashes([("email", " "), ("user_id", "null"), ("anonymous_id", "000")]) == []


class TestSubjectKey:
    def test_is_kept_for_the_owner_only(self, fresh_key: Path):
        key = subjects.subject_key()

        assert fresh_key.read_bytes() == key
        assert stat.S_IMODE(fresh_key.stat().st_mode) == 0o600
        assert len(key) == 64

    def test_is_one_however_many_processes_come_at_once(self, tmp_path):
        path = tmp_path / "home" / "subject_key"

        with multiprocessing.get_context("fork").Pool(8) as pool:
            keys = pool.map(read_or_make_key, [path] * 64, chunksize=1)

        assert len(set(keys)) == 1
        assert [each.name for each in path.parent.iterdir()] == ["subject_key"]
