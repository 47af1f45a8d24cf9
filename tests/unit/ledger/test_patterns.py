"""The debit and credit table: one row an event, as an accountant reads it. Amounts in minor units."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Role
from accordant.kernel.errors import InvariantBroken
from accordant.ledger import exchange
from accordant.ledger import patterns as p
from accordant.ledger.patterns import BilledLine, Leg, Share, net_of, share_of

VISA = "cards"


def sides(legs: list[Leg]) -> dict[str, int]:
    """Role -> debit (positive) or credit (negative), roles that come twice added up."""
    sums: dict[str, int] = {}
    for leg in legs:
        sums[leg.use.role.value] = sums.get(leg.use.role.value, 0) + leg.minor
    return {role: minor for role, minor in sums.items() if minor}


#: event, legs, debits and credits by role. Every row is one of finance.md 3.3.
TABLE: list[tuple[str, list[Leg], dict[str, int]]] = [
    ("invoice issued", p.invoice_issued([BilledLine(product="pro", net_minor=10_000, tax_code="NY", tax_minor=888)]),
     {"receivable": 10_888, "deferred_revenue": -10_000, "sales_tax": -888}),
    ("payment through a processor", p.payment_applied(120_000, open_minor=120_000, processor=VISA),
     {"clearing": 120_000, "receivable": -120_000}),
    ("processing fee", p.fee_charged(3_510, processor=VISA), {"processing_fees": 3_510, "clearing": -3_510}),
    ("payout", p.payout_paid(116_490, processor=VISA), {"bank": 116_490, "clearing": -116_490}),
    ("month recognised", p.revenue_recognised(10_192, deferred=120_000),
     {"deferred_revenue": 10_192, "revenue": -10_192}),
    ("earned before it is billed", p.revenue_recognised(10_000, deferred=4_000),
     {"deferred_revenue": 4_000, "contract_asset": 6_000, "revenue": -10_000}),
    ("overpayment", p.payment_applied(13_000, open_minor=10_000),
     {"bank": 13_000, "receivable": -10_000, "customer_balance": -3_000}),
    ("refund, 2 of 12 months earned", p.refunded(share_of(12_000, recognised=2_000, deferred=10_000), processor=VISA),
     {"contra_revenue": 2_000, "deferred_revenue": 10_000, "clearing": -12_000}),
    ("dispute opened after 31 of 90 days",
     p.dispute_opened(share_of(9_000, recognised=3_100, deferred=5_900), fee=1_500, processor=VISA),
     {"contra_revenue": 3_100, "deferred_revenue": 5_900, "dispute_fees": 1_500, "clearing": -10_500}),
    ("dispute won a month later", p.dispute_won(Share(earned=3_100, unearned=5_900), caught_up=2_800, processor=VISA),
     {"clearing": 9_000, "contra_revenue": -3_100, "revenue": -2_800, "deferred_revenue": -3_100}),
    ("credit note before payment", p.credit_note(Share(earned=0, unearned=3_000), unpaid=3_000),
     {"deferred_revenue": 3_000, "receivable": -3_000}),
    ("credit note after payment, three ways",
     p.credit_note(Share(earned=1_550, unearned=2_950), refunded=1_500, to_balance=1_000, owed=2_000,
                   processor=VISA),
     {"deferred_revenue": 2_950, "contra_revenue": 1_550, "clearing": -1_500, "customer_balance": -1_000,
      "refund_liability": -2_000}),
    ("write-off against the allowance", p.written_off(Share(earned=4_000, unearned=0), from_allowance=True),
     {"bad_debt_allowance": 4_000, "receivable": -4_000}),
    ("write-off, directly", p.written_off(Share(earned=4_000, unearned=6_000, tax=1_000)),
     {"bad_debt": 4_000, "deferred_revenue": 6_000, "sales_tax": 1_000, "receivable": -11_000}),
    ("reverse charge", p.invoice_issued([BilledLine(product="pro", net_minor=10_000, tax_code="EU-RC")]),
     {"receivable": 10_000, "deferred_revenue": -10_000}),
    ("a write-off that is paid after all, a month later",
     p.recovered(p.payment_applied(11_000, open_minor=0, processor=VISA),
                 Share(earned=4_000, unearned=6_000, tax=1_000), caught_up=2_000),
     {"clearing": 11_000, "bad_debt": -4_000, "revenue": -2_000, "deferred_revenue": -4_000, "sales_tax": -1_000}),
    ("the processor's rate was worse", p.funds_converted(-300, processor=VISA),
     {"clearing": -300, "fx_realised": 300}),
    ("10,000 EUR receivable at the month's end",
     exchange.revalued(Role.RECEIVABLE, stands_at=1_120_000, worth=1_088_400),
     {"fx_unrealised": 31_600, "receivable": -31_600}),
    ("delivered by a sister, at the seller", p.intercompany_bought(90_000),
     {"intercompany_cost": 90_000, "intercompany_payable": -90_000}),
    ("delivered by a sister, at the sister", p.intercompany_delivered(90_000),
     {"intercompany_receivable": 90_000, "intercompany_revenue": -90_000}),
    ("collected by the wrong company, there", p.collected_for_sister(50_000, processor=VISA),
     {"clearing": 50_000, "intercompany_payable": -50_000}),
    ("collected by the wrong company, here", p.collected_by_sister(50_000),
     {"intercompany_receivable": 50_000, "receivable": -50_000}),
    ("commission on cash", p.commission_earned(12_000),
     {"deferred_commission": 12_000, "commissions_payable": -12_000}),
    ("a month of the commission", p.commission_expensed(333), {"commission_expense": 333, "deferred_commission": -333}),
    ("backup withholding", p.seller_paid(100_000, withheld=24_000),
     {"sellers_payable": 100_000, "bank": -76_000, "withholding_payable": -24_000}),
    ("agent sale", p.agent_sale(10_000, commission=1_200, fee=320, processor=VISA),
     {"clearing": 9_680, "processing_fees": 320, "sellers_payable": -8_800, "revenue": -1_200}),
]  # fmt: skip


@pytest.mark.parametrize(("legs", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table_of_debits_and_credits(legs: list[Leg], expected: dict[str, int]) -> None:
    assert sides(legs) == expected
    assert sum(leg.minor for leg in legs) == 0


def test_an_amount_that_includes_tax_is_split() -> None:
    assert net_of(12_000, Fraction(1, 5)) == (10_000, 2_000)
    assert net_of(1, Fraction(1, 5)) == (1, 0)
    line = BilledLine(product="pro", net_minor=10_000, tax_code="GB", tax_minor=2_000)
    assert sides(p.invoice_issued([line])) == {"receivable": 12_000, "deferred_revenue": -10_000, "sales_tax": -2_000}


def test_a_payout_leaves_the_clearing_account_at_zero() -> None:
    story = [
        *p.payment_applied(120_000, open_minor=120_000, processor=VISA),
        *p.fee_charged(3_510, processor=VISA),
        *p.payout_paid(116_490, processor=VISA),
    ]
    assert "clearing" not in sides(story)


def test_what_does_not_add_up_is_refused() -> None:
    with pytest.raises(InvariantBroken, match="goes out as"):
        p.credit_note(Share(earned=0, unearned=100), refunded=40, to_balance=40)
    with pytest.raises(InvariantBroken, match="cannot have been earned"):
        p.dispute_won(Share(earned=0, unearned=10), caught_up=11, processor=VISA)
    with pytest.raises(InvariantBroken, match="cannot be taken back"):
        share_of(101, recognised=50, deferred=50)
    with pytest.raises(InvariantBroken, match="not revalued"):
        exchange.revalued(Role.DEFERRED_REVENUE, stands_at=1, worth=2)


@given(recognised=st.integers(0, 10**9), deferred=st.integers(0, 10**9), part=st.fractions(0, 1))
def test_what_is_taken_back_never_exceeds_either_side(recognised: int, deferred: int, part: Fraction) -> None:
    net = int((recognised + deferred) * part)
    share = share_of(net, recognised=recognised, deferred=deferred)
    assert share.earned + share.unearned == net
    assert 0 <= share.earned <= recognised
    assert 0 <= share.unearned <= deferred


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.integers(-(10**7), 10**7))
def test_part_payments_take_the_whole_bill_and_no_more(parts: list[int], books: int) -> None:
    """A bill in another currency paid in any parts leaves nothing behind in the currency of the books."""
    movements = [exchange.Movement(original_minor=sum(parts), books_minor=abs(books))]
    for paid in parts:
        taken = exchange.booked_for(movements, paid)
        movements.append(exchange.Movement(original_minor=-paid, books_minor=-taken))
    assert sum(one.books_minor for one in movements) == 0
