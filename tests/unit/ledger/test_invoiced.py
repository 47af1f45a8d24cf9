"""What billing invoiced for changes in mid-term: right, wrong by so much, or not to be checked, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.canonical.books import ProrationRule
from accordant.canonical.entities import Invoice, InvoiceLine, Price, RecurringPrice
from accordant.kernel.money import Money
from accordant.ledger.invoiced import CheckedChange, check_changes
from accordant.ledger.prorate import MidTermChange, prorate
from tests.unit.ledger.test_draft import a_bill, usd

STARTS = datetime(2027, 1, 31, tzinfo=UTC)
ENDS = datetime(2027, 2, 28, tzinfo=UTC)


def a_price(name: str, unit: str) -> Price:
    return Price(
        external_id=name, recurring=RecurringPrice(currency="USD", unit_minor=unit, interval="month", interval_count=1)
    )


PRICES = {"small": a_price("small", "1000"), "large": a_price("large", "2999.5")}


def a_line(price: str, minor: int, *, at: datetime | None, quantity: int = 1) -> InvoiceLine:
    return InvoiceLine(
        external_id=f"il_{price}", amount_minor=minor, price_id=price, subscription_id="sub_1", quantity=quantity,
        proration=at is not None, period_starts_at=at or STARTS, period_ends_at=ENDS,
    )  # fmt: skip


def billed(*lines: InvoiceLine, **changes: Any) -> Invoice:
    whole = msgspec.structs.replace(a_bill(0), lines=lines, total=usd(sum(one.amount_minor for one in lines)))
    return msgspec.structs.replace(whole, **changes)


BEFORE = billed(a_line("small", 3_000, at=None, quantity=3))


def check(bill: Invoice, *others: Invoice, rule: ProrationRule = ProrationRule.SECOND) -> CheckedChange:
    (found,) = check_changes(bill, [*others, bill], PRICES, rule, zone=UTC)
    return found


@given(
    moment=st.integers(0, int((ENDS - STARTS).total_seconds())),
    quantity=st.integers(1, 50),
    rule=st.sampled_from([ProrationRule.SECOND, ProrationRule.DAY, ProrationRule.MINUTE]),
    off=st.integers(-3, 3),
)
def test_what_differs_is_told_to_the_minor_unit(moment: int, quantity: int, rule: ProrationRule, off: int) -> None:
    at = STARTS + timedelta(seconds=moment)
    right = prorate(
        MidTermChange(currency="USD", old_minor=3_000, new_minor=round(2_999.5 * quantity + 1e-9), starts_at=STARTS,
                      ends_at=ENDS, changed_at=at, zone=UTC) if quantity % 2 == 0 else
        MidTermChange(currency="USD", old_minor=3_000, new_minor=(5_999 * quantity + 1) // 2, starts_at=STARTS,
                      ends_at=ENDS, changed_at=at, zone=UTC),
        rule,
    )  # fmt: skip
    gave = min(right.credit.amount_minor, -1)
    bill = billed(
        a_line("small", gave, at=at, quantity=3),
        a_line("large", right.charge.amount_minor + off, at=at, quantity=quantity),
    )
    if right.charge.amount_minor + off < 0 or right.credit.amount_minor > -1:
        return
    found = check(bill, BEFORE, rule=rule)
    assert found.difference is not None
    assert (found.difference.credit, found.difference.charge) == (usd(0), usd(off))
    assert found.agrees is (off == 0)


AT = STARTS + timedelta(days=7, hours=3)


@pytest.mark.parametrize(
    ("bill", "others", "words"),
    [
        (billed(a_line("large", 5_000, at=AT)), (), "No bill for the period"),
        (billed(a_line("gone", 5_000, at=AT)), (BEFORE,), "load the prices"),
        (billed(a_line("large", 5_000, at=AT), discount=Money(1, "USD")), (BEFORE,), "The bill is discounted"),
        (billed(a_line("large", 5_000, at=STARTS - timedelta(days=1))), (BEFORE,), "is not inside the period"),
    ],
)
def test_what_cannot_be_checked_says_why(bill: Invoice, others: tuple[Invoice, ...], words: str) -> None:
    found = check(bill, *others)
    assert found.difference is None
    assert not found.agrees
    assert words in (found.unknown or "")


def test_another_rule_that_explains_it_is_named() -> None:
    right = prorate(
        MidTermChange(currency="USD", old_minor=0, new_minor=6_000, starts_at=STARTS, ends_at=ENDS, changed_at=AT,
                      zone=UTC),
        ProrationRule.DAY,
    )  # fmt: skip
    found = check(billed(a_line("small", right.charge.amount_minor, at=AT, quantity=6)), BEFORE)
    assert found.difference is not None
    assert "when time is counted by day" in found.difference.why


def test_a_bill_without_changes_has_nothing_to_check() -> None:
    assert check_changes(BEFORE, [], PRICES, ProrationRule.SECOND, zone=UTC) == []
