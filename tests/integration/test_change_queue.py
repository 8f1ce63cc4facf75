"""The queue of changes, as it is written."""

from segments.changes import ProfileChange, note_changes
from tests.integration.conftest import rows


class TestChanges:
    def test_come_back_as_they_were_noted(self, database):
        noted = [
            ProfileChange(1, frozenset({3, 1, 2}), frozenset({"plan", 'ü "{},\\', "NULL"}), False, True),
            ProfileChange(2, frozenset(), frozenset(), True, False),
        ]

        note_changes(noted)

        found = rows("SELECT unnest(profile_ids), events, traits, merged, created FROM change ORDER BY 1")
        assert [ProfileChange(id_, frozenset(e), frozenset(t), m, c) for id_, e, t, m, c in found] == noted

    def test_nothing_is_nothing(self, database):
        note_changes([])

        assert rows("SELECT 1 FROM change") == []
