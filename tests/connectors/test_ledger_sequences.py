"""Any sequence of documents with any answer lost: the ERP's own ledger is the sum of what the books said, once each."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accordant.canonical.documents import DocumentLine, read_lines
from accordant.canonical.intents import Applied, WireValue
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.faults import KINDS
from accordant.connectors.sdk.ledger_documents import amount_of
from accordant.connectors.sdk.stand_in import StandIn
from accordant.ports.connector import AnswerLost, Outbound, RateLimited
from tests.connectors.ledger_kit import RECEIVABLE, billed, invoice, move, paid, send, turned
from tests.connectors.quickbooks import kit as quickbooks
from tests.connectors.xero import kit as xero

#: What may become of a write: it is carried out and its answer is lost, or nothing happens at all.
WEATHER = sorted(KINDS - {"slow", "timeout_before", "timeout_after", "expired", "busy"})
TRIES_MAX = 6


class Erp(Protocol):
    """What this test needs of each."""

    @property
    def simulator(self) -> StandIn: ...

    @property
    def erp(self) -> Outbound: ...

    async def a_customer(self, code: str, name: str = "") -> str: ...

    def balance(self) -> dict[str, str]: ...


@dataclass
class Told:
    """What the books said: documents by key, with the fields they were told in."""

    documents: dict[str, tuple[ObjectSpec, dict[str, WireValue]]] = field(default_factory=dict)
    bills: list[tuple[str, str, tuple[DocumentLine, ...]]] = field(default_factory=list)

    def balance(self) -> dict[str, str]:
        """The trial balance of it; accounts at zero are left out."""
        totals: dict[str, Decimal] = {}
        for _, fields in self.documents.values():
            for line in read_lines(str(fields["lines"])):
                totals[line.account] = totals.get(line.account, Decimal(0)) + amount_of(line)
        return {account: f"{value:.2f}" for account, value in totals.items() if value}


STEP = st.tuples(
    st.sampled_from(("bill", "pay", "overpay", "credit", "void")),
    st.integers(1, 50_000),
    st.integers(0, 5),
    st.none() | st.sampled_from(WEATHER),
    st.integers(1, 3),
)


@asynccontextmanager
async def on_xero() -> AsyncIterator[Erp]:
    async with xero.some_books() as one:
        yield one


@asynccontextmanager
async def on_quickbooks() -> AsyncIterator[Erp]:
    with tempfile.TemporaryDirectory() as folder:
        async with quickbooks.some_books(Path(folder)) as one:
            yield one


async def hold(one: Erp, spec: ObjectSpec, key: str, fields: dict[str, WireValue]) -> None:
    """As the courier: look, send what differs, and look again where the answer was lost or the caller had to wait."""
    wanted = one.erp.canonical(spec, fields)
    held = None
    for _ in range(TRIES_MAX):
        held = (await one.erp.read(spec, [key])).get(key)
        if held is not None and held.fields == wanted:
            return
        with suppress(AnswerLost, RateLimited):
            outcome = await send(one.erp, spec, key, fields)
            assert isinstance(outcome, Applied), outcome
    raise AssertionError(f"{key} never held: {held}")


async def live(open_books: Callable[[], AbstractAsyncContextManager[Erp]], specs: Any, steps: list[Any]) -> None:
    told = Told()
    async with open_books() as one:
        party = await one.a_customer("cus_1")
        for number, (what, minor, which, weather, after) in enumerate(steps):
            key, net = f"jrn_{number}", f"{Decimal(minor) / 100:.2f}"
            bill = told.bills[which % len(told.bills)] if told.bills else None
            spec, fields = specs.ENTRY, {}
            if what == "bill" or bill is None:
                spec, fields = specs.BILL, invoice(billed(party, net, "0.19"), party=party)
                told.bills.append((key, net, billed(party, net, "0.19")))
            elif what == "pay":
                total = f"{Decimal(bill[1]) + Decimal('0.19'):.2f}"
                fields = move(paid(party, total), settles=bill[0])
            elif what == "overpay":
                fields = move(paid(party, f"{Decimal(bill[1]) + 100:.2f}"), settles=bill[0])
            elif what == "credit":
                part = f"{min(Decimal(net), Decimal(bill[1])):.2f}"
                spec, fields = specs.BILL, invoice(billed(party, f"-{part}", "-0.01"), party=party, settles=bill[0])
            else:
                fields = move(turned(bill[2]), reverses=bill[0])
            told.documents[key] = (spec, fields)
            if weather is not None:
                for method in ("PUT", "POST"):
                    one.simulator.fault(weather, method=method, times=after, seconds=0.0)
            await hold(one, spec, key, fields)
            one.simulator.faults.clear()
        assert one.balance() == told.balance()
        for key, (spec, fields) in told.documents.items():
            held = (await one.erp.read(spec, [key]))[key]
            assert held.fields == one.erp.canonical(spec, fields), key
        listed = [key for spec in (specs.BILL, specs.ENTRY) async for key, _ in one.erp.keys(spec)]
        assert sorted(listed) == sorted(told.documents)
        owed = sum(
            amount_of(line)
            for _, fields in told.documents.values()
            for line in read_lines(str(fields["lines"]))
            if line.account == RECEIVABLE
        )
        assert one.balance().get(RECEIVABLE, "0.00") == f"{owed:.2f}"


@pytest.mark.parametrize(
    ("open_books", "specs"), [(on_xero, xero), (on_quickbooks, quickbooks)], ids=["xero", "quickbooks"]
)
@settings(max_examples=15)
@given(steps=st.lists(STEP, min_size=1, max_size=8))
def test_any_sequence_with_any_answer_lost_is_posted_once(
    open_books: Callable[[], AbstractAsyncContextManager[Erp]], specs: Any, steps: list[Any]
) -> None:
    asyncio.run(live(open_books, specs, steps))
