"""Ledger documents into QuickBooks: made in one call each, set against what they pay or cancel, never changed.
Guarantees that a call which was lost is found again by its key, and that what a person took back is not made again.
Next: outbound.py, which is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.quickbooks import errors
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.errors import QuickBooksRefused
from accordant.connectors.quickbooks.lookups import Account, Lookups
from accordant.connectors.quickbooks.reading import Held, Reading, held_of, place_of
from accordant.connectors.quickbooks.records import (
    Form,
    Shape,
    canonical,
    journal_values,
    link_values,
    party_of,
    payment_values,
    sales_values,
    shape_of,
    total_of,
)
from accordant.connectors.quickbooks.wire import Row, amount, day
from accordant.connectors.sdk.ledger_documents import (
    LATER,
    Desired,
    Unusable,
    ValueUnreadable,
    desired,
    for_a_person,
    unusable,
)
from accordant.ports.connector import AnswerLost, RecordWrite


class Documents:
    """The ledger documents of one connection."""

    def __init__(self, api: Api, lookups: Lookups, reading: Reading) -> None:
        self._api = api
        self._lookups = lookups
        self._reading = reading

    def canonical(self, spec: ObjectSpec, fields: Mapping[str, WireValue]) -> dict[str, WireValue]:
        """See ``ledger_outbound.Records``."""
        return canonical(spec, fields)

    async def read(self, spec: ObjectSpec, keys: Sequence[str]) -> dict[str, CurrentRecord]:
        """See ``ledger_outbound.Records``."""
        held = await self._reading.by_key(keys)
        return {key: await self._reading.record(spec, one) for key, one in held.items()}

    async def keys(self, spec: ObjectSpec) -> AsyncIterator[tuple[str, CurrentRecord]]:
        """See ``ledger_outbound.Records``."""
        async for held in self._reading.all(spec.name):
            yield held.key, await self._reading.record(spec, held)

    async def whereabouts(self, spec: ObjectSpec, target_ids: Sequence[str]) -> dict[str, Whereabouts]:
        """See ``ledger_outbound.Records``. What somebody voided counts as deleted; what was deleted is forgotten."""
        places = [place for one in target_ids if (place := place_of(one)) is not None]
        return {
            str(place): Whereabouts(
                target_id=str(place),
                deleted=held.is_void,
                merged_into=None,
                key=held.key,
                record=await self._reading.record(spec, held),
            )
            for place, held in (await self._reading.at(places)).items()
        }

    async def write(self, spec: ObjectSpec, record: RecordWrite) -> WriteOutcome:
        """Make one document, or do what is missing of it. Raises as the calls do."""
        try:
            if record.target_id is not None:
                return await self._complete(record)
            document = desired(record.key, canonical(spec, record.fields))
            held = await self._make(spec, document, record.idempotency_key)
            return Applied(target_id=str(held.place), created=True, number=held.key)
        except Unusable as error:
            return error.refusal
        except ValueUnreadable as error:
            return Refused(cause=RefusalClass.DATA_QUALITY, code="VALUE_UNREADABLE", message=str(error))
        except QuickBooksRefused as refusal:
            return errors.refused(f"the document {record.key!r}", refusal.fault)

    async def _complete(self, record: RecordWrite) -> WriteOutcome:
        """What a crash left undone: to set it against what it pays or cancels."""
        place = place_of(str(record.target_id))
        held = None if place is None else (await self._reading.at([place])).get(place)
        if held is None:
            message = f"QuickBooks no longer has {record.target_id}; the document is looked for again."
            return Refused(cause=RefusalClass.TRANSIENT, code=errors.GONE, message=message)
        if held.is_void:
            return for_a_person(
                "CANCELLED_BY_HAND",
                f"Somebody voided {record.key} in QuickBooks; the books still hold it. Reverse it in the books; what "
                "was voided cannot be brought back.",
            )
        if changed := sorted(record.fields.keys() - LATER):
            return for_a_person(
                "DOCUMENT_POSTED",
                f"{record.key} in QuickBooks differs in {', '.join(changed)}, and what is posted is not changed: undo "
                "the change there (its audit log has it), or cancel the document in the books.",
                *changed,
            )
        await self._link(held, record.idempotency_key)
        return Applied(target_id=str(held.place), created=False, number=held.key)

    async def _make(self, spec: ObjectSpec, document: Desired, key: str) -> Held:
        self._lookups.check_company(document.company)
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
            await self._link(made, key)
        return made

    async def _about(self, document: Desired) -> Held | None:
        """What this one cancels or pays; it has to be there first. Raises Unusable."""
        key, field = document.reverses or document.settles, "reverses" if document.reverses else "settles"
        if key is None:
            return None
        found = (await self._reading.by_key([key])).get(key)
        if found is None:
            raise unusable("DOCUMENT_UNKNOWN", f"QuickBooks has no document {key!r}: it has to be there first.", field)
        return found

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
        customer = await self._lookups.party(party_of(document, shape))
        if shape.form is Form.PAYMENT and about is not None:
            invoice = about.place.id
            return payment_values(spec.name, document, shape, customer=customer, invoice=invoice, accounts=accounts)
        return sales_values(spec.name, document, shape, customer=customer, accounts=accounts)

    async def _link(self, held: Held, key: str) -> None:
        """Set a credit against an invoice as far as both are open. What is done already is left alone."""
        found = await self._reading.to_link(held)
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
    return amount(about.row.get("Balance")) >= total_of(shape)
