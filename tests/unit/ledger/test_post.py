"""Events read as they arrive: in any order, again and again, what the books hold is what the whole history makes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Grain
from accordant.canonical.entities import CreditNote, Dispute, Entity, Invoice, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.canonical.refs import ExternalRef
from accordant.kernel.money import Money
from accordant.ledger.balances import trial_balance
from accordant.ledger.chart import Chart
from accordant.ledger.compose import AMOUNT_MAX, Books
from accordant.ledger.entries import JournalEntry
from accordant.ledger.periods import PeriodState
from accordant.ledger.post import Outcome, Posted, Reader, in_order
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED, a_chart, some_books
from tests.unit.ledger.test_draft import START, Story, a_bill, balances, rate_of, ref, usd, with_refunds_owed

BOOKS = with_refunds_owed()


def a_setting(**changes: object) -> Setting:
    setting = Setting(
        books={"billing": BOOKS},
        tax_codes={"billing": "NY"},
        zone=UTC,
        grain=Grain.DAY,
        grains={},
        rate_of=rate_of,
        recorded_at=RECORDED,
    )
    return msgspec.structs.replace(setting, **changes)


class Kept:
    """Books that are kept: each batch is read with everything known of the bill, as the rooms read it."""

    def __init__(self, objects: dict[ExternalRef, Entity]) -> None:
        self.objects = objects
        self.known: list[BusinessEvent] = []
        self.entries: dict[str, JournalEntry] = {}
        self.posted: dict[str, Posted] = {}
        self.outcomes: dict[str, Outcome] = {}

    def take(self, events: Sequence[BusinessEvent], objects: dict[ExternalRef, Entity] | None = None) -> None:
        known = {one.id: one for one in [*self.known, *events]}
        self.known = list(known.values())
        reader = Reader(
            a_setting(), self.objects if objects is None else objects, products={"price_1": "pro"}, posted=self.posted
        )
        for event in in_order(self.known):
            outcome = reader.take(event)
            assert outcome is not None
            self.outcomes[event.id] = outcome
            for entry in outcome.fresh:
                assert entry.id not in self.entries
                self.entries[entry.id] = entry
            if outcome.latest is not None:
                self.posted[event.id] = Posted(entry=outcome.latest, asked=outcome.asked)

    def balances(self) -> dict[str, int]:
        rows = trial_balance(self.entries.values())
        assert sum(row.balance_minor for row in rows) == 0
        return {row.account: row.balance_minor for row in rows if row.balance_minor}


def a_life() -> Story:
    """A bill, paid, a third of it credited and sent back, the rest disputed and won."""
    story = Story().bill(a_bill()).pay(9_000, day=1)
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(3_000))
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=30, amount=note.total)
    refund = Refund(external_id="re_1", status="succeeded", amount=usd(3_000), payment_id="ch_1")
    story.tell(EventType.REFUND_ISSUED, ref("refund", "re_1"), refund, day=31, amount=usd(3_000))
    dispute = Dispute(external_id="dp_1", status="won", amount=usd(6_000), payment_id="ch_1")
    story.tell(EventType.DISPUTE_OPENED, ref("dispute", "dp_1"), dispute, day=40, amount=usd(6_000))
    return story.tell(EventType.DISPUTE_CLOSED, ref("dispute", "dp_1"), dispute, day=50)


@given(data=st.data())
def test_any_order_of_arrival_and_every_repeat_come_to_the_same_books(data: st.DataObject) -> None:
    story = a_life()
    whole = Kept(story.objects)
    whole.take(story.events)
    assert not any(one.refusals for one in whole.outcomes.values())
    arriving = data.draw(st.permutations([*story.events, *data.draw(st.lists(st.sampled_from(story.events)))]))
    kept = Kept(story.objects)
    while arriving:
        size = data.draw(st.integers(1, len(arriving)))
        kept.take(arriving[:size])
        kept.balances()
        arriving = arriving[size:]
    assert kept.balances() == whole.balances()
    assert not any(one.refusals for one in kept.outcomes.values())


def test_a_second_reading_posts_nothing() -> None:
    story = a_life()
    kept = Kept(story.objects)
    kept.take(story.events)
    before = dict(kept.entries)
    kept.take(story.events)
    assert kept.entries == before


def test_a_credit_note_that_arrives_after_the_payment_it_preceded_corrects_what_was_posted() -> None:
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(3_000))
    story = Story().bill(a_bill()).pay(9_000, day=20)
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=10, amount=note.total)
    kept = Kept(story.objects)
    kept.take(story.events[:2])
    kept.take(story.events[2:])
    reversed_ids = {one.reverses for one in kept.entries.values() if one.reverses}
    assert len(reversed_ids) == 1  # the payment: 9,000 on a bill of which 6,000 was left
    assert kept.balances()["2450"] == -3_000
    again = Kept(story.objects)
    again.take(story.events)
    assert kept.balances() == again.balances()


def test_a_void_bill_is_cancelled_once_and_its_revenue_is_taken_back() -> None:
    story = Story().bill(a_bill())
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_1"), a_bill(), day=45)
    kept = Kept(story.objects)
    kept.take(story.events)
    kept.take(story.events)
    assert kept.balances() == {}
    assert [one.reverses is not None for one in kept.entries.values()] == [False, True]


def test_a_void_bill_that_was_credited_and_lowered_before_leaves_nothing_behind() -> None:
    story = Story().bill(a_bill())
    apply(story, 1_000)
    credit(story, 3_000, day=30)
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_1"), a_bill(), day=45)
    kept = Kept(story.objects)
    kept.take(story.events)
    kept.take(story.events)
    assert kept.balances() == {}
    reversed_ids = [one.reverses for one in kept.entries.values() if one.reverses]
    assert len(reversed_ids) == len(set(reversed_ids)) == 3
    # The credit note is told late: what it took is given back too, and only that.
    late = Kept(story.objects)
    late.take([one for one in story.events if one.type is not EventType.CREDIT_APPROVED])
    late.take(story.events)
    assert late.balances() == {}
    assert len(late.entries) == len(kept.entries)


def test_a_void_bill_whose_lines_are_corrected_afterwards_leaves_nothing_behind() -> None:
    story = Story().bill(a_bill())
    credit(story, 3_000, day=30)
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_1"), a_bill(), day=45)
    kept = Kept(story.objects)
    kept.take(story.events)
    story.objects[ref("invoice", "in_1")] = a_bill(8_000)
    for _ in range(2):
        kept.take(story.events)
        assert kept.balances() == {}
        # The bill, its note and both cancelled; the bill as it is now, and that cancelled.
        assert len(kept.entries) == 4 + 2


@given(lowered=st.integers(0, 4_000), credited=st.integers(1, 4_999), day=st.integers(1, 120), foreign=st.booleans())
def test_whatever_lowered_it_before_a_void_bill_leaves_nothing_behind(
    lowered: int, credited: int, day: int, foreign: bool
) -> None:
    story = Story().bill(a_bill())
    apply(story, lowered)
    credit(story, credited, day=day)
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_1"), a_bill(), day=day + 1)
    found = balances(story.read(books=abroad() if foreign else None))
    assert found == {}


def apply(story: Story, minor: int, *, day: int = 0, bill: str = "in_1") -> None:
    named = ref("invoice", bill)
    story.tell(EventType.BALANCE_APPLIED, named, story.objects[named], day=day, amount=usd(minor))


def credit(story: Story, minor: int, *, day: int) -> None:
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(minor))
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=day, amount=usd(minor))


def abroad() -> Books:
    own = some_books().chart
    return some_books(Chart(legal_entity=own.legal_entity, currency="EUR", accounts=own.accounts, rules=own.rules))


def test_what_a_customer_has_pays_the_next_bill_and_closes_it() -> None:
    story = Story().bill(a_bill()).pay(10_000, day=1).bill(a_bill(5_000, name="in_2"), day=2)
    apply(story, 1_000, day=2, bill="in_2")
    story.pay(4_000, day=2, name="ch_2", bill="in_2")
    kept = Kept(story.objects)
    kept.take(story.events)
    found = kept.balances()
    assert not {"1200", "2450"} & found.keys()
    assert found["1090"] == 14_000


def test_a_bill_below_zero_becomes_the_customers_and_a_small_remainder_is_owed_with_the_next() -> None:
    story = Story().bill(a_bill(-2_000))
    apply(story, -2_000)
    assert balances(story.read())["2450"] == -2_000
    assert "1200" not in balances(story.read())
    small = Story().bill(a_bill(30))
    apply(small, 30)
    small.bill(a_bill(9_000, name="in_2"), day=31)
    apply(small, -30, day=31, bill="in_2")
    # At one moment: what is carried over is owed before it is paid.
    small.pay(9_030, day=31, bill="in_2")
    assert not {"1200", "2450"} & balances(small.read()).keys()


def test_more_of_a_balance_than_is_open_is_held() -> None:
    story = Story().bill(a_bill()).pay(8_500, day=0)
    apply(story, 501, day=1)
    assert refused(story.events, story.objects) == {"source"}


def test_a_credit_note_that_is_kept_for_the_customer_pays_the_next_bill() -> None:
    story = Story().bill(a_bill()).pay(9_000, day=1)
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(3_000),
                      to_balance=usd(3_000))  # fmt: skip
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=30, amount=note.total)
    story.bill(a_bill(5_000, name="in_2"), day=31)
    apply(story, 3_000, day=31, bill="in_2")
    story.pay(2_000, day=31, name="ch_2", bill="in_2")
    assert not {"1200", "2450"} & balances(story.read()).keys()


# -- what cannot be posted: held with a reason and a next step, and posted when the reason is gone --------------------


def refused(events: Sequence[BusinessEvent], objects: dict[ExternalRef, Entity], **changes: object) -> set[str]:
    reader = Reader(a_setting(**changes), objects, products={"price_1": "pro"})
    refusals = [one for event in in_order(events) for one in (reader.take(event) or pytest.fail("unread")).refusals]
    assert all(one.remedy for one in refusals)
    return {one.check for one in refusals}


def test_a_total_that_is_off_by_one_is_held() -> None:
    bill = a_bill()
    story = Story().bill(msgspec.structs.replace(bill, total=usd(9_001)))
    assert refused(story.events, story.objects) == {"source_total"}


def test_a_bill_whose_lines_nobody_has_is_held_and_posted_once_they_are_read() -> None:
    story = Story().bill(msgspec.structs.replace(a_bill(), lines_complete=False))
    kept = Kept(story.objects)
    kept.take(story.events)
    assert kept.entries == {}
    (outcome,) = kept.outcomes.values()
    assert outcome.refusals[0].waits_for == "billing:invoice/in_1"
    kept.take(story.events, story.objects | {ref("invoice", "in_1"): a_bill()})
    assert kept.balances() == {"1200": 9_000, "2400": -9_000}


def test_a_payment_before_its_bill_waits_for_it() -> None:
    story = Story().bill(a_bill()).pay(9_000, day=1)
    kept = Kept(story.objects)
    kept.take(story.events[1:])
    assert kept.entries == {}
    (outcome,) = kept.outcomes.values()
    assert outcome.refusals[0].waits_for == "billing:invoice/in_1"
    kept.take(story.events[:1])
    assert kept.balances() == {"1090": 9_000, "2400": -9_000}


def test_more_given_back_than_was_charged_is_held() -> None:
    story = Story().bill(a_bill()).pay(9_000, day=1)
    refund = Refund(external_id="re_1", status="succeeded", amount=usd(9_001), payment_id="ch_1")
    story.tell(EventType.REFUND_ISSUED, ref("refund", "re_1"), refund, day=31, amount=usd(9_001))
    assert refused(story.events, story.objects) == {"source"}
    note = CreditNote(external_id="cn_1", customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(9_001))
    story = Story().bill(a_bill())
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", "cn_1"), note, day=30, amount=note.total)
    assert refused(story.events, story.objects) == {"source"}


def test_no_open_period_no_rate_no_row_and_too_much_are_each_told() -> None:
    story = Story().bill(a_bill())
    closed = tuple(msgspec.structs.replace(one, state=PeriodState.CLOSED) for one in BOOKS.periods)
    shut = {"billing": msgspec.structs.replace(BOOKS, periods=closed)}
    assert refused(story.events, story.objects, books=shut) == {"open_period"}
    bare = {"billing": some_books(msgspec.structs.replace(a_chart(), rules=()))}
    assert refused(story.events, story.objects, books=bare) == {"ledger_mapping"}
    foreign = {"billing": some_books(a_chart(currency="EUR"))}
    assert refused(story.events, story.objects, books=foreign, rate_of=lambda *_: None) == {"exchange_rate"}
    huge = AMOUNT_MAX // 2 + 1
    story = Story().bill(a_bill(huge))
    assert refused(story.events, story.objects) == {"amount"}


def test_where_products_have_accounts_of_their_own_an_unknown_price_is_waited_for() -> None:
    story = Story().bill(a_bill())
    chart = a_chart()
    rules = tuple(
        msgspec.structs.replace(rule, product="pro") if rule.account == "2400" else rule for rule in chart.rules
    )
    books = {"billing": some_books(msgspec.structs.replace(chart, rules=rules))}
    reader = Reader(a_setting(books=books), story.objects, products={})
    outcome = reader.take(story.events[0])
    assert outcome is not None
    assert outcome.refusals[0].waits_for == "billing:price/price_1"
    known = Reader(a_setting(books=books), story.objects, products={"price_1": "pro"}).take(story.events[0])
    assert known is not None
    assert known.entry is not None


@pytest.mark.parametrize("currency", ["JPY", "KWD", "CLF"])
def test_currencies_of_every_number_of_places_are_posted_to_the_unit(currency: str) -> None:
    chart = a_chart(currency=currency)
    bill: Invoice = a_bill(1_001, tax=101)
    money = Money(1_102, currency)
    bill = msgspec.structs.replace(bill, total=money, tax=Money(101, currency), discount=None, amount_due=money)
    story = Story().bill(bill)
    reader = Reader(a_setting(books={"billing": some_books(chart)}), story.objects, products={})
    outcome = reader.take(story.events[0])
    assert outcome is not None
    assert outcome.entry is not None
    assert outcome.entry.total_minor == 1_102
    assert outcome.entry.currency == currency


def test_no_amount_changes_its_currency_without_the_rate_its_source_and_its_day() -> None:
    books = {"billing": some_books(a_chart(currency="EUR"))}
    story = Story().bill(a_bill()).pay(9_000, day=12)
    reader = Reader(a_setting(books=books), story.objects, products={})
    rates = []
    for event in in_order(story.events):
        outcome = reader.take(event)
        assert outcome is not None
        assert outcome.entry is not None
        for posting in outcome.entry.postings:
            rates.append((posting.account, posting.dimensions["rate"]))
            assert posting.dimensions["rate_source"] == "test"
            assert posting.dimensions["rate_on"]
            if posting.original is not None:
                worth = posting.original.amount_minor * Fraction(posting.dimensions["rate"])
                assert abs(posting.amount.amount_minor - worth) < 1
    # The receivable goes at the rate it came with; the money has that of its own day, and so has the difference.
    assert rates == [("1200", "0.90"), ("2400", "0.90"), ("1090", "0.80"), ("1200", "0.90"), ("7100", "0.80")]


@pytest.mark.parametrize("days", [2, 28, 30, 365, 366])
def test_on_every_day_what_is_earned_and_what_is_deferred_are_what_was_billed(days: int) -> None:
    """MO7, over a refund in the middle; leap days and changes of the clock are in `test_schedule.py`."""
    story = Story().bill(a_bill(9_001, days=days)).pay(9_001, day=1)
    refund = Refund(external_id="re_1", status="succeeded", amount=usd(2_001), payment_id="ch_1")
    at = max(days // 2, 1)
    story.tell(EventType.REFUND_ISSUED, ref("refund", "re_1"), refund, day=at, amount=usd(2_001))
    reader = Reader(a_setting(), story.objects, products={})
    for event in in_order(story.events):
        assert reader.take(event) is not None
    (bill,) = reader.bills.values()
    whole = sum(one.minor for one in bill.schedules)
    given = 2_001 - next(leg.amount.amount_minor for leg in last_entry(story).postings if leg.account == "4900")
    assert whole == 9_001 - given
    earned = [bill.earned((START + timedelta(days=day)).date()) for day in range(days + 2)]
    assert earned == sorted(earned)
    assert (earned[0], earned[-1]) == (0, whole)


def last_entry(story: Story) -> JournalEntry:
    again = Reader(a_setting(), story.objects, products={})
    entry = [again.take(event) for event in in_order(story.events)][-1]
    assert entry is not None
    assert entry.entry is not None
    return entry.entry
