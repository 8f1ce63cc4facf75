"""At which instants accounts and consent hold: accounts as they are now, consent by what had expired by then."""

from segments.ast import NEGATIVE, Account, Consent, Standing
from segments.insight.trend.frame import Frame
from segments.insight.trend.values import path_bits
from segments.plan import positive
from segments.sql import Sql, sql


def accounts_joined(account: Account, name: str, frame: Frame) -> tuple[Sql, Sql]:
    """`(profile_id, bits)` of who belongs to an account that passes at some instant; and the instants from it."""
    test = positive(account).test
    rows = sql(
        "SELECT m.profile_id, bit_or(t.bits) AS bits FROM ("
        "SELECT a.id, {bits} AS bits FROM account AS a OFFSET 0"
        ") AS t JOIN account_member AS m ON m.account_id = t.id WHERE t.bits <> {zeros} GROUP BY m.profile_id",
        bits=path_bits(account.trait, test, Sql("a.traits"), frame),
        zeros=frame.zeros,
    )
    bits = sql(f"coalesce({name}.bits, {{zeros}})", zeros=frame.zeros)
    return rows, sql("(~{bits})", bits=bits) if account.test.op in NEGATIVE else bits


def consent_joined(asked: Consent, name: str, frame: Frame) -> tuple[Sql, Sql]:
    turn = frame.first_at(Sql("k.until"))
    rows = sql(
        "SELECT k.profile_id, CASE WHEN k.state <> {asked} THEN {zeros} WHEN k.until IS NULL THEN {ones}"
        " ELSE {before} END | CASE WHEN k.becomes = {asked} THEN {since} ELSE {zeros} END AS bits"
        " FROM profile_consent AS k WHERE k.purpose_id = (SELECT id FROM consent_purpose WHERE slug = {purpose})",
        asked=asked.state.value,
        zeros=frame.zeros,
        ones=frame.ones,
        before=frame.stretch(Sql("0"), turn),
        since=frame.stretch(turn, Sql(str(frame.size))),
        purpose=asked.purpose,
    )
    empty = frame.ones if asked.state is Standing.UNKNOWN else frame.zeros
    return rows, sql(f"coalesce({name}.bits, {{empty}})", empty=empty)
