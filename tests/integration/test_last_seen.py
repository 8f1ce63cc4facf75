"""When identifiers were last seen: written once a day, however often they come. R: C4"""

from datetime import datetime
from typing import Any

from django.db import transaction

from identity.kinds.stage import forget_found
from tests.factories.ingestion import NOW, track
from tests.integration.conftest import drain_all, rows


def seen(accept: Any, *moments: str, **fields: Any) -> None:
    accept(*(track("Viewed", timestamp=f"2026-03-{moment}Z", **fields) for moment in moments))
    drain_all(NOW)


def drain_later(accept: Any, moment: str) -> None:
    """As it happens, at that moment."""
    now = datetime.fromisoformat(f"2026-03-{moment}Z")
    accept(track("Viewed", timestamp=now.isoformat()), now=now)
    drain_all(now)


def days() -> dict[str, str]:
    return dict(rows("SELECT value, to_char(last_seen_at, 'MM-DD HH24') FROM profile_identifier ORDER BY value"))


class TestLastSeen:
    def test_is_the_first_sighting_of_the_newest_day(self, accept: Any):
        seen(accept, "01T10:00:00")
        seen(accept, "03T09:00:00")
        seen(accept, "03T15:00:00", "02T09:00:00")

        assert days() == {"u-1": "03-03 09"}

    def test_is_left_open_on_the_day_of_the_first(self, accept: Any):
        seen(accept, "01T10:00:00")
        seen(accept, "01T12:00:00")

        assert days() == {"u-1": None}

    def test_is_each_identifiers_own(self, accept: Any):
        seen(accept, "01T10:00:00", anonymousId="a-1")
        seen(accept, "03T10:00:00")

        assert days() == {"a-1": None, "u-1": "03-03 10"}

    def test_is_written_after_a_try_that_was_undone(self, accept: Any):
        seen(accept, "01T10:00:00")
        with transaction.atomic():
            seen(accept, "03T09:00:00")
            transaction.set_rollback(True)

        seen(accept, "03T09:00:00")

        assert days() == {"u-1": "03-03 09"}

    def test_is_written_of_who_was_seen_before_on_an_earlier_day(self, accept: Any):
        """Messages come late: the day of a message is not the day on which it comes."""
        seen(accept, "01T10:00:00", "02T10:00:00")
        seen(accept, "02T11:00:00")
        drain_later(accept, "03T12:00:00")
        drain_later(accept, "04T08:00:00")

        assert days() == {"u-1": "03-04 08"}

    def test_is_kept_by_a_process_that_starts_anew(self, accept: Any):
        seen(accept, "01T10:00:00")
        seen(accept, "03T09:00:00")
        forget_found()

        seen(accept, "03T15:00:00")

        assert days() == {"u-1": "03-03 09"}
