"""What a profile has beside traits and events, as SQL: its accounts, joined as a0 and so on, its consent as k0."""

from collections.abc import Iterable

from segments.ast import NEGATIVE, Account, Condition, Consent, Standing
from segments.plan import RELATIVE, Clock, Plan, positive
from segments.predicates import path_edge, path_holds
from segments.sql import Sql, sql

TRAITS = Sql("a.traits")


def held_by_all(plan: Plan) -> Iterable[Sql]:
    """For everybody: a set for each test of accounts and each purpose, joined by hash."""
    for place, account in enumerate(plan.accounts):
        yield sql(
            f"LEFT JOIN ({{all}}) AS a{place} ON a{place}.profile_id = p.id", all=_accounts_of_all(account, plan.clock)
        )
    for place, purpose in enumerate(plan.purposes):
        yield sql(f"LEFT JOIN ({{all}}) AS k{place} ON k{place}.profile_id = p.id", all=consent(purpose, plan.clock))


def held_by_one(plan: Plan) -> Iterable[Sql]:
    for place, account in enumerate(plan.accounts):
        yield sql(f"LEFT JOIN LATERAL ({{one}}) AS a{place} ON true", one=_accounts_of_one(account, plan.clock))
    for place, purpose in enumerate(plan.purposes):
        yield sql(
            f"LEFT JOIN LATERAL ({{all}} AND k.profile_id = i.id) AS k{place} ON true",
            all=consent(purpose, plan.clock),
        )


def held_dues(conditions: Iterable[Condition], plan: Plan) -> Iterable[Sql]:
    """When the answers to those of these conditions that are about accounts and consent can change by time alone."""
    for condition in conditions:
        match condition:
            case Account(_, test) if test.op in RELATIVE:
                yield Sql(f"a{plan.accounts.index(positive(condition))}.due")
            case Consent(purpose):
                yield Sql(f"k{plan.purposes.index(purpose)}.due")
            case _:
                pass


def account_holds(account: Account, plan: Plan) -> Sql:
    truth = "NOT TRUE" if account.test.op in NEGATIVE else "TRUE"
    return Sql(f"a{plan.accounts.index(positive(account))}.holds IS {truth}")


def consent_holds(asked: Consent, plan: Plan) -> Sql:
    state = f"k{plan.purposes.index(asked.purpose)}.state"
    if asked.state is Standing.UNKNOWN:
        return Sql(f"coalesce({state}, 'unknown') = 'unknown'")
    return sql(f"{state} = {{asked}}", asked=asked.state.value)


def consent(purpose: str, clock: Clock) -> Sql:
    """`(profile_id, state, due)` of everybody who has a choice about this purpose; others are unknown for ever."""
    return sql(
        "SELECT k.profile_id, CASE WHEN k.until <= {now} THEN k.becomes ELSE k.state END AS state,"
        " CASE WHEN k.until > {now} THEN k.until END AS due FROM profile_consent AS k"
        " WHERE k.purpose_id = (SELECT id FROM consent_purpose WHERE slug = {purpose})",
        now=clock.now,
        purpose=purpose,
    )


def _accounts_of_all(account: Account, clock: Clock) -> Sql:
    """`(profile_id, holds, due)` of who belongs to an account that passes, or that can by time.

    The accounts are few beside their people: each is asked once.
    """
    return sql(
        "SELECT m.profile_id, bool_or(t.holds) AS holds, min(t.due) AS due FROM ("
        "SELECT a.id, ({holds}) IS TRUE AS holds, {due} AS due FROM account AS a OFFSET 0"
        ") AS t JOIN account_member AS m ON m.account_id = t.id"
        " WHERE t.holds OR t.due IS NOT NULL GROUP BY m.profile_id",
        holds=path_holds(account.trait, account.test, TRAITS, clock),
        due=_edge(account, clock),
    )


def _accounts_of_one(account: Account, clock: Clock) -> Sql:
    return sql(
        "SELECT bool_or(({holds}) IS TRUE) AS holds, min({due}) AS due"
        " FROM account_member AS m JOIN account AS a ON a.id = m.account_id WHERE m.profile_id = i.id",
        holds=path_holds(account.trait, account.test, TRAITS, clock),
        due=_edge(account, clock),
    )


def _edge(account: Account, clock: Clock) -> Sql:
    return path_edge(account.trait, account.test, TRAITS, clock) or Sql("NULL::timestamptz")
