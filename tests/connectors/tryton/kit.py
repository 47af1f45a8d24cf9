"""What the tests of the outbound half share: a connection of ours, and documents in the shipped mapping's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine, spell_lines
from accordant.canonical.intents import Applied, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec, object_spec
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.http import Recorder, Timeouts
from accordant.connectors.tryton.connector import default_mappings, outbound
from accordant.connectors.tryton.outbound import TrytonOutbound
from accordant.ports.connector import RecordWrite
from tests.connectors.tryton.company import CLEARING, COMPANY, DEFERRED, RECEIVABLE, TAX
from tests.connectors.tryton.server import PASSWORD, USER, Tryton

PARTY, INVOICE, MOVE = (object_spec(mapping) for mapping in default_mappings())
DAY = date(2026, 3, 5)
ZERO = Decimal("0.00")


def connect(
    tryton: Tryton, *, url: str | None = None, recorder: Recorder | None = None, timeouts: Timeouts | None = None
) -> TrytonOutbound:
    """Our outbound half, straight to the server or to something in between."""
    settings = {"url": url or tryton.url, "database": tryton.database, "user": USER, "password": PASSWORD}
    return outbound(
        settings,
        lambda: datetime.now(UTC),
        rate_per_s=1_000,
        addresses=AddressPolicy(allow_loopback=True),
        recorder=recorder,
        timeouts=timeouts or Timeouts(),
    )


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


async def send(erp: TrytonOutbound, spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> WriteOutcome:
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


async def put(erp: TrytonOutbound, spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> CurrentRecord:
    """Write, and see that what is held then is what was wanted, to the last character."""
    outcome = await send(erp, spec, key, fields)
    assert isinstance(outcome, Applied), outcome
    held = (await erp.read(spec, [key]))[key]
    assert held.target_id == outcome.target_id
    assert held.fields == erp.canonical(spec, fields)
    return held


async def refusal(erp: TrytonOutbound, spec: ObjectSpec, key: str, fields: Mapping[str, WireValue]) -> Refused:
    """Write what is refused; nothing of it is there afterwards."""
    outcome = await send(erp, spec, key, fields)
    assert isinstance(outcome, Refused), outcome
    assert await erp.read(spec, [key]) == {}
    return outcome


async def a_customer(erp: TrytonOutbound, code: str) -> str:
    """A customer of a test's own."""
    await put(erp, PARTY, code, {"name": f"Customer {code}", "email": f"{code}@example.com"})
    return code
