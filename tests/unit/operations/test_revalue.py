"""What a month lacks is told as the entries would have it, without making one for each customer."""

from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import AccountRulePart, AccountType, LedgerAccountPart, LegalEntityPart, Role
from accordant.ledger.exchange import Rate
from accordant.ledger.periods import Period
from accordant.ledger.setting import books_of
from accordant.operations.closing import CloseStep, missing_steps
from accordant.operations.revalue import MonthsEnd, Outstanding, outstanding, revalue
from accordant.ports.ledger_desk import ForeignBalance, OpenEnds

COMPANY, LAST_ON, AFTER_ON = "Example GmbH", date(2026, 1, 31), date(2026, 2, 1)
#: What the charter has an account for; without one of unrealised differences nothing can be posted.
KNOWN = (Role.RECEIVABLE, Role.CLEARING, Role.FX_UNREALISED)


def an_end(*roles: Role) -> MonthsEnd:
    part = LegalEntityPart(
        currency="EUR",
        accounts={role.value: LedgerAccountPart(name=role.value, type=AccountType.ASSET) for role in roles},
        rules=tuple(AccountRulePart(role=role, account=role.value) for role in roles),
    )
    books = books_of(COMPANY, part, range(2025, 2028), ())
    return MonthsEnd(books=books, system="stripe", after_on=AFTER_ON, recorded_at=datetime(2026, 2, 3, tzinfo=UTC))


def rate_of(of: str, in_: str, day: date) -> Rate | None:
    """No list has a rate for the second currency."""
    if of == "XAF":
        return None
    rate = {"USD": "0.5", "JPY": "0.006"}[of]
    return Rate(of=of, in_=in_, rate=rate, source="test", published_on=day)


def a_balance(currency: str, role: Role, party: str | None) -> st.SearchStrategy[ForeignBalance]:
    minor = st.integers(-1_000, 1_000)
    return st.builds(
        ForeignBalance, role=st.just(role), currency=st.just(currency), original_minor=minor, books_minor=minor,
        party=st.just(party),
    )  # fmt: skip


def balances(*currencies: str) -> st.SearchStrategy[list[ForeignBalance]]:
    owed = [a_balance(one, Role.RECEIVABLE, f"cus_{n}") for one in currencies for n in range(4)]
    held = [a_balance(one, Role.CLEARING, None) for one in currencies]
    return st.tuples(*(st.none() | one for one in owed + held)).map(lambda row: [one for one in row if one])


@given(found=balances("USD", "JPY"))
def test_as_many_entries_are_told_as_would_be_made(found: list[ForeignBalance]) -> None:
    made, told = revalue(found, an_end(*KNOWN), rate_of), outstanding(found, an_end(*KNOWN), rate_of)
    assert (told.count, told.refusals) == (len(made.entries), made.refusals) == (len(made.entries), ())
    originals = {entry.postings[0].original for entry, _ in made.entries}
    assert told.currencies == tuple(sorted({one.currency for one in originals if one is not None}))


@given(found=balances("USD", "XAF"))
def test_what_stands_in_the_way_is_told_as_it_would_be_refused(found: list[ForeignBalance]) -> None:
    for end in (an_end(*KNOWN), an_end(Role.RECEIVABLE, Role.CLEARING)):
        refused, told = revalue(found, end, rate_of).refusals, outstanding(found, end, rate_of).refusals
        assert {one.reason for one in told} == {one.reason for one in refused}


def test_each_currency_is_named_once_however_many_customers_owe_in_it() -> None:
    period = Period(legal_entity=COMPANY, starts_on=date(2026, 1, 1), ends_on=AFTER_ON)
    owed = Outstanding(count=6_150, currencies=("JPY", "USD"))
    (step,) = missing_steps(period, OpenEnds(held=0, unrecognised=0), owed)
    assert (step.step, step.count) == (CloseStep.REVALUED, 6_150)
    assert step.what == "What is owed and held in JPY, USD is not at the closing rate of 2026-01."
