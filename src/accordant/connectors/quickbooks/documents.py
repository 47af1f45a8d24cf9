"""Ledger documents into QuickBooks: made in one call each, set against what they pay or cancel, never changed.
Guarantees that a call which was lost is found again by its key, and that what a person took back is not made again.
Next: outbound.py, which is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from accordant.canonical.intents import Refused
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.quickbooks import errors
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.errors import QuickBooksRefused
from accordant.connectors.quickbooks.lookups import Account, Lookups
from accordant.connectors.quickbooks.reading import Held, Place, Reading, held_of, place_of
from accordant.connectors.quickbooks.records import (
    Form,
    Shape,
    canonical,
    journal_values,
    link_values,
    payment_values,
    sales_values,
    shape_of,
)
from accordant.connectors.quickbooks.wire import day
from accordant.connectors.sdk.ledger_documents import Desired, check_company
from accordant.connectors.sdk.ledger_keeper import KeptDocuments
from accordant.connectors.sdk.plain_json import Row, amount
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import AnswerLost, RecordWrite


class Documents(KeptDocuments[Held, Place]):
    """The ledger documents of one connection."""

    def __init__(self, api: Api, lookups: Lookups, reading: Reading) -> None:
        super().__init__(
            title="QuickBooks", reading=reading, place_of=place_of, canonical=canonical, refusal=QuickBooksRefused
        )
        self._api = api
        self._lookups = lookups
        self._documents = reading

    def _refused(self, place: str, error: RejectedError) -> Refused:
        if not isinstance(error, QuickBooksRefused):
            raise error
        return errors.refused(place, error.fault)

    async def _make(self, spec: ObjectSpec, document: Desired, key: str) -> Held:
        check_company(document.company, self._lookups.company)
        accounts = await self._lookups.accounts(line.account for line in document.lines)
        about = await self._about(document)
        owed_number = await self._lookups.owed_number()
        currency = await self._lookups.currency()
        shape = shape_of(document, accounts, owed_number=owed_number, currency=currency)
        if shape.form is Form.PAYMENT and not _takes(about, shape):
            # More than is open, or no invoice at all: what is left over stays the customer's, by a journal.
            shape = Shape(form=Form.JOURNAL, owed=shape.owed, others=shape.others)
        values = await self._values(spec, document, shape, about, accounts)
        made = held_of(shape.form, await self._api.send(shape.form.value, values, key=key))
        if made is None or made.key != document.key:
            raise AnswerLost(f"QuickBooks answered for another document than {document.key!r}.")
        if made.about is not None:
            await self._link(made, key, about)
        return made

    async def _values(
        self,
        spec: ObjectSpec,
        document: Desired,
        shape: Shape,
        about: Held | None,
        accounts: Mapping[str, Account],
    ) -> Row:
        if shape.form is Form.JOURNAL:
            owed = [line for line in document.lines if accounts[line.account].owed]
            parties = {str(line.party or document.party) for line in owed}
            customers = {party: await self._lookups.party(party) for party in sorted(parties)}
            return journal_values(spec.name, document, shape, customers=customers, accounts=accounts)
        customer = await self._lookups.party(shape.party_in(document))
        if shape.form is Form.PAYMENT and about is not None:
            invoice = about.place.id
            return payment_values(spec.name, document, shape, customer=customer, invoice=invoice, accounts=accounts)
        return sales_values(spec.name, document, shape, customer=customer, accounts=accounts)

    async def _settle(self, held: Held, record: RecordWrite) -> None:
        await self._link(held, record.idempotency_key)

    async def _link(self, held: Held, key: str, about: Held | None = None) -> None:
        """Set a credit against an invoice as far as both are open. What is done already is left alone."""
        found = await self._documents.to_link(held, about)
        if found is None:
            return
        invoice, share = found
        days = [one for row in (held.row, invoice.row) if (one := day(row.get("TxnDate"))) is not None]
        values = link_values(
            held.key,
            customer=str(invoice.row["CustomerRef"]["value"]),
            on=max(days).isoformat(),
            share=share,
            invoice=invoice.place.id,
            credit=held.place.id,
            credit_type=held.place.form.value,
        )
        await self._api.send(Form.PAYMENT.value, values, key=key)


def _takes(about: Held | None, shape: Shape) -> bool:
    """Whether an invoice is open for all of a payment."""
    if about is None or about.place.form is not Form.INVOICE or about.is_void:
        return False
    return amount(about.row.get("Balance")) >= shape.total
