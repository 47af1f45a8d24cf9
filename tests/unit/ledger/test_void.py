"""Bills that are void after money moved for them: nothing of the bill is left, and the money is the customer's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Grain
from accordant.canonical.entities import CreditNote, Dispute, Refund
from accordant.canonical.events import BusinessEvent, EventType
from accordant.ledger.balances import trial_balance
from accordant.ledger.compose import Books
from accordant.ledger.entries import JournalEntry
from accordant.ledger.meanings.reading import allocations_of
from accordant.ledger.post import Outcome, Posted, Reader, in_order
from accordant.ledger.schedule import earned_before
from accordant.ledger.setting import Setting
from tests.unit.ledger.books import RECORDED
from tests.unit.ledger.test_abroad import abroad
from tests.unit.ledger.test_draft import START, Story, a_bill, rate_of, ref, usd, with_refunds_owed

RECEIVABLE, CLEARING, BALANCE = "1200", "1090", "2450"
#: What a bill puts into the books and a void one takes out of them again, to the unit.
OF_BILL = {RECEIVABLE, "2400", "2200", "2460", "4000", "4900", "6200"}
TOTAL = 9_000 + 801


class Kept:
    """Books that are kept: every batch is read with all that is known; what is earned is recognised at the end."""

    def __init__(self, story: Story, books: Books) -> None:
        self.story, self.books = story, books
        self.known: dict[str, BusinessEvent] = {}
        self.posted: dict[str, Posted] = {}
        self.entries: dict[str, JournalEntry] = {}
        self.refused: dict[str, str] = {}
        self.earned: dict[str, int] = {}

    def take(self, events: Sequence[BusinessEvent]) -> None:
        self.refused = {}
        self.known |= {one.id: one for one in events}
        setting = Setting(
            books={"billing": self.books}, tax_codes={"billing": "NY"}, zone=UTC, grain=Grain.DAY, grains={},
            rate_of=rate_of, recorded_at=RECORDED,
        )  # fmt: skip
        known = tuple(self.known.values())
        reader = Reader(
            setting, self.story.objects, products={"price_1": "pro"}, posted=self.posted,
            allocations=allocations_of(known),
        )  # fmt: skip
        for event in in_order(known):
            outcome = reader.take(event)
            assert outcome is not None
            for part in outcome.parts:
                self._keep(part)
        self.earned = {
            str(name): sum(earned_before(one, date(2027, 12, 31)) for one in bill.schedules)
            for name, bill in reader.bills.items()
        }
        reversed_ids = [one.reverses for one in self.entries.values() if one.reverses]
        assert len(reversed_ids) == len(set(reversed_ids))

    def _keep(self, part: Outcome) -> None:
        if part.refusals:
            self.refused[part.key] = " ".join(map(str, part.refusals))
        for entry in part.fresh:
            assert entry.id not in self.entries
            assert entry.reverses is None or entry.reverses in self.entries
            self.entries[entry.id] = entry
        if part.latest is not None:
            self.posted[part.key] = Posted(entry=part.latest, asked=part.asked)

    def balances(self) -> dict[str, int]:
        found = {row.account: row.balance_minor for row in trial_balance(self.entries.values()) if row.balance_minor}
        assert sum(found.values()) == 0
        assert found.get(RECEIVABLE, 0) >= 0
        return found


def refund(story: Story, minor: int, *, day: int, name: str) -> None:
    what = Refund(external_id=name, status="succeeded", amount=usd(minor), payment_id="ch_0")
    story.tell(EventType.REFUND_ISSUED, ref("refund", name), what, day=day, amount=usd(minor))


def credit(story: Story, minor: int, *, day: int, name: str) -> None:
    note = CreditNote(external_id=name, customer_id="cus_1", invoice_id="in_1", status="issued", total=usd(minor))
    story.tell(EventType.CREDIT_APPROVED, ref("credit_note", name), note, day=day, amount=usd(minor))


def dispute(story: Story, minor: int, *, day: int, name: str, won_on: int | None) -> None:
    what = Dispute(external_id=name, status="lost" if won_on is None else "won", amount=usd(minor), payment_id="ch_0")
    story.tell(EventType.DISPUTE_OPENED, ref("dispute", name), what, day=day, amount=usd(minor))
    if won_on is not None:
        story.tell(EventType.DISPUTE_CLOSED, ref("dispute", name), what, day=won_on)


def void(story: Story, *, day: int) -> None:
    story.tell(EventType.INVOICE_VOIDED, ref("invoice", "in_1"), story.objects[ref("invoice", "in_1")], day=day)


def a_partly_paid_bill(paid: int = 4_000) -> Story:
    return Story().bill(a_bill(tax=801)).pay(paid, day=5, name="ch_0")


@pytest.mark.parametrize("books", [with_refunds_owed(), abroad()])
def test_what_was_paid_of_a_void_bill_is_the_customers(books: Books) -> None:
    story = a_partly_paid_bill()
    void(story, day=20)
    kept = Kept(story, books)
    kept.take(story.events)
    found = kept.balances()
    assert not OF_BILL & found.keys()
    worth = 4_000 if books.chart.currency == "USD" else 3_600
    assert found == {CLEARING: worth, BALANCE: -worth}
    before = dict(kept.entries)
    kept.take(story.events)
    assert kept.entries == before
    stated = next(one for one in kept.entries.values() if one.cause.rule.startswith("kept "))
    assert (stated.party, stated.effective_on) == ("billing:customer/cus_1", date(2027, 1, 21))


def test_what_was_paid_of_a_void_bill_pays_the_next_or_goes_back() -> None:
    story = a_partly_paid_bill()
    void(story, day=20)
    refund(story, 1_500, day=30, name="re_1")
    story.bill(a_bill(2_500, name="in_2"), day=31)
    story.tell(EventType.BALANCE_APPLIED, ref("invoice", "in_2"), story.objects[ref("invoice", "in_2")], day=31,
               amount=usd(2_500))  # fmt: skip
    refund(story, 2_501, day=40, name="re_2")
    kept = Kept(story, with_refunds_owed())
    kept.take(story.events)
    assert kept.balances() == {CLEARING: 2_500, "2400": -2_500}
    assert [text for text in kept.refused.values() if text] == [
        "It cannot be posted: more is given back than was paid. Compare it with the bill at its source."
    ]


def test_a_dispute_over_a_void_bill_is_between_the_customers_balance_and_the_processor() -> None:
    for won_on, stays in ((60, 4_000), (None, 0)):
        for opened in (10, 40):  # before the bill is void, and after
            story = a_partly_paid_bill()
            dispute(story, 4_000, day=opened, name="dp_1", won_on=won_on)
            void(story, day=20)
            kept = Kept(story, with_refunds_owed())
            kept.take(story.events)
            assert kept.balances() == ({CLEARING: stays, BALANCE: -stays} if stays else {})


def test_without_an_account_for_it_a_void_that_leaves_money_is_held_and_says_so() -> None:
    books = with_refunds_owed()
    rules = tuple(one for one in books.chart.rules if one.account != BALANCE)
    bare = msgspec.structs.replace(books, chart=msgspec.structs.replace(books.chart, rules=rules))
    story = a_partly_paid_bill()
    void(story, day=20)
    kept = Kept(story, bare)
    kept.take(story.events)
    assert [text for text in kept.refused.values() if "customer_balance" in text]
    assert kept.balances() == {CLEARING: 4_000, RECEIVABLE: TOTAL - 4_000, "2400": -9_000, "2200": -801}


@st.composite
def lives(draw: st.DrawFn) -> Story:
    """A bill with everything that can happen to it in any order, void somewhere in between or never."""
    story = Story().bill(a_bill(tax=801))
    story.pay(draw(st.integers(1, TOTAL)), day=draw(st.integers(0, 40)), name="ch_0")
    steps = draw(st.lists(st.sampled_from(["pay", "refund", "credit", "dispute", "write off", "balance"]), max_size=6))
    for at, step in enumerate(steps):
        minor, day = draw(st.integers(1, TOTAL)), draw(st.integers(1, 80))
        match step:
            case "pay":
                story.pay(minor, day=day, name=f"ch_{at + 1}")
            case "refund":
                refund(story, minor, day=day, name=f"re_{at}")
            case "credit":
                credit(story, minor, day=day, name=f"cn_{at}")
            case "dispute":
                dispute(story, minor, day=day, name=f"dp_{at}", won_on=draw(st.none() | st.integers(day, 90)))
            case "write off":
                bill = story.objects[ref("invoice", "in_1")]
                story.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), bill, day=day)
            case _:
                bill = story.objects[ref("invoice", "in_1")]
                story.tell(EventType.BALANCE_APPLIED, ref("invoice", "in_1"), bill, day=day, amount=usd(minor))
    if draw(st.booleans()):
        void(story, day=draw(st.integers(1, 80)))
    # One event of a kind about one object, as its id says.
    story.events = list({one.id: one for one in story.events}.values())
    return story


@given(story=lives(), data=st.data(), foreign=st.booleans())
def test_nothing_of_a_void_bill_is_left_and_no_receivable_is_negative(
    story: Story, data: st.DataObject, foreign: bool
) -> None:
    """In any order of arrival, in any batches, with repeats; after each of them no receivable is below zero."""
    books = abroad() if foreign else with_refunds_owed()
    whole = Kept(story, books)
    whole.take(story.events)
    arriving = data.draw(st.permutations([*story.events, *data.draw(st.lists(st.sampled_from(story.events)))]))
    kept = Kept(story, books)
    while arriving:
        size = data.draw(st.integers(1, len(arriving)))
        kept.take(arriving[:size])
        kept.balances()
        arriving = arriving[size:]
    assert kept.balances() == whole.balances()
    assert kept.refused == whole.refused
    if any(one.type is EventType.INVOICE_VOIDED for one in story.events):
        assert not OF_BILL & kept.balances().keys()
        assert set(kept.earned.values()) == {0}


def test_the_day_of_a_void_does_not_change_what_was_earned_before_it() -> None:
    story = a_partly_paid_bill()
    void(story, day=45)
    kept = Kept(story, with_refunds_owed())
    kept.take(story.events)
    reader = Reader(
        Setting(books={"billing": with_refunds_owed()}, tax_codes={"billing": "NY"}, zone=UTC, grain=Grain.DAY,
                grains={}, rate_of=rate_of, recorded_at=RECORDED),
        story.objects, products={"price_1": "pro"},
    )  # fmt: skip
    for event in in_order(tuple(story.events)):
        reader.take(event)
    (bill,) = reader.bills.values()
    assert bill.earned((START + timedelta(days=45)).date()) == 4_500
    assert bill.earned((START + timedelta(days=46)).date()) == 0
