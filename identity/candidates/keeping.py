"""How a full pass keeps the keys: what differs is written page by page, or, where much does, all are made anew.

Millions of keys that come in the order of profiles go to random places of the index by key, each of which costs a page
read, written and logged. A table that is filled first and gets its indexes afterwards costs a tenth of that. So:

1. every turn of the queue notes meanwhile whom it has seen to;
2. a session of its own fills a new table while the pass reads, and indexes it while the pass matches;
3. alone for a moment, it takes over from the old table what turns have written since, and takes its place.

The new table is made, filled and put in place in one transaction: of a killed pass, nothing of it is there.
"""

import queue as queues
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import structlog
from django.db import OperationalError, connection, transaction

from cdp.kernel.copy import HEADER, TRAILER
from cdp.kernel.prepared import array
from identity.candidates import queue
from identity.candidates.keyrows import KeyRows, add_rows, difference, stored_rows, wanted_rows
from identity.candidates.live import Live
from identity.candidates.store import REMOVE_KEYS, refresh_records

ANEW_FROM = 20_000
"""Profiles below which nothing is made anew."""
ANEW_SHARE = 0.1
"""Of the keys of some profiles: if more than this are not as they should be, all are made anew."""
LOOKED_AT, STRETCHES = 500, 25
PAGES_AHEAD = 4
LOCK_TIMEOUT, TRIES = "2s", 100
SECONDS_APART = 1.0

log = structlog.get_logger(__name__)


class Keeper(Protocol):
    def take(self, ids: Collection[int], rows: KeyRows) -> None:
        """These are the keys of these profiles; inside the caller's transaction."""

    def index(self) -> None:
        """Everybody's were taken."""

    def finish(self) -> None:
        """From here on, the stored keys are these."""


@contextmanager
def keeping(live: Live, *, profiles: int) -> Iterator[Keeper]:
    """Whichever is cheaper; what was not finished at the end is given up."""
    if profiles < ANEW_FROM or share_amiss(live) < ANEW_SHARE:
        yield Differences()
        return
    anew = Anew()
    try:
        yield anew
    finally:
        anew.close()


def share_amiss(live: Live) -> float:
    """Of the keys of some profiles from everywhere, how many are missing or outdated."""
    ids = _some_profiles()
    wanted = wanted_rows(refresh_records(ids, fields=live.fields).records, live)
    outdated, missing = difference(stored_rows(ids), wanted)
    return (len(outdated) + len(missing)) / max(1, len(wanted))


def _some_profiles() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT p.id FROM (SELECT min(id) AS low, max(id) AS high FROM profile) AS b"
            " CROSS JOIN generate_series(0, %(stretches)s - 1) AS s(place) CROSS JOIN LATERAL ("
            "   SELECT id FROM profile WHERE id >= b.low + (b.high - b.low) * s.place / %(stretches)s"
            "   ORDER BY id LIMIT %(each)s) AS p ORDER BY p.id",
            {"stretches": STRETCHES, "each": LOOKED_AT // STRETCHES},
        )
        return [id_ for (id_,) in cursor.fetchall()]


class Differences:
    """Writes what is missing and removes what is outdated, page by page."""

    def take(self, ids: Collection[int], rows: KeyRows) -> None:
        outdated, missing = difference(stored_rows(ids), rows)
        if len(outdated):
            REMOVE_KEYS.run(array(outdated.profiles.tolist()), array(outdated.keys.tolist()))
        if len(missing):
            add_rows(missing)

    def index(self) -> None:
        pass

    def finish(self) -> None:
        pass


class Anew:
    """Makes all keys anew, in a thread with a session of its own."""

    def __init__(self) -> None:
        with transaction.atomic():
            queue.wait_to_be_alone()
            queue.note_who_is_seen_to()
        self._pages: queues.Queue[bytes | None] = queues.Queue(PAGES_AHEAD)
        self._error: BaseException | None = None
        self._given_up = False
        self._may_finish = threading.Event()
        self._thread = threading.Thread(target=self._work, name="match-keys-anew", daemon=True)
        self._thread.start()

    def take(self, ids: Collection[int], rows: KeyRows) -> None:  # noqa: ARG002 - who has none has no row
        self._put(rows.encoded())

    def index(self) -> None:
        self._put(TRAILER)
        self._put(None)

    def finish(self) -> None:
        self._may_finish.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Give up what is not finished."""
        if self._thread.is_alive():
            self._given_up = True
            self._may_finish.set()
            self._thread.join()
        with transaction.atomic():
            queue.wait_to_be_alone()
            queue.forget_who_is_seen_to()

    def _put(self, page: bytes | None) -> None:
        while self._thread.is_alive():
            try:
                return self._pages.put(page, timeout=1)
            except queues.Full:
                continue
        self.finish()
        return None

    def _get(self) -> bytes | None:
        while not self._given_up:
            try:
                return self._pages.get(timeout=1)
            except queues.Empty:
                continue
        raise GivenUpError

    # --- In the thread ---------------------------------------------------------------------------------------
    def _work(self) -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                self._fill(cursor)
                cursor.execute(_INDEX)
                self._may_finish.wait()
                if self._given_up:
                    transaction.set_rollback(True)
                else:
                    _take_its_place(cursor)
        except BaseException as error:  # noqa: BLE001 - it is the pass's, which raises it
            self._error = error
        finally:
            connection.close()

    def _fill(self, cursor: Any) -> None:
        cursor.execute(_CREATE)
        with connection.wrap_database_errors:
            cursor.copy_expert(
                "COPY match_key_anew (profile_id, key) FROM STDIN (FORMAT binary, FREEZE)",
                _Pages(self._get),
                _AT_ONCE,
            )


class GivenUpError(Exception):
    """The pass ended before all keys were made."""


class _Pages:
    """What the driver reads from: pages, as they come."""

    def __init__(self, get: Any) -> None:
        self._get, self._left, self._ended = get, memoryview(HEADER), False

    def read(self, size: int) -> bytes:
        while not self._left and not self._ended:
            page = self._get()
            self._left, self._ended = memoryview(page or b""), page is None
        found, self._left = bytes(self._left[:size]), self._left[size:]
        return found


def _take_its_place(cursor: Any) -> None:
    """Once nobody reads the old table: who does for long, such as a dump, is asked again and again."""
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [queue.LOCK])
                cursor.execute("LOCK TABLE match_key IN ACCESS EXCLUSIVE MODE")
                cursor.execute(_TAKE_OVER)
                return
        except OperationalError:
            if not left:
                raise
            log.info("match_keys_wait", tries_left=left)
            time.sleep(SECONDS_APART)


_AT_ONCE = 1024 * 1024
_CREATE = "CREATE TABLE match_key_anew (LIKE match_key INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
_INDEX = """
ALTER TABLE match_key_anew ADD CONSTRAINT match_key_anew_pkey PRIMARY KEY (profile_id, key);
CREATE INDEX match_key_anew_by_key ON match_key_anew (key, profile_id);
ANALYZE match_key_anew
"""
_SEEN_TO = "(SELECT unnest(profile_ids) FROM match_seen_to)"
_TAKE_OVER = f"""
DELETE FROM match_key_anew WHERE profile_id IN {_SEEN_TO};
INSERT INTO match_key_anew SELECT profile_id, key FROM match_key WHERE profile_id IN {_SEEN_TO};
DROP TABLE match_key;
ALTER TABLE match_key_anew RENAME TO match_key;
ALTER INDEX match_key_anew_pkey RENAME TO match_key_pkey;
ALTER INDEX match_key_anew_by_key RENAME TO match_key_by_key
"""
