"""Ledger documents into Xero: made in one call each, set against what they pay or cancel, never changed afterwards.
Guarantees that a call which was lost is found again by its key, and that what a person took back is not made again.
Next: outbound.py, which is asked.
"""

from __future__ import annotations

from accordant.canonical.intents import Refused
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.ledger_documents import Desired
from accordant.connectors.sdk.ledger_keeper import KeptDocuments
from accordant.connectors.sdk.plain_json import Row
from accordant.connectors.xero import errors
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.errors import XeroRefused
from accordant.connectors.xero.lookups import Lookups, Organisation
from accordant.connectors.xero.reading import Held, Place, Reading, held_of, place_of
from accordant.connectors.xero.records import (
    Form,
    Shape,
    bill_values,
    canonical,
    journal_values,
    payment_values,
    shape_of,
)
from accordant.connectors.xero.wire import day
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import AnswerLost, RecordWrite


class Documents(KeptDocuments[Held, Place]):
    """The ledger documents of one connection."""

    def __init__(self, api: Api, lookups: Lookups, reading: Reading) -> None:
        super().__init__(title="Xero", reading=reading, place_of=place_of, canonical=canonical, refusal=XeroRefused)
        self._api = api
        self._lookups = lookups
        self._documents = reading

    def _refused(self, place: str, error: RejectedError) -> Refused:
        if not isinstance(error, XeroRefused):
            raise error
        return errors.refused(place, error.fault)

    async def _make(self, spec: ObjectSpec, document: Desired, key: str) -> Held:
        books = await self._lookups.books(document.company, document.day)
        accounts = await self._lookups.accounts(line.account for line in document.lines)
        await self._lookups.check_options(line.product for line in document.lines if line.product is not None)
        about = await self._about(document)
        shape = shape_of(document, accounts)
        if shape.form is Form.PAYMENT and not _takes(about, shape):
            # More than is open, or no invoice at all: what is left over stays the customer's, on a credit note.
            shape = Shape(form=Form.CREDIT_NOTE, owed=shape.owed, others=shape.others)
        values = await self._values(spec, document, shape, about, books)
        name = shape.form.value
        row = await self._api.send("PUT", name, {name: [values]}, key=key)
        made = held_of(shape.form, row)
        if made is None or made.key != document.key:
            raise AnswerLost(f"Xero answered for another document than {document.key!r}.")
        if made.about is not None:
            await self._allocate(made, key, about)
        return made

    async def _values(
        self, spec: ObjectSpec, document: Desired, shape: Shape, about: Held | None, books: Organisation
    ) -> Row:
        if shape.form is Form.JOURNAL:
            return journal_values(spec.name, document, shape, tracking=self._lookups.tracking)
        if shape.form is Form.PAYMENT and about is not None:
            return payment_values(spec.name, document, shape, invoice=about.place.id)
        party = shape.party_in(document)
        return bill_values(
            spec.name,
            document,
            shape,
            contact=(await self._lookups.contacts([party]))[party],
            books_currency=books.currency,
            tracking=self._lookups.tracking,
        )

    async def _settle(self, held: Held, record: RecordWrite) -> None:
        await self._allocate(held, record.idempotency_key)

    async def _allocate(self, held: Held, key: str, about: Held | None = None) -> None:
        """Set a credit note against an invoice as far as both are open. What is done already is left alone."""
        found = await self._documents.to_allocate(held, about)
        if found is None:
            return
        credit, invoice, share = found
        days = [one for row in (credit.row, invoice.row) if (one := day(row.get("Date"))) is not None]
        allocation: Row = {
            "Amount": share,
            "Date": max(days).isoformat(),
            "Invoice": {"InvoiceID": invoice.place.id},
        }
        path = f"{Form.CREDIT_NOTE.value}/{credit.place.id}/Allocations"
        await self._api.send("PUT", path, {"Allocations": [allocation]}, key=key)


def _takes(about: Held | None, shape: Shape) -> bool:
    """Whether an invoice is open for all of a payment."""
    return about is not None and about.place.form is Form.INVOICE and about.open_amount >= shape.total
