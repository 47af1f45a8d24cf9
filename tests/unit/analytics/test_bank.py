"""Which booking is which payout: each booking of one payout at most, equal to the unit, and what is missing is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.bank import LATE, arrivals
from accordant.canonical.bank import BankLine, BankStatement
from accordant.canonical.entities import Payout
from accordant.kernel.money import Money

DAY = date(2026, 3, 5)
AT = datetime(2026, 3, 5, tzinfo=UTC)


def payout(name: str, minor: int, day: date = DAY, **more: str) -> Payout:
    given = {"status": "paid"} | more
    return Payout(external_id=name, amount=Money(minor, "EUR"), arrives_on=day, **given)  # type: ignore[arg-type]


def booked(reference: str, minor: int, day: date = DAY, *texts: str, currency: str = "EUR") -> BankLine:
    return BankLine(reference=reference, amount=Money(minor, currency), booked_on=day, texts=texts)


def told(
    *lines: BankLine, first: date = DAY - timedelta(days=30), last: date = DAY + timedelta(days=30)
) -> BankStatement:
    zero = Money(0, "EUR")
    return BankStatement(
        external_id="DE02/1", account="DE02", starts_on=first, ends_on=last, opening=zero, closing=zero, lines=lines,
        created_at=AT,
    )  # fmt: skip


def test_a_name_that_both_carry_wins_over_the_amount() -> None:
    long = "po_1Nv0FhLkdIwHu7ixraBm864M"
    payouts = [payout("po_1", 500), payout(long, 500), payout("po_3", 700, bank_reference="trace77")]
    lines = (booked("BK-1", 500), booked("BK-2", 500, DAY, f"STRIPE {long[:9]} {long[9:]}"), booked("TRACE77", 700))
    found = arrivals(payouts, [told(*lines)])
    by_name = {name: one.line.reference for name, one in found.items() if one.line is not None}
    assert by_name == {"po_1": "BK-1", long: "BK-2", "po_3": "TRACE77"}
    assert all(one.finding is None and one.account == "DE02" for one in found.values())


def test_a_name_that_only_begins_alike_is_another() -> None:
    found = arrivals([payout("po_1", 500), payout("po_12", 700)], [told(booked("BK-1", 700, DAY, "for po_12."))])
    assert {name: one.line is not None for name, one in found.items()} == {"po_1": False, "po_12": True}


def test_another_amount_under_the_same_name_is_said_to_the_unit() -> None:
    found = arrivals([payout("po_1", 500)], [told(booked("BK-1", 499, DAY, "po_1"))])["po_1"]
    assert found.finding == "The bank booked 4.99 EUR for it (BK-1), and it is 5.00 EUR."


def test_what_has_not_come_is_said_once_every_day_it_may_come_is_on_a_statement() -> None:
    late = DAY + LATE
    assert arrivals([payout("po_1", 500)], [])["po_1"].finding is None
    assert arrivals([payout("po_1", 500)], [told(last=late - timedelta(days=1))])["po_1"].finding is None
    missing = arrivals([payout("po_1", 500)], [told(last=late)])["po_1"]
    assert missing.finding == "It should have come by 2026-03-12, and no account booked it."
    hole = (told(last=DAY), told(first=DAY + timedelta(days=2), last=late))
    assert arrivals([payout("po_1", 500)], hole)["po_1"].finding is None
    without_hole = (told(last=DAY), told(first=DAY + timedelta(days=1), last=late))
    assert arrivals([payout("po_1", 500)], without_hole)["po_1"].finding is not None


def test_one_that_failed_and_came_all_the_same_is_a_finding() -> None:
    found = arrivals([payout("po_1", 500, status="failed")], [told(booked("BK-1", 500, DAY, "po_1"))])["po_1"]
    assert found.finding == "The bank booked it (BK-1), and its processor calls it failed."
    assert arrivals([payout("po_1", 500, status="failed")], [told(booked("BK-1", 500))])["po_1"].line is None


def test_what_is_booked_in_another_currency_is_no_payout_and_no_difference() -> None:
    found = arrivals([payout("po_1", 500)], [told(booked("BK-1", 550, DAY, "po_1", currency="USD"))])["po_1"]
    assert (found.line is not None, found.finding) == (True, None)
    assert arrivals([payout("po_1", 500)], [told(booked("BK-1", 500, currency="USD"))])["po_1"].line is None


_DAYS = st.integers(-20, 20).map(lambda days: DAY + timedelta(days=days))


@given(
    st.lists(st.tuples(st.integers(1, 4), _DAYS), max_size=12),
    st.lists(st.tuples(st.integers(1, 4), _DAYS), max_size=12),
    st.randoms(use_true_random=False),
)
def test_whatever_comes_no_booking_is_two_payouts_and_no_order_changes_which(
    sent: list[tuple[int, date]], came: list[tuple[int, date]], chance: st.DataObject
) -> None:
    payouts = [payout(f"po_{number}", minor, day) for number, (minor, day) in enumerate(sent)]
    lines = [booked(f"BK-{number}", minor, day) for number, (minor, day) in enumerate(came)]
    found = arrivals(payouts, [told(*lines)])
    used = [one.line.reference for one in found.values() if one.line is not None]
    assert len(used) == len(set(used))
    amounts = {one.external_id: one.amount for one in payouts}
    assert all(one.line is None or one.line.amount == amounts[name] for name, one in found.items())
    # Nothing is left on both sides that would have fitted.
    for one in payouts:
        arrived = found[one.external_id]
        assert one.arrives_on is not None
        if arrived.line is None:
            spare = [line for line in lines if line.reference not in used and line.amount == one.amount]
            assert all(not one.arrives_on - timedelta(2) <= line.booked_on <= one.arrives_on + LATE for line in spare)
    chance.shuffle(payouts)  # type: ignore[attr-defined]
    chance.shuffle(lines)  # type: ignore[attr-defined]
    assert arrivals(payouts, [told(*lines)]) == found
