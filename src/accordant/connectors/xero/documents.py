"""Ledger documents into Xero: made in one call each, set against what they pay or cancel, never changed afterwards.
Guarantees that a call which was lost is found again by its key, and that what a person took back is not made again.
Next: outbound.py, which is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from accordant.canonical.intents import Applied, RefusalClass, Refused, WireValue, WriteOutcome
from accordant.canonical.targets import CurrentRecord, ObjectSpec, Whereabouts
from accordant.connectors.sdk.ledger_documents import (
    LATER,
    Desired,
    Unusable,
    ValueUnreadable,
    desired,
    for_a_person,
    unusable,
)
from accordant.connectors.xero import errors
from accordant.connectors.xero.api import Api
from accordant.connectors.xero.errors import XeroRefused
from accordant.connectors.xero.lookups import Lookups, Organisation
from accordant.connectors.xero.reading import Held, Reading, held_of, place_of
from accordant.connectors.xero.records import (
    Form,
    Shape,
    bill_values,
    canonical,
    journal_values,
    party_of,
    payment_values,
    shape_of,
    total_of,
)
from accordant.connectors.xero.wire import Row, day
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
        """See ``ledger_outbound.Records``. What somebody voided or deleted counts as deleted."""
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
        except XeroRefused as refusal:
            return errors.refused(f"the document {record.key!r}", refusal.fault)

    async def _complete(self, record: RecordWrite) -> WriteOutcome:
        """What a crash left undone: to set it against what it pays or cancels."""
        place = place_of(str(record.target_id))
        held = None if place is None else (await self._reading.at([place])).get(place)
        if held is None:
            message = f"Xero no longer has {record.target_id}; the document is looked for again."
            return Refused(cause=RefusalClass.TRANSIENT, code="GONE", message=message)
        if held.is_void:
            return for_a_person(
                "CANCELLED_BY_HAND",
                f"Somebody took {held.key} back in Xero; the books still hold it. Reverse it in the books; what Xero "
                "voided cannot be brought back.",
            )
        if changed := sorted(record.fields.keys() - LATER):
            return for_a_person(
                "DOCUMENT_POSTED",
                f"{held.key} in Xero differs in {', '.join(changed)}, and what is posted is not changed: undo the "
                "change in Xero, or cancel the document in the books.",
                *changed,
            )
        if record.fields.get("state") is not None:
            return for_a_person(
                "NOT_POSTED", f"{held.key} is a draft in Xero, which somebody made of it: approve it there.", "state"
            )
        await self._allocate(held, record.idempotency_key)
        return Applied(target_id=str(held.place), created=False, number=held.key)

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
            await self._allocate(made, key)
        return made

    async def _about(self, document: Desired) -> Held | None:
        """What this one cancels or pays; it has to be there first. Raises Unusable."""
        key, field = document.reverses or document.settles, "reverses" if document.reverses else "settles"
        if key is None:
            return None
        found = (await self._reading.by_key([key])).get(key)
        if found is None:
            raise unusable("DOCUMENT_UNKNOWN", f"Xero has no document {key!r}: it has to be there first.", field)
        return found

    async def _values(
        self, spec: ObjectSpec, document: Desired, shape: Shape, about: Held | None, books: Organisation
    ) -> Row:
        if shape.form is Form.JOURNAL:
            return journal_values(spec.name, document, shape, tracking=self._lookups.tracking)
        if shape.form is Form.PAYMENT and about is not None:
            return payment_values(spec.name, document, shape, invoice=about.place.id)
        party = party_of(document, shape)
        return bill_values(
            spec.name,
            document,
            shape,
            contact=(await self._lookups.contacts([party]))[party],
            books_currency=books.currency,
            tracking=self._lookups.tracking,
        )

    async def _allocate(self, held: Held, key: str) -> None:
        """Set a credit note against an invoice as far as both are open. What is done already is left alone."""
        found = await self._reading.to_allocate(held)
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
    return about is not None and about.place.form is Form.INVOICE and about.open_amount >= total_of(shape)
