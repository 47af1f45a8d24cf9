"""Histories read into the books: disputes, credit notes, discounts, other currencies, and what cannot be posted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

from accordant.canonical.books import Grain
from accordant.canonical.entities import CreditNote, Dispute, Entity, Invoice, InvoiceLine, Payment, Refund
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import Money
from accordant.ledger.balances import roll_forward, trial_balance
from accordant.ledger.compose import Books
from accordant.ledger.draft import Draft, History, draft
from accordant.ledger.exchange import Rate
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED, a_chart, some_books

START = datetime(2027, 1, 1, tzinfo=UTC)
CUSTOMER = ExternalRef("billing", "customer", "cus_1")
RATES = {date(2027, 1, 1): "0.90", date(2027, 1, 11): "0.80"}


def rate_of(of: str, in_: str, day: date) -> Rate | None:
    known = [on for on in RATES if on <= day]
    return Rate(of=of, in_=in_, rate=RATES[max(known)], source="test", published_on=max(known)) if known else None


def ref(kind: str, name: str) -> ExternalRef:
    return ExternalRef("billing", kind, name)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def a_bill(minor: int = 9_000, *, days: int = 90, tax: int = 0, off: int = 0, name: str = "in_1") -> Invoice:
    line = InvoiceLine(
        external_id="il_1",
        amount_minor=minor,
        price_id="price_1",
        period_starts_at=START,
        period_ends_at=START + timedelta(days=days),
    )
    total = usd(minor - off + tax)
    return Invoice(
        external_id=name,
        customer_id="cus_1",
        status="open",
        total=total,
        amount_due=total,
        amount_paid=usd(0),
        amount_remaining=total,
        tax=usd(tax),
        discount=usd(off),
        number=name.upper(),
        lines=(line,),
    )


class Story:
    """A history told day by day."""

    def __init__(self) -> None:
        self.events: list[BusinessEvent] = []
        self.objects: dict[ExternalRef, Entity] = {}

    def tell(
        self, kind: EventType, what: ExternalRef, entity: Entity, *, day: int, amount: Money | None = None
    ) -> Story:
        self.objects[what] = entity
        at = START + timedelta(days=day)
        self.events.append(business_event(kind, subject=what, root=CUSTOMER, occurred_at=at, amount=amount))
        return self

    def bill(self, bill: Invoice, *, day: int = 0) -> Story:
        return self.tell(EventType.INVOICE_ISSUED, ref("invoice", bill.external_id), bill, day=day, amount=bill.total)

    def pay(self, minor: int, *, day: int, name: str = "ch_1", bill: str | None = "in_1") -> Story:
        payment = Payment(
            external_id=name,
            customer_id="cus_1",
            status="succeeded",
            amount=usd(minor),
            refunded=usd(0),
            invoice_id=bill,
        )
        return self.tell(EventType.PAYMENT_APPLIED, ref("charge", name), payment, day=day, amount=usd(minor))

    def read(
        self, *, books: Books | None = None, before_on: date = date(2027, 12, 31), setting: Setting | None = None
    ) -> Draft:
        setting = setting or Setting(
            books={"billing": books or some_books()},
            tax_codes={"billing": "NY"},
            zone=UTC,
            grain=Grain.DAY,
            grains={},
            rate_of=rate_of,
            recorded_at=RECORDED,
        )
        history = History(events=tuple(self.events), objects=self.objects, products={"price_1": "pro"})
        return draft(history, setting, before_on=before_on)


def balances(made: Draft) -> dict[str, int]:
    assert made.unposted == ()
    rows = trial_balance(made.entries)
    assert sum(row.balance_minor for row in rows) == 0
    return {row.account: row.balance_minor for row in rows if row.balance_minor}


def disputed(*, closed_on: int | None = None, won: bool = True) -> Story:
    story = Story().bill(a_bill()).pay(9_000, day=1)
    word = "needs_response" if closed_on is None else "won" if won else "lost"
    dispute = Dispute(external_id="dp_1", status=word, amount=usd(9_000), payment_id="ch_1")
    story.tell(EventType.DISPUTE_OPENED, ref("dispute", "dp_1"), dispute, day=31, amount=usd(9_000))
    if closed_on is not None:
        story.tell(EventType.DISPUTE_CLOSED, ref("dispute", "dp_1"), dispute, day=closed_on)
    return story


def test_a_dispute_stops_the_revenue_and_a_win_brings_it_back() -> None:
    opened = balances(disputed().read())
    assert opened == {"4000": -3_100, "4900": 3_100}  # 31 of 90 days were earned, and are doubtful now
    assert balances(disputed(closed_on=59, won=False).read()) == opened
    assert balances(disputed(closed_on=59).read()) == {"1090": 9_000, "4000": -9_000}
    win = next(one for one in disputed(closed_on=59).read().entries if one.cause.rule == "dispute_won")
    assert [one.amount.amount_minor for one in win.postings] == [9_000, -3_100, -2_800, -3_100]


def test_a_credit_note_on_an_open_bill_lowers_what_is_owed() -> None:
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(3_000))
    story = Story().bill(a_bill())
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=30, amount=note.total)
    found = balances(story.pay(6_000, day=31).read())
    # A third of the bill is taken back, a third of it from what 30 days had earned.
    assert found == {"1090": 6_000, "4000": -7_000, "4900": 1_000}


def test_a_credit_note_on_a_paid_bill_is_owed_and_its_refund_takes_nothing_twice() -> None:
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(3_000))
    story = Story().bill(a_bill()).pay(9_000, day=1)
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=30, amount=note.total)
    chart = with_refunds_owed()
    assert balances(story.read(books=chart))["2460"] == -3_000
    refund = Refund(external_id="re_1", status="succeeded", amount=usd(3_000), payment_id="ch_1")
    story.tell(EventType.REFUND_ISSUED, ref("refund", "re_1"), refund, day=31, amount=usd(3_000))
    assert balances(story.read(books=chart)) == {"1090": 6_000, "4000": -7_000, "4900": 1_000}


def with_refunds_owed() -> Books:
    from accordant.canonical.books import AccountType, Role
    from accordant.ledger.chart import AccountRule, LedgerAccount

    chart = a_chart()
    owed = LedgerAccount(code="2460", name="Refunds owed", type=AccountType.LIABILITY)
    rules = (*chart.rules, AccountRule(role=Role.REFUND_LIABILITY, account="2460"))
    return some_books(msgspec.structs.replace(chart, accounts={**chart.accounts, "2460": owed}, rules=rules))


def test_a_discount_is_borne_by_the_lines_and_tax_is_nobodys_revenue() -> None:
    found = balances(Story().bill(a_bill(10_000, off=1_000, tax=799)).read())
    assert found == {"1200": 9_799, "2200": -799, "4000": -9_000}


def test_a_bill_whose_total_is_off_by_one_unit_is_held_with_its_reason() -> None:
    wrong = msgspec.structs.replace(a_bill(), total=usd(9_001))
    made = Story().bill(wrong).read()
    assert made.entries == ()
    assert [one.check for one in made.unposted[0].refusals] == ["source_total"]


def test_a_bill_in_another_currency_gains_or_loses_when_it_is_paid() -> None:
    books = some_books(a_chart(currency="EUR"))
    made = Story().bill(a_bill(10_000)).pay(10_000, day=11).read(books=books)
    found = balances(made)
    # Billed at 0.90, paid at 0.80: 10.00 lost; revenue keeps the rate of the bill.
    assert found == {"1090": 8_000, "7100": 1_000, "4000": -9_000}
    paid = next(one for one in made.entries if one.cause.rule == "payment_applied")
    assert [one.original for one in paid.postings] == [usd(10_000), usd(-10_000), None]
    earned = [one for one in made.entries if one.cause.rule == "revenue_recognised"]
    assert sum(one.postings[0].original.amount_minor for one in earned if one.postings[0].original) == -10_000


def test_a_voided_bill_takes_back_what_it_had_earned() -> None:
    story = Story().bill(a_bill())
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_1"), a_bill(), day=45)
    made = story.read()
    assert balances(made) == {}
    february = roll_forward(made.entries, account="2400", first_on=date(2027, 2, 1), after_on=date(2027, 3, 1))
    assert february.closing == 0


@pytest.mark.parametrize("what", [EventType.REFUND_ISSUED, EventType.CREDIT_APPROVED, EventType.DISPUTE_OPENED])
def test_what_comes_before_its_bill_is_held_and_not_posted_wrong(what: EventType) -> None:
    early: dict[EventType, Entity] = {
        EventType.REFUND_ISSUED: Refund(external_id="x", status="succeeded", amount=usd(1), payment_id="ch_1"),
        EventType.CREDIT_APPROVED: CreditNote(
            external_id="x", customer_id=None, invoice_id="in_1", status="issued", total=usd(1)
        ),
        EventType.DISPUTE_OPENED: Dispute(external_id="x", status="needs_response", amount=usd(1), payment_id="ch_1"),
    }
    made = Story().tell(what, ref("thing", "x"), early[what], day=1, amount=usd(1)).read()
    assert made.entries == ()
    assert "cannot be posted" in str(made.unposted[0].refusals[0])


def test_more_given_back_than_was_billed_is_held() -> None:
    refund = Refund(external_id="re_1", status="succeeded", amount=usd(9_001), payment_id="ch_1")
    story = Story().bill(a_bill()).pay(9_000, day=1)
    made = story.tell(EventType.REFUND_ISSUED, ref("refund", "re_1"), refund, day=2, amount=usd(9_001)).read()
    assert "more is given back than was billed" in str(made.unposted[0].refusals[0])


def test_reading_twice_makes_the_same_entries() -> None:
    first, second = disputed(closed_on=59).read(), disputed(closed_on=59).read()
    assert first == second
    assert len({one.id for one in first.entries}) == len(first.entries)
