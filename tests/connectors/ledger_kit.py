"""What the tests of every ERP share: documents in the shipped mappings' fields, written as the courier writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine, spell_lines
from accordant.canonical.intents import Applied, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec
from accordant.ports.connector import Outbound, RecordWrite

COMPANY = "Example GmbH"
BANK, CLEARING, RECEIVABLE, TAX, DEFERRED, REVENUE = "1000", "1090", "1200", "2200", "2400", "4000"
DAY = date(2026, 3, 5)
ZERO = Decimal("0.00")


def line(
    account: str, amount: str, role: Role, *, original: str | None = None, currency: str = "USD", **more: str
) -> DocumentLine:
    """One line, a debit when positive."""
    value = Decimal(amount)
    return DocumentLine(
        account=account,
        role=role,
        debit=str(max(value, ZERO)),
        credit=str(max(-value, ZERO)),
        original=original,
        original_currency=None if original is None else currency,
        **more,
    )


def billed(party: str, net: str, tax: str) -> tuple[DocumentLine, ...]:
    """The lines of an invoice; of a credit note where the amounts are negative."""
    total = Decimal(net) + Decimal(tax)
    return (
        line(RECEIVABLE, str(total), Role.RECEIVABLE, party=party),
        line(DEFERRED, str(-Decimal(net)), Role.DEFERRED_REVENUE, party=party, product="pro", tax_code="DE19"),
        line(TAX, str(-Decimal(tax)), Role.SALES_TAX, tax_code="DE19"),
    )


def paid(party: str, amount: str) -> tuple[DocumentLine, ...]:
    """The lines of a payment through a processor."""
    return (
        line(CLEARING, amount, Role.CLEARING, processor="stripe"),
        line(RECEIVABLE, str(-Decimal(amount)), Role.RECEIVABLE, party=party),
    )


def turned(lines: Sequence[DocumentLine]) -> tuple[DocumentLine, ...]:
    """The lines of what cancels a document."""
    return tuple(
        DocumentLine(
            account=one.account,
            role=one.role,
            debit=one.credit,
            credit=one.debit,
            original=None if one.original is None else str(-Decimal(one.original)),
            original_currency=one.original_currency,
            party=one.party,
            product=one.product,
            tax_code=one.tax_code,
            processor=one.processor,
        )
        for one in lines
    )


def invoice(lines: Sequence[DocumentLine], *, party: str, day: date = DAY, **more: WireValue) -> dict[str, WireValue]:
    """The fields of an invoice or a credit note."""
    return {
        "company": COMPANY,
        "date": day.isoformat(),
        "due_date": None,
        "party": party,
        "currency": "EUR",
        "description": "EXAMPLE-1",
        "lines": spell_lines(lines),
        "settles": None,
        "state": "posted",
        **more,
    }


def move(lines: Sequence[DocumentLine], *, day: date = DAY, **more: WireValue) -> dict[str, WireValue]:
    """The fields of everything else."""
    return {
        "company": COMPANY,
        "date": day.isoformat(),
        "currency": "EUR",
        "lines": spell_lines(lines),
        "settles": None,
        "reverses": None,
        "state": "posted",
        **more,
    }


async def send(erp: Outbound, spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> WriteOutcome:
    """Write as the courier does: read, compare, send what differs."""
    desired = erp.canonical(spec, fields)
    held = (await erp.read(spec, [key])).get(key)
    differing = {
        name: value
        for name, value in desired.items()
        if (value is not None if held is None else held.fields.get(name) != value)
    }
    target_id = None if held is None else held.target_id
    record = RecordWrite(key=key, fields=differing, idempotency_key=f"accordant-{key}", target_id=target_id)
    (result,) = await erp.write(spec, [record])
    return result.outcome


async def put(erp: Outbound, spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> CurrentRecord:
    """Write, and see that what is held then is what was wanted, to the last character."""
    outcome = await send(erp, spec, key, fields)
    assert isinstance(outcome, Applied), outcome
    held = (await erp.read(spec, [key]))[key]
    assert held.target_id == outcome.target_id
    assert held.fields == erp.canonical(spec, fields)
    return held


async def refusal(erp: Outbound, spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> Refused:
    """Write what is refused; nothing of it is there afterwards."""
    outcome = await send(erp, spec, key, fields)
    assert isinstance(outcome, Refused), outcome
    assert await erp.read(spec, [key]) == {}
    return outcome
