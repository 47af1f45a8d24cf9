"""Ledger documents as Xero holds them: four kinds of its own under our key, with everything a mapping may name.
Guarantees that a document counts as settled only where Xero knows it too, and that a void by hand is seen.
Next: documents.py, which writes what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from decimal import Decimal
from typing import TypeAlias

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.documents import DocumentLine, DocumentState, spell_lines
from accordant.canonical.intents import WireValue
from accordant.canonical.targets import CurrentRecord, ObjectSpec
from accordant.connectors.sdk import ledger_native
from accordant.connectors.sdk.ledger_documents import OUR_KEYS, read_tag, sides, untagged
from accordant.connectors.sdk.ledger_native import placed, told_line
from accordant.connectors.sdk.plain_json import Row, amount
from accordant.connectors.xero.api import PAGE, Api
from accordant.connectors.xero.lookups import Lookups
from accordant.connectors.xero.records import BILLS, ID_FIELD, NUMBER_FIELD, Form
from accordant.connectors.xero.wire import day, moment, quoted

_VOID = frozenset({"VOIDED", "DELETED"})
_DRAFT = frozenset({"DRAFT", "SUBMITTED"})


Place: TypeAlias = ledger_native.Place[Form]


def place_of(text: str) -> Place | None:
    """The record that a target id names; None where it names none of ours."""
    return placed(Form, bool, text)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One document in Xero; ``told`` is what we wrote behind its words."""

    place: Place
    key: str
    row: Row
    told: dict[str, str]

    @property
    def number(self) -> str:
        """Under which people there find it."""
        return self.key

    @property
    def is_void(self) -> bool:
        """Whether somebody took it back: we never do, what is wrong is cancelled by another document."""
        return self.row.get("Status") in _VOID

    @property
    def open_amount(self) -> Decimal:
        """What is still to be paid of an invoice, or still to be used of a credit note."""
        if self.is_void:
            return Decimal(0)
        return amount(self.row.get("AmountDue" if self.place.form is Form.INVOICE else "RemainingCredit"))

    @property
    def about(self) -> str | None:
        """The key of the document that this one pays, lowers or cancels, as it was written."""
        return self.told.get("reverses") or self.told.get("settles")


def held_of(form: Form, row: Row) -> Held | None:
    """A record of Xero's as a document of ours; None where it has no key of ours."""
    text = str(row.get(NUMBER_FIELD[form]) or "")
    key = text.split(" ", 1)[0]
    if not key.startswith(OUR_KEYS):
        return None
    words = str(row.get("Reference") or "") if form in {Form.INVOICE, Form.CREDIT_NOTE} else text
    return Held(place=Place(form, str(row[ID_FIELD[form]])), key=key, row=row, told=read_tag(words))


class Reading:
    """Reads documents of one connection."""

    def __init__(self, api: Api, lookups: Lookups, *, company: str) -> None:
        """``company`` is the charter's name of the organisation."""
        self._company = company
        self._api = api
        self._lookups = lookups

    async def by_key(self, keys: Sequence[str]) -> dict[str, Held]:
        """Documents under these keys, whichever of its own Xero made of them. One call for each kind, while any is
        missing. Where there are several of one key, one that was not taken back is taken.
        """
        found: dict[str, Held] = {}
        for form in Form:
            missing = [key for key in keys if key not in found or found[key].is_void]
            if not missing:
                break
            for row in await self._api.rows(form.value, {**_filter(form, missing), "page": "1", "pageSize": str(PAGE)}):
                held = held_of(form, row)
                if held is not None and held.key in missing and (held.key not in found or not held.is_void):
                    found[held.key] = held
        return found

    async def at(self, places: Iterable[Place]) -> dict[Place, Held]:
        """Documents by their place; one that is gone is absent."""
        found = {}
        for place in places:
            for row in await self._api.rows(f"{place.form.value}/{place.id}"):
                held = held_of(place.form, row)
                if held is not None:
                    found[place] = held
        return found

    async def keyless(self, places: Iterable[Place]) -> frozenset[Place]:
        """Which of these are there without a key of ours."""
        return frozenset(
            [
                place
                for place in places
                for row in await self._api.rows(f"{place.form.value}/{place.id}")
                if held_of(place.form, row) is None
            ]
        )

    async def all(self, object_name: str) -> AsyncIterator[Held]:
        """Every document with a key of ours that belongs to an object, page by page."""
        for form in Form:
            field = NUMBER_FIELD[form]
            where = f"{field}!=null AND {field}.StartsWith({quoted(OUR_KEYS)})"
            async for rows in self._api.pages(form.value, {"where": where}):
                for row in rows:
                    held = held_of(form, row)
                    if held is not None and ("of" not in held.told) is (object_name == BILLS):
                        yield held

    async def record(self, spec: ObjectSpec, held: Held) -> CurrentRecord:
        """A document in the fields of a mapping."""
        settled = await self.to_allocate(held) is None
        fields = await self.fields(held) | {
            "settles": _settles(held) if settled else None,
            "reverses": held.told.get("reverses") if settled else None,
        }
        return CurrentRecord(
            target_id=str(held.place),
            fields={name: fields[name] for name in spec.fields if name in fields},
            changed_at=moment(held.row.get("UpdatedDateUTC")),
            changed_by=None,
        )

    async def fields(self, held: Held) -> dict[str, WireValue]:
        """What a document says by itself: all but what it is set against, for which others have to be looked at."""
        row, form = held.row, held.place.form
        currency = (await self._lookups.organisation()).currency
        on = day(row.get("Date"))
        due = day(row.get("DueDate")) if form is Form.INVOICE else day(held.told.get("due"))
        lines = await self._lines(held, currency)
        words = untagged(row.get("Reference")) if form in {Form.INVOICE, Form.CREDIT_NOTE} else held.told.get("number")
        party = (row.get("Contact") or {}).get("ContactNumber") or held.told.get("customer")
        return {
            "company": self._company,
            "date": None if on is None else on.isoformat(),
            "due_date": None if due is None or due == on else due.isoformat(),
            "party": party,
            "currency": next((line.original_currency for line in lines if line.original_currency), currency),
            "description": words or None,
            "lines": spell_lines(lines),
            "state": _state(held).value,
        }

    async def to_allocate(self, held: Held, about: Held | None = None) -> tuple[Held, Held, Decimal] | None:
        """A credit note, the invoice it is to be set against, and how much of it still can be.

        ``about`` is what the document is about, where it was just looked at.
        """
        if held.about is None or held.place.form not in {Form.CREDIT_NOTE, Form.INVOICE} or not held.open_amount:
            return None
        other = about or (await self.by_key([held.about])).get(held.about)
        if other is None or {held.place.form, other.place.form} != {Form.CREDIT_NOTE, Form.INVOICE}:
            return None
        share = min(held.open_amount, other.open_amount)
        credit, invoice = (held, other) if held.place.form is Form.CREDIT_NOTE else (other, held)
        return (credit, invoice, share) if share > 0 else None

    async def _lines(self, held: Held, currency: str) -> list[DocumentLine]:
        row, form = held.row, held.place.form
        if form is Form.JOURNAL:
            return [_line(one, amount(one.get("LineAmount")), currency) for one in row.get("JournalLines") or []]
        owed_account = await self._lookups.owed_account()
        if form is Form.PAYMENT:
            paid, party = amount(row.get("Amount")), held.told.get("customer")
            money = {"AccountCode": (row.get("Account") or {}).get("Code"), "Description": row.get("Reference")}
            return [
                _line(money, paid, currency),
                DocumentLine(account=owed_account, role=Role.RECEIVABLE, party=party, **sides(-paid, currency)),
            ]
        sign = 1 if form is Form.CREDIT_NOTE else -1
        told = {"role": Role.RECEIVABLE.value, **held.told, "party": (row.get("Contact") or {}).get("ContactNumber")}
        owed = told_line(owed_account, -sign * amount(row.get("Total")), told, currency)
        items = row.get("LineItems") or []
        return [owed, *(_line(one, sign * amount(one.get("LineAmount")), currency) for one in items)]


def _line(row: Row, value: Decimal, currency: str) -> DocumentLine:
    return told_line(str(row.get("AccountCode")), value, read_tag(row.get("Description")), currency)


def _state(held: Held) -> DocumentState:
    if held.is_void:
        return DocumentState.CANCELLED
    return DocumentState.DRAFT if held.row.get("Status") in _DRAFT else DocumentState.POSTED


def _settles(held: Held) -> str | None:
    """What a payment pays Xero says itself; of the others it was written."""
    if held.place.form is Form.PAYMENT:
        return (held.row.get("Invoice") or {}).get("InvoiceNumber")
    return held.told.get("settles")


def _filter(form: Form, keys: Sequence[str]) -> dict[str, str]:
    if form is Form.INVOICE:
        return {"InvoiceNumbers": ",".join(keys)}
    field = NUMBER_FIELD[form]
    if form is Form.CREDIT_NOTE:
        return {"where": " OR ".join(f"{field}=={quoted(key)}" for key in keys)}
    begins = " OR ".join(f"{field}.StartsWith({quoted(key)})" for key in keys)
    return {"where": f"{field}!=null AND ({begins})"}
