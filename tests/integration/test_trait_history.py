"""What traits were: a row for what was new, that follows its profile."""

import pytest

from identity.survivorship import history
from tests.factories.ingestion import identify
from tests.integration.conftest import drain_all, rows

LISTED = "SELECT origin_id, traits->>'plan' FROM trait_history ORDER BY at"


def says(minute: int, plan: object, **fields: object) -> dict[str, object]:
    return identify(timestamp=f"2026-03-01T10:{minute:02}:00Z", traits={"plan": plan}, **fields)


@pytest.mark.django_db(transaction=True)
class TestHistory:
    def test_has_what_was_new_and_no_repetition(self, accept):
        accept(says(1, "free"), says(2, "free"), says(3, "pro"), says(4, None))

        drain_all()

        assert rows(LISTED) == [(None, "free"), (None, "pro"), (None, None)]

    def test_names_the_event_that_said_it(self, accept):
        accept(says(1, "free"))

        drain_all()

        assert rows("SELECT count(*) FROM trait_history h JOIN event e ON e.id = h.event_id AND e.ts = h.at") == [(1,)]

    def test_follows_a_merge_and_keeps_its_origin(self, accept):
        accept(says(1, "free", userId=None, anonymousId="a-1"))
        accept(says(2, "pro", userId="u-1"))
        drain_all()

        accept(says(3, "pro", userId="u-1", anonymousId="a-1"))
        drain_all()

        [(profile_id, absorbed)] = rows("SELECT canonical_id, profile_id FROM profile_alias")
        assert rows(LISTED) == [(None, "free"), (absorbed, "pro")]
        assert rows("SELECT DISTINCT profile_id FROM trait_history") == [(profile_id,)]

    def test_ends_after_its_time(self, accept, settings):
        accept(says(1, "free"))
        drain_all()
        settings.IDENTITY_TRAIT_HISTORY_DAYS = 10
        [(recorded,)] = rows("SELECT recorded_at FROM trait_history")

        assert history.drop_expired(now=recorded + 9 * history.DAY) == 0
        assert history.drop_expired(now=recorded + 11 * history.DAY) == 1

    def test_is_not_kept_where_nobody_wants_it(self, accept, settings):
        settings.IDENTITY_TRAIT_HISTORY_DAYS = 0
        accept(says(1, "free"))

        drain_all()

        assert rows(LISTED) == []
