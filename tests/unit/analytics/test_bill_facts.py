"""What a CRM is told of invoices, payments and refunds: the words people read, and what is left unsaid."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accordant.analytics.bill_facts import bill_facts, is_told
from accordant.canonical.entities import Invoice, InvoiceLine, Payment, PaymentMethod, Refund
from accordant.canonical.facts import FACTS, Fact, FactType
from accordant.canonical.refs import EntityKind
from accordant.kernel.money import Money

AT = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
LINE = InvoiceLine(
    external_id="il_1",
    amount_minor=98_00,
    description="1 x  Pro\n(monthly)",
    period_starts_at=datetime(2026, 1, 1, tzinfo=UTC),
    period_ends_at=datetime(2026, 2, 1, tzinfo=UTC),
)
INVOICE = Invoice(
    external_id="in_1",
    customer_id="cus_1",
    status="open",
    total=Money(98_00, "EUR"),
    amount_due=Money(98_00, "EUR"),
    amount_paid=Money(0, "EUR"),
    amount_remaining=Money(98_00, "EUR"),
    number="A-1",
    finalized_at=AT,
    lines=(LINE,),
)
PAYMENT = Payment(
    external_id="ch_1",
    customer_id="cus_1",
    status="succeeded",
    amount=Money(1_234_56, "EUR"),
    refunded=Money(0, "EUR"),
    created_at=AT,
)
REFUND = Refund(external_id="re_1", status="succeeded", amount=Money(500, "JPY"), payment_id="ch_1", created_at=AT)
_OF_TYPE: dict[FactType, type | tuple[type, ...]] = {
    FactType.TEXT: str,
    FactType.NUMBER: int,
    FactType.FLAG: bool,
    FactType.MONEY: Money,
    FactType.DAY: date,
    FactType.INSTANT: datetime,
}


def facts(entity: Invoice | Payment | Refund, zone: str = "UTC") -> dict[str, Fact]:
    return bill_facts(entity, account="cus_1", zone=ZoneInfo(zone)).values


@pytest.mark.parametrize(
    ("kind", "entity"),
    [(EntityKind.INVOICE, INVOICE), (EntityKind.PAYMENT, PAYMENT), (EntityKind.REFUND, REFUND)],
)
def test_every_fact_told_is_of_the_vocabulary_and_of_its_type(
    kind: EntityKind, entity: Invoice | Payment | Refund
) -> None:
    told = facts(entity)
    assert told.keys() <= FACTS[kind].keys()
    assert all(value is None or isinstance(value, _OF_TYPE[FACTS[kind][name]]) for name, value in told.items())
    assert told["account"] == "cus_1"


def test_the_lines_of_an_invoice_are_readable_one_a_line() -> None:
    bare = InvoiceLine(external_id="il_2", amount_minor=-12_50, price_id="price_9", quantity=3)
    told = facts(msgspec.structs.replace(INVOICE, lines=(LINE, bare)))
    assert str(told["lines"]).split("\n") == [
        "1 x Pro (monthly) (2026-01-01 to 2026-02-01): 98.00 EUR",
        "3 × price_9: -12.50 EUR",
    ]
    assert told["line_count"] == 2


def test_a_first_page_of_lines_says_that_there_are_more_and_counts_none() -> None:
    told = facts(msgspec.structs.replace(INVOICE, lines_complete=False))
    assert str(told["lines"]).endswith("\nThere are more lines in billing.")
    assert "line_count" not in told, "unknown, and so never written over a count"


def test_a_day_is_the_companys_day() -> None:
    assert facts(INVOICE)["issued_on"] == date(2026, 1, 31)
    assert facts(INVOICE, "Europe/Berlin")["issued_on"] == date(2026, 2, 1)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ("succeeded", None, "Payment of 1,234.56 EUR"),
        ("failed", "card_declined", "Payment of 1,234.56 EUR failed (card_declined)"),
        ("failed", None, "Payment of 1,234.56 EUR failed"),
        ("pending", None, "Payment of 1,234.56 EUR is on its way"),
    ],
)
def test_what_became_of_a_payment_is_one_sentence(status: str, code: str | None, said: str) -> None:
    assert facts(msgspec.structs.replace(PAYMENT, status=status, failure_code=code))["summary"] == said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("succeeded", "Refund of 500 JPY"),
        ("failed", "Refund of 500 JPY failed"),
        ("canceled", "Refund of 500 JPY was cancelled"),
        ("pending", "Refund of 500 JPY is on its way"),
        ("requires_action", "Refund of 500 JPY is on its way"),
    ],
)
def test_what_became_of_a_refund_is_one_sentence(status: str, said: str) -> None:
    assert facts(msgspec.structs.replace(REFUND, status=status))["summary"] == said


def test_a_payment_that_no_longer_names_its_invoice_says_nothing_of_it() -> None:
    assert "invoice" not in facts(PAYMENT)
    assert facts(msgspec.structs.replace(PAYMENT, invoice_id="in_1"))["invoice"] == "in_1"


@given(last4=st.none() | st.text("0123456789", min_size=4, max_size=4), brand=st.none() | st.just("visa"))
def test_of_what_was_paid_with_only_its_end_is_told(last4: str | None, brand: str | None) -> None:
    told = facts(msgspec.structs.replace(PAYMENT, method=PaymentMethod(type="card", brand=brand, last4=last4)))
    assert told["method"] == f"{brand or 'card'}{f' ending in {last4}' if last4 else ''}"


@pytest.mark.parametrize(("status", "is_bill"), [("draft", False), ("open", True), ("void", True), ("paid", True)])
def test_a_draft_is_no_bill(status: str, is_bill: bool) -> None:
    assert is_told(msgspec.structs.replace(INVOICE, status=status)) is is_bill
    assert not is_told(msgspec.structs.replace(INVOICE, status=status, deleted=True))
    assert is_told(PAYMENT)
