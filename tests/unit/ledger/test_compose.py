"""The posting gate: what passes becomes one entry; what does not is told with every row that is missing."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Role
from accordant.kernel.errors import InvariantBroken
from accordant.kernel.money import Money, exponent_of
from accordant.ledger import patterns
from accordant.ledger.chart import AccountRule, Use
from accordant.ledger.compose import Books, Refusal, Request, compose
from accordant.ledger.entries import Cause, JournalEntry, Posting, entry, reverse
from accordant.ledger.exchange import Rate
from accordant.ledger.periods import PeriodRefused, PeriodState, close, months, posting_day, reopen
from tests.unit.ledger.books import RECORDED, a_bill, a_chart, a_request, some_books


def posted(request: Request, books: Books | None = None) -> JournalEntry:
    made = compose(request, books or some_books(), recorded_at=RECORDED)
    assert isinstance(made, JournalEntry), made
    return made


def refused(request: Request, books: Books) -> dict[str, str]:
    made = compose(request, books, recorded_at=RECORDED)
    assert not isinstance(made, JournalEntry)
    return {one.check: str(one) for one in made}


def test_a_bill_becomes_one_balanced_entry() -> None:
    made = posted(a_bill())
    assert [(one.account, one.amount, one.party) for one in made.postings] == [
        ("1200", Money(10_888, "USD"), "acc_1"),
        ("2400", Money(-10_000, "USD"), None),
        ("2200", Money(-888, "USD"), None),
    ]
    assert made.postings[1].dimensions == {"product": "pro", "tax_code": "NY"}
    assert (made.posted_on, made.effective_on, made.total_minor) == (date(2027, 2, 3), date(2027, 2, 3), 10_888)


def test_the_same_request_is_the_same_entry_and_another_event_is_another() -> None:
    assert posted(a_bill()).id == posted(a_bill()).id
    assert posted(a_bill()).id != posted(a_bill(event="bev_2")).id


def without(role: Role) -> Books:
    chart = a_chart()
    return some_books(msgspec.structs.replace(chart, rules=tuple(r for r in chart.rules if r.role is not role)))


def closed_account() -> Books:
    chart = a_chart()
    shut = msgspec.structs.replace(chart.accounts["2200"], is_open=False)
    return some_books(msgspec.structs.replace(chart, accounts={**chart.accounts, "2200": shut}))


def all_closed() -> Books:
    periods = tuple(msgspec.structs.replace(one, state=PeriodState.CLOSED) for one in months("Example Inc.", year=2027))
    return some_books(periods=periods)


FOREIGN = some_books(a_chart(currency="EUR"))
REFUSALS: list[tuple[str, Request, Books, str, str]] = [
    ("no row for the product", a_bill(), without(Role.DEFERRED_REVENUE), "ledger_mapping",
     "has no row for deferred_revenue (product pro, tax code NY) on 2027-02-03: add one under ledger.accounts"),
    ("the account is closed", a_bill(), closed_account(), "ledger_mapping", "2200, which is closed"),
    ("an unknown tax code", a_bill(), msgspec.structs.replace(some_books(), tax_codes=frozenset()), "tax_attribute",
     "The tax code NY is not one of Example Inc."),
    ("no open period", a_bill(), all_closed(), "open_period", "No period is open for 2027-02-03"),
    ("off by one unit", a_bill(source=10_889), some_books(), "source_total",
     "108.89 USD, its lines come to 108.88 USD"),
    ("unbalanced", a_request(patterns.payout_paid(5, processor="cards")[:1], source=5), some_books(), "balance",
     "differ by 5 minor units"),
    ("nothing to post", a_bill(net=0, tax=0), some_books(), "balance", "moves no money"),
    ("no rate", a_bill(), FOREIGN, "exchange_rate", "no rate of 2027-02-03 is known"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "books", "check", "words"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_what_is_missing_is_named(request_: Request, books: Books, check: str, words: str) -> None:
    told = refused(request_, books)
    assert words in told[check]


def test_every_reason_is_told_at_once() -> None:
    books = msgspec.structs.replace(all_closed(), tax_codes=frozenset(), chart=without(Role.SALES_TAX).chart)
    assert set(refused(a_bill(source=1), books)) == {"ledger_mapping", "tax_attribute", "open_period", "source_total"}


def test_a_bill_in_another_currency_keeps_both_amounts() -> None:
    rate = Rate(of="USD", in_="EUR", rate="0.9137", source="ECB", published_on=date(2027, 2, 3))
    made = posted(msgspec.structs.replace(a_bill(), rate=rate), FOREIGN)
    assert [one.amount.amount_minor for one in made.postings] == [9_948, -9_137, -811]
    assert [one.original for one in made.postings] == [Money(10_888, "USD"), Money(-10_000, "USD"), Money(-888, "USD")]


@given(
    nets=st.lists(st.integers(1, 10**9), min_size=1, max_size=6),
    rate=st.decimals("0.0001", "9999", places=4),
    to=st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_no_rate_unbalances_an_entry(nets: list[int], rate: Any, to: str) -> None:
    legs = patterns.invoice_issued([patterns.BilledLine(product="p", net_minor=net) for net in nets])
    request = msgspec.structs.replace(
        a_request(legs, source=sum(nets)),
        rate=Rate(of="USD", in_=to, rate=str(rate), source="test", published_on=date(2027, 2, 3)),
    )
    made = compose(request, some_books(a_chart(currency=to)), recorded_at=RECORDED)
    if not isinstance(made, JournalEntry):
        assert "less than one minor unit" in made[0].reason
        return
    assert sum(one.amount.amount_minor for one in made.postings) == 0
    exact = Fraction(str(rate)) * Fraction(10) ** (exponent_of(to) - 2)
    for one in made.postings:
        assert one.original is not None
        # Half a unit from the total, one from its division.
        assert abs(one.amount.amount_minor - one.original.amount_minor * exact) < Fraction(3, 2)


def test_what_came_late_is_posted_in_the_open_period_with_both_dates() -> None:
    year = months("Example Inc.", year=2027)
    shut = tuple(
        msgspec.structs.replace(one, state=PeriodState.CLOSED) if one.starts_on < date(2027, 3, 1) else one
        for one in year
    )
    made = posted(a_bill(), some_books(periods=shut))
    assert (made.posted_on, made.effective_on) == (date(2027, 3, 1), date(2027, 2, 3))


def test_a_reversal_cancels_to_the_unit_and_is_not_reversed() -> None:
    made = posted(a_bill())
    back = reverse(made, posted_on=date(2027, 3, 1), event="bev_9", text="Voided", recorded_at=RECORDED)
    assert back.reverses == made.id
    pairs = zip(made.postings, back.postings, strict=True)
    assert all(one.amount == -other.amount and one.account == other.account for one, other in pairs)
    with pytest.raises(InvariantBroken, match="is a reversal"):
        reverse(back, posted_on=date(2027, 3, 1), event="bev_10", text="again", recorded_at=RECORDED)


def a_raw_entry(*postings: Posting) -> JournalEntry:
    cause = Cause(event="bev_1", subject="x", rule="r")
    day = date(2027, 1, 1)
    return entry(
        legal_entity="E", posted_on=day, effective_on=day, cause=cause, text="", postings=postings, recorded_at=RECORDED
    )


def test_an_entry_that_does_not_balance_cannot_be_made() -> None:
    debit = Posting(account="1", amount=Money(5, "USD"))
    for other, words in [
        (Posting(account="2", amount=Money(-4, "USD")), "off by 1"),
        (Posting(account="2", amount=Money(-5, "EUR")), "mixes"),
    ]:
        with pytest.raises(InvariantBroken, match=words):
            a_raw_entry(debit, other)
    with pytest.raises(InvariantBroken, match="fewer than two"):
        a_raw_entry(debit)
    with pytest.raises(InvariantBroken, match="posting of nothing"):
        Posting(account="1", amount=Money(0, "USD"))
    with pytest.raises(InvariantBroken, match="debit in one currency"):
        Posting(account="1", amount=Money(5, "USD"), original=Money(-5, "EUR"))


def test_the_row_that_names_most_decides_and_rows_have_dates() -> None:
    chart = a_chart()
    rows = (
        *chart.rules,
        AccountRule(role=Role.REVENUE, account="4900", product="legacy"),
        AccountRule(role=Role.REVENUE, account="1000", from_on=date(2028, 1, 1)),
        AccountRule(role=Role.REVENUE, account="1090", product="legacy", until_on=date(2020, 1, 1)),
    )
    chart = msgspec.structs.replace(chart, rules=rows)

    def code(product: str | None, day: date) -> str:
        found = chart.account_for(Use(role=Role.REVENUE, product=product), day)
        return getattr(found, "code", str(found))

    assert code(None, date(2027, 1, 1)) == "4000"
    assert code("legacy", date(2027, 1, 1)) == "4900"
    assert code(None, date(2028, 1, 1)) == "1000"
    assert code("legacy", date(2028, 1, 1)) == "4900"  # a product says more than a date


def test_periods_close_in_order_and_open_again_for_two_people() -> None:
    year = list(months("Example Inc.", year=2027, starts_month=7))
    assert (year[0].starts_on, year[-1].ends_on) == (date(2027, 7, 1), date(2028, 7, 1))
    early = close(year, year[1], by="ada")
    assert isinstance(early, PeriodRefused)
    assert "2027-07-01 is still open" in early.reason
    for index in (0, 1):
        shut = close(year, year[index], by="ada")
        assert not isinstance(shut, PeriodRefused)
        year[index] = shut
    assert isinstance(reopen(year, year[1], by=["ada", "ada"]), PeriodRefused)
    assert isinstance(reopen(year, year[0], by=["ada", "bob"]), PeriodRefused)
    opened = reopen(year, year[1], by=["ada", "bob"])
    assert not isinstance(opened, PeriodRefused)
    assert (opened.state, opened.reopened_by) == (PeriodState.OPEN, ("ada", "bob"))
    assert isinstance(posting_day([], date(2027, 1, 1)), PeriodRefused)
    assert isinstance(close(year, year[0], by="ada"), PeriodRefused)


def test_a_refusal_reads_as_a_sentence() -> None:
    assert str(Refusal(check="x", reason="So it is.", remedy="")) == "So it is."
