"""One payment over several bills: each gets its share, and what is given back falls on all of them, to the unit."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import Role
from accordant.canonical.entities import Payment
from accordant.canonical.events import EventType, business_event
from accordant.ledger.bills import booked
from accordant.ledger.compose import Books
from tests.unit.ledger.test_abroad import abroad
from tests.unit.ledger.test_draft import START, Story, a_bill, ref, usd, with_refunds_owed
from tests.unit.ledger.test_void import CLEARING, RECEIVABLE, Kept, dispute, refund, void

BALANCE, CONTRA, DEFERRED = "2450", "4900", "2400"


def charge(story: Story, minor: int, *, day: int, name: str = "ch_0") -> None:
    """A charge of a version that names no bill."""
    paid = Payment(external_id=name, customer_id="cus_1", status="succeeded", amount=usd(minor), refunded=usd(0),
                   intent_id=f"pi_{name}")  # fmt: skip
    story.tell(EventType.PAYMENT_APPLIED, ref("charge", name), paid, day=day, amount=usd(minor))


def allocate(story: Story, bill: str, minor: int, *, day: int, name: str = "ch_0") -> None:
    at = START + timedelta(days=day)
    story.events.append(
        business_event(EventType.PAYMENT_ALLOCATED, subject=ref("payment_intent", f"pi_{name}"), change=bill,
                       root=ref("invoice", bill), occurred_at=at, amount=usd(minor))
    )  # fmt: skip


def two_bills(*, day: int = 5) -> Story:
    story = Story().bill(a_bill(6_000, name="in_1")).bill(a_bill(4_000, name="in_2"))
    charge(story, 10_000, day=day)
    allocate(story, "in_1", 6_000, day=day)
    allocate(story, "in_2", 4_000, day=day)
    return story


def read(story: Story, books: Books | None = None) -> Kept:
    kept = Kept(story, books or with_refunds_owed())
    kept.take(story.events)
    return kept


def given_back(kept: Kept, rule: str = "refunded") -> dict[str, int]:
    """What was given back of each bill, by the name of its posting."""
    found: dict[str, int] = {}
    for entry in kept.entries.values():
        if entry.cause.rule == rule:
            bill = entry.settles and kept.entries[entry.settles].number
            found[bill or ""] = found.get(bill or "", 0) - booked(entry, Role.CLEARING)
    return found


def test_each_bill_of_a_payment_gets_its_share() -> None:
    kept = read(two_bills())
    assert kept.balances() == {CLEARING: 10_000, DEFERRED: -10_000}
    assert [entry.cause.rule for entry in kept.entries.values()] == [
        "invoice_issued", "invoice_issued", "payment_applied", "payment_allocated", "payment_allocated",
    ]  # fmt: skip


def test_what_pays_no_bill_stays_the_customers_and_goes_back_from_there_in_proportion() -> None:
    story = Story().bill(a_bill(6_000, name="in_1"))
    charge(story, 10_000, day=5)
    allocate(story, "in_1", 6_000, day=5)
    refund(story, 5_000, day=5, name="re_1")
    kept = read(story)
    assert given_back(kept) == {"IN_1": 3_000, "": 2_000}
    assert kept.balances()[BALANCE] == -2_000


def test_a_payment_that_is_never_allocated_goes_back_out_of_the_customers_balance() -> None:
    story = Story()
    charge(story, 10_000, day=5)
    refund(story, 10_000, day=6, name="re_1")
    assert read(story).balances() == {}


def test_a_payment_that_names_its_bill_is_not_allocated_a_second_time() -> None:
    story = Story().bill(a_bill(10_000))
    paid = Payment(external_id="ch_0", customer_id="cus_1", status="succeeded", amount=usd(6_000), refunded=usd(0),
                   invoice_id="in_1", intent_id="pi_ch_0")  # fmt: skip
    allocate(story, "in_1", 6_000, day=5)
    alone = list(story.events)
    story.tell(EventType.PAYMENT_APPLIED, ref("charge", "ch_0"), paid, day=5, amount=usd(6_000))
    for first in (alone, story.events[-1:]):
        kept = Kept(story, with_refunds_owed())
        kept.take(story.events[:1])
        kept.take(first)
        kept.take(story.events)
        assert kept.balances() == {RECEIVABLE: 4_000, CLEARING: 6_000, DEFERRED: -10_000}


@pytest.mark.parametrize("first", range(4))
def test_a_payment_that_names_one_of_its_bills_is_shared_all_the_same(first: int) -> None:
    story = two_bills()
    paid = story.objects[ref("charge", "ch_0")]
    story.objects[ref("charge", "ch_0")] = msgspec.structs.replace(paid, invoice_id="in_1")
    kept = Kept(story, with_refunds_owed())
    for at in range(len(story.events)):
        kept.take([story.events[(at + first) % len(story.events)]])
    assert kept.balances() == {CLEARING: 10_000, DEFERRED: -10_000}


def test_a_bill_of_several_that_is_void_gives_its_share_to_the_customer() -> None:
    story = two_bills()
    refund(story, 1_000, day=10, name="re_1")
    void(story, day=20)
    refund(story, 1_000, day=30, name="re_2")
    kept = read(story)
    found = kept.balances()
    assert found[BALANCE] == -(6_000 - 600 - 600)
    assert found[CLEARING] == 8_000
    assert RECEIVABLE not in found
    # Of the other bill, which stands, 800 of 4,000 went back.
    assert found[DEFERRED] + found[CONTRA] == -3_200


def test_a_late_payment_of_a_bill_that_was_written_off_undoes_that_by_its_share() -> None:
    story = Story().bill(a_bill(6_000, name="in_1")).bill(a_bill(4_000, name="in_2"))
    story.tell(EventType.INVOICE_WRITTEN_OFF, ref("invoice", "in_1"), story.objects[ref("invoice", "in_1")], day=30)
    charge(story, 10_000, day=60)
    allocate(story, "in_1", 6_000, day=60)
    allocate(story, "in_2", 4_000, day=60)
    found = read(story).balances()
    assert found[CLEARING] == 10_000
    assert not {RECEIVABLE, BALANCE, "6200"} & found.keys()


@pytest.mark.parametrize("won_on", [None, 60])
def test_a_dispute_falls_on_all_bills_of_its_payment_and_comes_back_to_them(won_on: int | None) -> None:
    story = two_bills()
    dispute(story, 10_000, day=10, name="dp_1", won_on=won_on)
    kept = read(story)
    assert given_back(kept, "dispute_opened") == {"IN_1": 6_000, "IN_2": 4_000}
    assert given_back(kept, "dispute_won") == ({} if won_on is None else {"IN_1": -6_000, "IN_2": -4_000})
    assert kept.balances().get(CLEARING, 0) == (0 if won_on is None else 10_000)


@st.composite
def shared(draw: st.DrawFn) -> tuple[Story, dict[str, int]]:
    """One payment over some bills and a rest, given back in parts, with a bill that may be void."""
    totals = draw(st.lists(st.integers(1, 5_000), min_size=1, max_size=4))
    rest, day = draw(st.integers(0, 500)), draw(st.integers(0, 20))
    story = Story()
    for at, total in enumerate(totals, 1):
        story.bill(a_bill(total, name=f"in_{at}"))
    charge(story, sum(totals) + rest, day=day)
    for at, total in enumerate(totals, 1):
        allocate(story, f"in_{at}", total, day=day)
    for at, minor in enumerate(draw(st.lists(st.integers(1, 4_000), max_size=5))):
        refund(story, minor, day=draw(st.integers(day, 60)), name=f"re_{at}")
    if draw(st.booleans()):
        dispute(story, draw(st.integers(1, 3_000)), day=draw(st.integers(day, 60)), name="dp_1",
                won_on=draw(st.none() | st.integers(60, 80)))  # fmt: skip
    if draw(st.booleans()):
        void(story, day=draw(st.integers(1, 80)))
    return story, {f"IN_{at}": total for at, total in enumerate(totals, 1)}


@given(told=shared(), data=st.data(), foreign=st.booleans())
def test_in_any_order_every_bill_gets_and_gives_back_its_share(
    told: tuple[Story, dict[str, int]], data: st.DataObject, foreign: bool
) -> None:
    story, totals = told
    books = abroad() if foreign else with_refunds_owed()
    whole = read(story, books)
    arriving = data.draw(st.permutations([*story.events, *data.draw(st.lists(st.sampled_from(story.events)))]))
    kept = Kept(story, books)
    while arriving:
        size = data.draw(st.integers(1, len(arriving)))
        kept.take(arriving[:size])
        kept.balances()
        arriving = arriving[size:]
    assert kept.balances() == whole.balances()
    assert kept.refused == whole.refused
    assert RECEIVABLE not in kept.balances()
    if not foreign:
        taken = given_back(whole)
        assert all(taken.get(name, 0) <= total for name, total in totals.items())
