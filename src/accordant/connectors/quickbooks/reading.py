"""Ledger documents as QuickBooks holds them: four kinds of its own under our key, with everything a mapping may name.
Guarantees that a document counts as settled only where QuickBooks knows it too, and that a void by hand is seen.
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
from accordant.connectors.quickbooks.api import Api
from accordant.connectors.quickbooks.lookups import Lookups
from accordant.connectors.quickbooks.records import BILLS, NUMBER_FIELD, Form, link_number, number_of
from accordant.connectors.quickbooks.wire import changed_at, day, listed
from accordant.connectors.sdk import ledger_native
from accordant.connectors.sdk.ledger_documents import OUR_KEYS, read_tag, sides
from accordant.connectors.sdk.ledger_native import placed, told_line
from accordant.connectors.sdk.plain_json import Row, amount

_VOIDED = "Voided"


Place: TypeAlias = ledger_native.Place[Form]


def place_of(text: str) -> Place | None:
    """The record that a target id names; None where it names none of ours."""
    return placed(Form, str.isdecimal, text)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One document in QuickBooks; ``told`` is what we wrote behind its key."""

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
        """Whether somebody took it back; a void leaves the document with nothing in it."""
        return str(self.row.get("PrivateNote") or "").startswith(_VOIDED)

    @property
    def about(self) -> str | None:
        """The key of the document that this one pays, lowers or cancels, as it was written."""
        return self.told.get("reverses") or self.told.get("settles")


def held_of(form: Form, row: Row, *, key: str | None = None) -> Held | None:
    """A record of QuickBooks' as a document of ours; None where it has no key of ours.

    ``key`` is the one it was asked for by its number: a void takes our note away, and leaves the number.
    """
    note = str(row.get("PrivateNote") or "")
    told = note.removeprefix(f"{_VOIDED} - ").split(" ", 1)[0]
    if not told.startswith(OUR_KEYS):
        told = key if key is not None and note.startswith(_VOIDED) else ""
    if not told or (key is not None and told != key):
        return None
    return Held(place=Place(form, str(row["Id"])), key=told, row=row, told=read_tag(note))


def known_or_void(form: Form, row: Row) -> Held | None:
    """A record of QuickBooks' as a document that may be of ours: a void has no note, and so only a number."""
    held = held_of(form, row)
    if held is None and str(row.get("PrivateNote") or "").startswith(_VOIDED):
        return Held(place=Place(form, str(row["Id"])), key=f"{OUR_KEYS}{row.get(NUMBER_FIELD[form])}", row=row, told={})
    return held


class Reading:
    """Reads documents of one connection."""

    def __init__(self, api: Api, lookups: Lookups) -> None:
        self._api = api
        self._lookups = lookups

    async def by_key(self, keys: Sequence[str]) -> dict[str, Held]:
        """Documents under these keys, whichever of its own QuickBooks made of them: one query for each kind, while any
        is missing. Where there are several of one key, one that was not taken back is taken.
        """
        found: dict[str, Held] = {}
        for form in Form:
            missing = {number_of(key): key for key in keys if key not in found or found[key].is_void}
            if not missing:
                break
            field = NUMBER_FIELD[form]
            for row in await self._api.rows(form.value, f"{field} in {listed(sorted(missing))}"):
                held = held_of(form, row, key=missing.get(str(row.get(field))))
                if held is not None and (held.key not in found or not held.is_void):
                    found[held.key] = held
        return found

    async def at(self, places: Iterable[Place]) -> dict[Place, Held]:
        """Documents by their place; one that was deleted is absent."""
        found = {}
        for place in places:
            row = await self._api.one(place.form.value, place.id)
            held = None if row is None else known_or_void(place.form, row)
            if held is not None:
                found[place] = held
        return found

    async def keyless(self, places: Iterable[Place]) -> frozenset[Place]:
        """Which of these are there without a key of ours; a void has lost its note, and is known by its number."""
        return frozenset(
            [
                place
                for place in places
                if (row := await self._api.one(place.form.value, place.id)) is not None
                and known_or_void(place.form, row) is None
            ]
        )

    async def all(self, object_name: str) -> AsyncIterator[Held]:
        """Every document with a key of ours that belongs to an object, page by page."""
        for form in Form:
            async for rows in self._api.pages(form.value):
                for row in rows:
                    held = held_of(form, row)
                    if held is not None and ("of" not in held.told) is (object_name == BILLS):
                        yield held

    async def record(self, spec: ObjectSpec, held: Held) -> CurrentRecord:
        """A document in the fields of a mapping."""
        settled = await self.to_link(held) is None
        fields = await self.fields(held) | {
            "settles": held.told.get("settles") if settled else None,
            "reverses": held.told.get("reverses") if settled else None,
        }
        return CurrentRecord(
            target_id=str(held.place),
            fields={name: fields[name] for name in spec.fields if name in fields},
            changed_at=changed_at(held.row),
            changed_by=None,
        )

    async def fields(self, held: Held) -> dict[str, WireValue]:
        """What a document says by itself: all but what it is set against, for which others have to be looked at."""
        row, form = held.row, held.place.form
        currency = await self._lookups.currency()
        on = day(row.get("TxnDate"))
        due = day(row.get("DueDate")) if form is Form.INVOICE else day(held.told.get("due"))
        lines = await self._lines(held, currency)
        memo = (row.get("CustomerMemo") or {}).get("value")
        customer = (row.get("CustomerRef") or {}).get("value")
        party = await self._lookups.key_of(str(customer)) if customer else held.told.get("customer")
        return {
            "company": self._lookups.company,
            "date": None if on is None else on.isoformat(),
            "due_date": None if due is None or due == on else due.isoformat(),
            "party": party,
            "currency": next((line.original_currency for line in lines if line.original_currency), currency),
            "description": memo or held.told.get("number"),
            "lines": spell_lines(lines),
            "state": (DocumentState.CANCELLED if held.is_void else DocumentState.POSTED).value,
        }

    async def to_link(self, held: Held, about: Held | None = None) -> tuple[Held, Decimal] | None:
        """The invoice that a credit is still to be set against, and how much of it can be.

        QuickBooks does not say what is left of a journal, so that what sets one against an invoice is looked for.
        ``about`` is what the document is about, where it was just looked at.
        """
        credit = await self._credit(held)
        if held.about is None or held.is_void or credit <= 0:
            return None
        other = about or (await self.by_key([held.about])).get(held.about)
        if other is None or other.place.form is not Form.INVOICE:
            return None
        share = min(credit, amount(other.row.get("Balance")))
        if share <= 0 or await self._api.rows("Payment", f"PaymentRefNum in {listed([link_number(held.key)])}"):
            return None
        return other, share

    async def _credit(self, held: Held) -> Decimal:
        """What a document takes from what its customer owes, so far as it is not used."""
        if held.place.form is Form.CREDIT_MEMO:
            return amount(held.row.get("RemainingCredit", held.row.get("Balance")))
        if held.place.form is not Form.JOURNAL:
            return Decimal(0)
        return sum((-_signed(line) for line in held.row.get("Line") or [] if _entity(line)), Decimal(0))

    async def _lines(self, held: Held, currency: str) -> list[DocumentLine]:
        row, form, told = held.row, held.place.form, held.told
        if form is Form.JOURNAL:
            return [await self._journal_line(one, currency) for one in row.get("Line") or []]
        customer = await self._lookups.key_of(str((row.get("CustomerRef") or {}).get("value")))
        owed_account, total = await self._lookups.owed_number(), amount(row.get("TotalAmt"))
        if form is Form.PAYMENT:
            money = await self._lookups.number_of(str((row.get("DepositToAccountRef") or {}).get("value")))
            owed = DocumentLine(account=owed_account, role=Role.RECEIVABLE, party=customer, **sides(-total, currency))
            return [told_line(money, total, told, currency), owed]
        sign = 1 if form is Form.CREDIT_MEMO else -1
        lines = [
            told_line(owed_account, -sign * total, {"role": Role.RECEIVABLE.value, **told, "party": customer}, currency)
        ]
        for one in row.get("Line") or []:
            detail = one.get("SalesItemLineDetail")
            if detail is None:  # a sum that QuickBooks adds
                continue
            account = await self._lookups.account_of_item(str((detail.get("ItemRef") or {}).get("value")))
            lines.append(
                told_line(account, sign * amount(one.get("Amount")), read_tag(one.get("Description")), currency)
            )
        return lines

    async def _journal_line(self, row: Row, currency: str) -> DocumentLine:
        detail = row.get("JournalEntryLineDetail") or {}
        account = await self._lookups.number_of(str((detail.get("AccountRef") or {}).get("value")))
        told = read_tag(row.get("Description"))
        return told_line(account, _signed(row), told, currency)


def _signed(row: Row) -> Decimal:
    """The amount of a line of a journal, a debit when positive."""
    value = amount(row.get("Amount"))
    return value if (row.get("JournalEntryLineDetail") or {}).get("PostingType") == "Debit" else -value


def _entity(row: Row) -> bool:
    return bool((row.get("JournalEntryLineDetail") or {}).get("Entity"))
