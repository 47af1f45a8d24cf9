"""Ledger documents into Tryton: native invoices and moves made, posted, reconciled and cancelled, each under our key.
Guarantees that every step is found again after a crash, and that what Tryton refuses leaves no draft behind.
Next: outbound.py, which is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import msgspec

from accordant.canonical.books import Role
from accordant.canonical.intents import Refused
from accordant.canonical.targets import ObjectSpec
from accordant.connectors.sdk.ledger_documents import Desired, Unusable, for_a_person, plain, unusable
from accordant.connectors.sdk.ledger_keeper import KeptDocuments
from accordant.connectors.tryton import errors
from accordant.connectors.tryton.lookups import Account, Company, Lookups, Tax
from accordant.connectors.tryton.reading import LINE, Held, Place, Reading, balance, document_place, payable
from accordant.connectors.tryton.records import (
    INVOICE,
    KEY_FIELD,
    MOVE,
    canonical,
    invoice_values,
    is_native,
    move_values,
    tax_codes,
)
from accordant.connectors.tryton.rpc import Rpc, TrytonRefused
from accordant.connectors.tryton.wire import Json
from accordant.kernel.errors import RejectedError
from accordant.ports.connector import AnswerLost, RecordWrite

#: Warnings that only say what the books know: that a bill was due in the past, or is of a day still to come. The way to
#: pass over one is to say so in a record of its own, as Tryton's own client does.
_PASSED_OVER = frozenset({"invoice_payment_term", "invoice_date_future"})
_WARNINGS_MAX = 3
_MONEY_ROLES = frozenset({Role.BANK, Role.CLEARING})


class Journals:
    """The journals of a connection by their codes: of invoices, of money that moves, of everything else."""

    def __init__(self, *, revenue: str, cash: str, general: str) -> None:
        self.revenue = revenue
        self.cash = cash
        self.general = general

    def of(self, object_name: str, document: Desired) -> str:
        """The journal a move stands in."""
        if object_name == INVOICE:
            return self.revenue
        return self.cash if any(line.role in _MONEY_ROLES for line in document.lines) else self.general


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """What Tryton has of that which a document names, by the code it is named by."""

    company: Company
    accounts: Mapping[str, Account]
    parties: Mapping[str, Mapping[str, Json]]
    taxes: Mapping[str, Tax]


class Documents(KeptDocuments[Held, Place]):
    """The ledger documents of one connection."""

    def __init__(self, rpc: Rpc, lookups: Lookups, reading: Reading, journals: Journals) -> None:
        super().__init__(
            title="Tryton", reading=reading, place_of=document_place, canonical=canonical, refusal=TrytonRefused
        )
        self._rpc = rpc
        self._lookups = lookups
        self._documents = reading
        self._journals = journals

    def _refused(self, place: str, error: RejectedError) -> Refused:
        if not isinstance(error, TrytonRefused):
            raise error
        return errors.refused(place, error.fault)

    async def _post_late(self, held: Held, record: RecordWrite) -> Held:  # noqa: ARG002  the draft names what it is
        """A draft that was left behind, posted. Raises TrytonRefused."""
        if held.state != "draft":
            return held
        try:
            await self._number_after_the_last(held)
        except TrytonRefused as refusal:
            return self._come_through(await self._held_at(str(held.place)), refusal)
        return await self._posted(held)

    async def _settle(self, held: Held, record: RecordWrite) -> None:
        if record.fields.get("reverses") is not None:
            await self._reconcile_cancelled(held)
        if (settles := record.fields.get("settles")) is not None:
            await self._pay(held, str(settles))

    # -- making --------------------------------------------------------------------------------------------------------

    async def _make(self, spec: ObjectSpec, document: Desired, key: str) -> Held:  # noqa: ARG002  Tryton takes none
        return await self._reversal(spec, document) if document.reverses else await self._made(spec, document)

    async def _made(self, spec: ObjectSpec, document: Desired, *, cancels: Held | None = None) -> Held:
        company = await self._lookups.company(document.company)
        accounts = await self._lookups.accounts(company, [line.account for line in document.lines])
        period = await self._lookups.open_period(company, document.day)
        parties = await self._lookups.parties(document.parties)
        codes = tax_codes(document)
        taxes = await self._lookups.taxes(company, codes) if codes else {}
        settled = await self._known(document.settles, "settles") if document.settles is not None else None
        if cancels is None and spec.name == INVOICE and is_native(document, company, accounts, taxes):
            numbered_on = await self._lookups.last_numbered_on(company, period)
            found = _Found(company=company, accounts=accounts, parties=parties, taxes=taxes)
            place = await self._create_invoice(document, found, numbered_on)
        else:
            about = cancels or settled
            currencies = {line.original_currency for line in document.lines if line.original_currency is not None}
            values = move_values(
                document,
                company=company,
                accounts=accounts,
                parties=parties,
                currencies={code: await self._lookups.currency(code) for code in currencies},
                taxes=taxes,
                journal=await self._lookups.journal(self._journals.of(spec.name, document)),
                period=period.id,
                origin=None if about is None else str(about.place),
            )
            if cancels is not None:
                _name_cancelled(values, cancels)
            place = await self._create(MOVE, values, company, document.key)
        held = await self._posted(await self._read_again(place))
        if document.settles is not None:
            await self._pay(held, document.settles)
        return held

    async def _create_invoice(
        self,
        document: Desired,
        found: _Found,
        numbered_on: date | None,
    ) -> Place:
        party = found.parties[str(document.party)]
        if not party["addresses"]:
            said = f"The party {document.party!r} of Tryton has no address, and an invoice needs one: add it there."
            raise unusable("ADDRESS_MISSING", said, "party")
        values = invoice_values(
            document,
            company=found.company,
            accounts=found.accounts,
            party=party,
            taxes=found.taxes,
            currency=await self._lookups.currency(document.currency),
            journal=await self._lookups.journal(self._journals.revenue),
            numbered_on=max(document.day, numbered_on or document.day),
        )
        return await self._create(INVOICE, values, found.company, document.key)

    @staticmethod
    def _come_through(now: Held | None, refusal: TrytonRefused) -> Held:
        """The document where a request that was given up has posted it meanwhile. Raises TrytonRefused otherwise."""
        if now is None or now.state == "draft":
            raise refusal
        return now

    async def _number_after_the_last(self, draft: Held) -> None:
        """A draft of an invoice that was left behind may have been overtaken by others of later days."""
        if draft.place.model != INVOICE:
            return
        company = await self._lookups.company(draft.row["company."]["party."]["name"])
        day: date = draft.row["accounting_date"] or draft.row["invoice_date"]
        last = await self._lookups.last_numbered_on(company, await self._lookups.open_period(company, day))
        if last is not None and last > draft.row["invoice_date"]:
            change = {"invoice_date": last, "accounting_date": day}
            context = await self._lookups.context(company)
            await self._rpc.call(INVOICE, "write", [draft.place.id], change, context=context)

    async def _create(self, model: str, values: dict[str, Json], company: Company, key: str) -> Place:
        context = await self._lookups.context(company)
        made = await self._rpc.call(model, "create", [values], context=context, correlation_id=key)
        return Place(model, int(made[0]))

    async def _posted(self, held: Held) -> Held:
        """The document once it is in the books. A draft that Tryton does not post is removed. Raises TrytonRefused."""
        context = await self._lookups.context()
        try:
            await self._passing_over("model", held.place.model, "post", [held.place.id], context=context)
        except TrytonRefused as refusal:
            now = await self._held_at(str(held.place))
            if now is None or now.state != "draft":
                return self._come_through(now, refusal)
            await self._rpc.call(held.place.model, "delete", [held.place.id], context=context)
            raise
        return await self._read_again(held.place)

    async def _passing_over(
        self, kind: str, model: str, method: str, *params: Json, context: Mapping[str, Json]
    ) -> Json:
        """A call that may be met with a warning that says nothing new. Raises TrytonRefused for any other."""
        for _ in range(_WARNINGS_MAX):
            try:
                return await self._rpc.call(model, method, *params, context=context, kind=kind)
            except TrytonRefused as refusal:
                key = refusal.fault.warning
                if key is None or key.rpartition(".")[2] not in _PASSED_OVER:
                    raise
                seen = {"user": await self._lookups.user_id(), "name": key, "always": False}
                await self._rpc.call("res.user.warning", "create", [seen], context=context)
        return await self._rpc.call(model, method, *params, context=context, kind=kind)

    # -- settling ------------------------------------------------------------------------------------------------------

    async def _pay(self, held: Held, key: str) -> None:
        """Have a posted document pay or lower another; once nothing is open the lines are reconciled."""
        settled = await self._known(key, "settles")
        if settled.place.model == MOVE:
            group = await self._documents.open_group(settled)
            if len(group) > 1 and balance(group) == 0:
                await self._reconcile([line["id"] for line in group])
            return
        if lines := payable(settled, held.owed):
            _check_open(settled, held, lines)
            context = await self._lookups.context()
            change = {"payment_lines": [["add", lines]]}
            await self._rpc.call(INVOICE, "write", [settled.place.id], change, context=context)
            settled = await self._read_again(settled.place)
        if settled.row["amount_to_pay"] == 0 and settled.state == "posted":
            fields = ["lines_to_pay", "payment_lines"]
            context = await self._lookups.context()
            told = await self._rpc.call(INVOICE, "read", [settled.place.id], fields, context=context)
            await self._reconcile([*told[0]["lines_to_pay"], *told[0]["payment_lines"]])

    async def _reconcile(self, lines: Sequence[int]) -> None:
        await self._wizard("account.move.reconcile_lines", "start", LINE, lines)

    async def _unreconcile(self, held: Held) -> None:
        """Set free what a document on receivables was reconciled with."""
        if lines := [line["id"] for line in held.owed if line["reconciliation"] is not None]:
            await self._wizard("account.move.unreconcile_lines", "unreconcile", LINE, lines)

    async def _wizard(
        self, name: str, state: str, model: str, ids: Sequence[int], data: Mapping[str, Json] | None = None
    ) -> None:
        """Run one state of a wizard on records, as Tryton's own client does."""
        context = await self._lookups.context()
        session = await self._rpc.call(name, "create", context=context, kind="wizard")
        active = {**context, "active_model": model, "active_id": ids[0], "active_ids": list(ids)}
        await self._passing_over("wizard", name, "execute", session[0], dict(data or {}), state, context=active)
        await self._rpc.call(name, "delete", session[0], context=context, kind="wizard")

    # -- cancelling ----------------------------------------------------------------------------------------------------

    async def _reversal(self, spec: ObjectSpec, document: Desired) -> Held:
        """Cancel another document: a native invoice by Tryton's own refund, a move by the move of the books."""
        original = await self._known(str(document.reverses), "reverses")
        if original.place.model == INVOICE and await self._is_refundable(original, document):
            return await self._refund(original, document)
        if original.state == "draft":
            original = await self._posted(original)
        await self._free(original)
        made = await self._made(spec, document, cancels=original)
        await self._reconcile_cancelled(made)
        return await self._read_again(made.place)

    async def _reconcile_cancelled(self, made: Held) -> None:
        """Reconcile what cancels a move with it, on what customers owe."""
        if lines := await self._documents.still_open(made):
            await self._reconcile([line["id"] for line in lines])

    async def _is_refundable(self, original: Held, document: Desired) -> bool:
        """Whether Tryton's own refund can stand on the day of the books: it is numbered by that day, in order.

        Where a later one is numbered already, the move of the books cancels the invoice instead.
        """
        if original.state == "cancelled":
            return True
        company = await self._lookups.company(document.company)
        last = await self._lookups.last_numbered_on(company, await self._lookups.open_period(company, document.day))
        return last is None or last <= document.day

    async def _refund(self, original: Held, document: Desired) -> Held:
        company = await self._lookups.company(document.company)
        if original.state != "cancelled":
            await self._unreconcile(original)
            # A draft is nothing that was ever in the books; it is cancelled as it is posted, so that both are there.
            original = await self._posted(original) if original.state == "draft" else original
            start = {"with_refund": True, "with_refund_allowed": True, "invoice_date": document.day}
            await self._wizard("account.invoice.credit", "credit", INVOICE, [original.place.id], {"start": start})
            original = await self._read_again(original.place)
        found = await self._refund_of(original)
        if found is None or (found.key is not None and found.key != document.key):
            said = f"{original.number} was cancelled in Tryton by {found.number if found else 'something else'}."
            why = f"{said} Look there, then set the document of the books aside."
            raise Unusable(for_a_person("ALREADY_CANCELLED", why))
        if found.key is None:
            signed = {KEY_FIELD[INVOICE]: document.key}
            context = await self._lookups.context(company)
            await self._rpc.call(
                INVOICE, "write", [found.place.id], signed, context=context, correlation_id=document.key
            )
        return await self._read_again(found.place)

    async def _refund_of(self, original: Held) -> Held | None:
        """The native invoice that cancels another."""
        origin = (original.row.get("cancel_move.") or {}).get("origin")
        return None if origin is None else await self._held_at(origin)

    async def _free(self, original: Held) -> None:
        """Take a move that is to be cancelled out of what it pays, so that this is open again."""
        await self._unreconcile(original)
        paying: dict[int, list[int]] = {}
        for line in original.owed:
            if (paid := line.get("invoice_payment.")) is not None:
                paying.setdefault(paid["id"], []).append(line["id"])
        for invoice, lines in paying.items():
            context = await self._lookups.context()
            await self._rpc.call(INVOICE, "write", [invoice], {"payment_lines": [["remove", lines]]}, context=context)

    # -- finding -------------------------------------------------------------------------------------------------------

    async def _read_again(self, place: Place) -> Held:
        held = (await self._reading.at([place])).get(place)
        if held is None:
            raise AnswerLost(f"Tryton does not show {place}, of which it was just told.")
        return held


def _check_open(bill: Held, paying: Held, lines: Sequence[int]) -> None:
    """Tryton takes no more against a bill than is open of it. Raises Unusable where a person has paid it meanwhile."""
    open_amount = bill.row["amount_to_pay"]
    if abs(balance(line for line in paying.owed if line["id"] in lines)) <= abs(open_amount):
        return
    raise Unusable(
        for_a_person(
            "PAID_BY_HAND",
            f"{paying.number or paying.place} in Tryton is to pay {bill.number or bill.place}, of which only "
            f"{plain(open_amount, bill.currency)} is open there: somebody entered a payment by hand. Take that one "
            "back there and redrive this one, or leave it as the customer's credit.",
            "settles",
        )
    )


def _name_cancelled(values: dict[str, Json], cancelled: Held) -> None:
    """Have each line of a cancelling move name the line that it cancels, as Tryton's own do."""
    open_lines = list(cancelled.lines)
    for line in values["lines"][0][1]:
        for other in open_lines:
            sides = (other["account."]["id"], other["debit"], other["credit"])
            if sides == (line["account"], line["credit"], line["debit"]):
                line["origin"] = f"{LINE},{other['id']}"
                open_lines.remove(other)
                break
