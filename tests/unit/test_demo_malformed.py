"""Messages of an old app that cannot be taken in."""

import json

from cdp.demo.malformed import MISTAKES, SHARE, OldApp
from ingestion.contracts import Rejected
from ingestion.messages import decode_row
from tests.factories.ingestion import inbox_row, message

GOOD = message(timestamp="2026-05-17T10:20:30.000Z", anonymousId="v-1", context={})


class TestMistakes:
    def test_each_is_turned_away_for_a_reason_of_its_own(self):
        bodies = [json.dumps(mistake(GOOD)).encode() for mistake in MISTAKES]

        answers = [next(iter(decode_row(inbox_row(body, kind="track")))) for body in bodies]

        assert [(one.code, one.path) for one in answers if isinstance(one, Rejected)] == [
            ("event_missing", "/event"),
            ("timestamp_invalid", "/timestamp"),
            ("type_mismatch", "/userId"),
            ("identifier_missing", "/userId"),
        ]


class TestOldApp:
    def test_spoils_few_each_under_an_id_of_its_own(self):
        spoilt = OldApp(seed=1, run="r").spoil([GOOD] * 20_000)

        assert 0.5 * SHARE < len(spoilt) / 20_000 < 2 * SHARE
        assert len({one["messageId"] for one in spoilt}) == len(spoilt)
        assert all(one["context"]["app"]["version"] == "2.3.0" for one in spoilt)
