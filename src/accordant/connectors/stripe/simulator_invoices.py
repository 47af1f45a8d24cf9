"""The life of an invoice in the Stripe stand-in: drafted, finalized, collected, retried, paid, voided, credited.

Totals are integers; a discount is spread over its lines to the last unit. Next room: `simulator_billing.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

from accordant.connectors.stripe import simulator_payment_shapes, simulator_shapes
from accordant.connectors.stripe.simulator_credits import BillingCredits
from accordant.connectors.stripe.simulator_payments import DAY_S, Payments
from accordant.connectors.stripe.simulator_rounding import half_up
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_taxes import tax_lines

DRAFT_S = 3_600
RETRY_AFTER_DAYS = (3, 5, 7)


class FailureHook(Protocol):
    """Told of every failed try; `exhausted` when Stripe will not try again by itself."""

    def __call__(self, invoice: Record, *, exhausted: bool) -> None: ...


def _nothing_to_tell(_invoice: Record) -> None:
    """An invoice without a subscription concerns nobody else."""


def _no_one_to_tell(invoice: Record, *, exhausted: bool) -> None:
    """An invoice without a subscription concerns nobody else."""


class Invoices:
    """The invoices of one book. What a subscription does about them is told to it through the two hooks."""

    def __init__(self, book: Book, payments: Payments) -> None:
        self.book = book
        self.payments = payments
        self.credits = BillingCredits(book)
        self.on_paid: Callable[[Record], None] = _nothing_to_tell
        self.on_failed: FailureHook = _no_one_to_tell

    # drafting

    def draft(
        self,
        customer: Record,
        *,
        currency: str,
        lines: Sequence[Record],
        billing_reason: str,
        subscription: Record | None = None,
        period: tuple[int, int] | None = None,
        collection_method: str = "charge_automatically",
        given: Mapping[str, Any] | None = None,
    ) -> Record:
        """A draft that nobody has heard of yet: the caller says `invoice.created` when its own order asks for it."""
        book, given = self.book, given or {}
        invoice = simulator_shapes.invoice(
            book.new_id("in"),
            book.now,
            customer_record=customer,
            currency=currency,
            lines=lines,
            billing_reason=billing_reason,
            collection_method=collection_method,
            subscription_record=subscription,
            period=period or (book.now, book.now),
        )
        for line in lines:
            line["invoice"] = invoice["id"]
            if "invoice_item" in line:
                book.get("invoiceitem", line["invoice_item"])["invoice"] = invoice["id"]
        for name in ("description", "metadata", "auto_advance", "footer"):
            if name in given:
                invoice[name] = given[name]
        book.private_of(invoice["id"])["days_until_due"] = given.get("days_until_due")
        self._apply_discounts(invoice, subscription, customer)
        self.total_up(invoice)
        return book.add(invoice)

    def _apply_discounts(self, invoice: Record, subscription: Record | None, customer: Record) -> None:
        holder = subscription if subscription is not None and subscription["discount"] else customer
        discount = holder["discount"]
        if discount is None or (discount["end"] is not None and discount["end"] <= self.book.now):
            return
        private = self.book.private_of(discount["id"])
        if discount["coupon"]["duration"] == "once":
            if private.get("used"):
                return
            private["used"] = True
        invoice["discount"] = discount
        invoice["discounts"] = [discount["id"]]

    def total_up(self, invoice: Record) -> None:
        """Set every total of a draft from its lines and its discount."""
        lines = invoice["lines"]["data"]
        for line in lines:
            line["discount_amounts"] = []
        subtotal = sum(line["amount"] for line in lines)
        off = self._discount_lines(invoice["discount"], [line for line in lines if line["discountable"]])
        on_top, tax = tax_lines(invoice)
        total = subtotal - off + on_top
        discounts = [{"amount": off, "discount": invoice["discount"]["id"]}] if invoice["discount"] else []
        due = max(total, 0)
        invoice.update(
            subtotal=subtotal,
            subtotal_excluding_tax=subtotal - tax + on_top,
            tax=tax if invoice["total_tax_amounts"] else None,
            total=total,
            total_excluding_tax=total - tax,
            total_discount_amounts=discounts,
            amount_due=due,
            amount_remaining=due,
        )
        invoice["lines"]["total_count"] = len(lines)

    @staticmethod
    def _discount_lines(discount: Record | None, lines: Sequence[Record]) -> int:
        """Write the discount into the lines, the last one taking what rounding left; the sum taken off."""
        base = sum(line["amount"] for line in lines)
        if discount is None or base <= 0:
            return 0
        coupon = discount["coupon"]
        if coupon["percent_off"] is not None:
            off = half_up(Fraction(str(coupon["percent_off"])) * base / 100)
        else:
            off = min(coupon["amount_off"], base)
        left = off
        for position, line in enumerate(lines):
            share = left if position == len(lines) - 1 else half_up(Fraction(off * line["amount"], base))
            left -= share
            line["discount_amounts"] = [{"amount": share, "discount": discount["id"]}]
        return off

    def pending_items(self, customer_id: str, currency: str, subscription_id: str | None) -> list[Record]:
        """Invoice items that wait for an invoice of this customer (and, when named, of this subscription)."""
        waiting = self.book.private_of(customer_id).setdefault("pending_items", [])
        mine = [
            item for item in waiting if item["currency"] == currency and item["subscription"] in (None, subscription_id)
        ]
        waiting[:] = [item for item in waiting if item not in mine]
        return mine

    def add_item(self, customer: Record, line: Record, *, invoice: Record | None = None) -> Record:
        """Park a line as an invoice item, or put it on the named draft at once."""
        book = self.book
        item = simulator_shapes.invoice_item(book.new_id("ii"), book.now, customer_id=customer["id"], line=line)
        book.add(item)
        book.private_of(item["id"])["proration_details"] = line["proration_details"]
        if invoice is None:
            book.private_of(customer["id"]).setdefault("pending_items", []).append(item)
            book.say("invoiceitem.created", item)
            return item
        if invoice["status"] != "draft":
            raise SimulatedRefusal(400, f"Invoice {invoice['id']} is {invoice['status']}; only a draft can be edited.")
        invoice["lines"]["data"].append(self.line_of(item, invoice["id"]))
        book.say("invoiceitem.created", item)
        self.total_up(invoice)
        book.say("invoice.updated", invoice, {"lines": None})
        return item

    def delete_item(self, item: Record) -> Record:
        """Take back a line that still waits for its invoice."""
        if item["invoice"] is not None:
            raise SimulatedRefusal(400, f"Invoice item {item['id']} is already on invoice {item['invoice']}.")
        waiting = self.book.private_of(item["customer"]).get("pending_items", [])
        waiting[:] = [one for one in waiting if one is not item]
        self.book.say("invoiceitem.deleted", item)
        self.book.forget("invoiceitem", (item["id"],))
        return {"id": item["id"], "object": "invoiceitem", "deleted": True}

    def line_of(self, item: Record, invoice_id: str | None) -> Record:
        """The invoice line an invoice item becomes."""
        line = simulator_shapes.line_item(
            self.book.new_id("il"),
            amount=item["amount"],
            currency=item["currency"],
            description=item["description"],
            start=item["period"]["start"],
            end=item["period"]["end"],
            price_record=item["price"],
            quantity=item["quantity"],
            subscription_id=item["subscription"],
            subscription_item_id=item.get("subscription_item"),
            invoice_item_id=item["id"],
            proration=item["proration"],
            credited=self.book.private_of(item["id"]).get("proration_details", {}).get("credited_items"),
            discountable=item["discountable"],
        )
        line["invoice"] = item["invoice"] = invoice_id
        return line

    # finalizing and collecting

    def open(self, invoice: Record) -> None:
        """Finalize and collect at once, or an hour from now when the invoice began as an automatic draft."""
        self.finalize(invoice)
        self.collect(invoice)

    def open_later(self, invoice: Record) -> None:
        def due() -> None:
            if invoice["status"] == "draft" and invoice["auto_advance"]:
                self.open(invoice)

        self.book.at(self.book.now + DRAFT_S, due)

    def finalize(self, invoice: Record) -> Record:
        book = self.book
        if invoice["status"] != "draft":
            raise SimulatedRefusal(400, f"Invoice {invoice['id']} is already finalized: {invoice['status']}.")
        customer = book.get("customer", invoice["customer"])
        self.credits.apply_to(invoice)
        due, ending = self._use_balance(invoice, customer)
        sequence = customer["next_invoice_sequence"]
        customer["next_invoice_sequence"] = sequence + 1
        previous = book.change(
            invoice,
            status="open",
            number=f"{customer['invoice_prefix']}-{sequence:04d}",
            starting_balance=customer["balance"],
            ending_balance=ending,
            amount_due=due,
            amount_remaining=due,
            effective_at=book.now,
            hosted_invoice_url=f"https://invoice.stripe.com/i/acct_simulated/{invoice['id']}?s=ap",
            invoice_pdf=f"https://pay.stripe.com/invoice/acct_simulated/{invoice['id']}/pdf?s=ap",
            status_transitions={**invoice["status_transitions"], "finalized_at": book.now},
        )
        if invoice["collection_method"] == "send_invoice":
            days = book.private_of(invoice["id"]).get("days_until_due") or 30
            book.change(invoice, due_date=book.now + days * DAY_S)
        elif due > 0:
            self._open_intent(invoice, customer)
        book.say("invoice.finalized", invoice)
        book.say("invoice.updated", invoice, previous)
        if ending != customer["balance"]:
            book.change(customer, "customer.updated", balance=ending)
        if invoice["collection_method"] == "send_invoice" and due > 0:
            book.say("invoice.sent", invoice)
        return invoice

    @staticmethod
    def _use_balance(invoice: Record, customer: Record) -> tuple[int, int]:
        """What is due and what balance stays: a credit pays first, a negative total becomes credit."""
        total, balance = invoice["total"], customer["balance"]
        if total <= 0:
            return 0, balance + total
        due = max(total + balance, 0)
        return due, balance + total - due

    def _open_intent(self, invoice: Record, customer: Record) -> Record:
        reason = invoice["billing_reason"]
        intent = self.payments.open_intent(
            amount=invoice["amount_remaining"],
            currency=invoice["currency"],
            customer=customer,
            invoice_id=invoice["id"],
            description="Subscription creation" if reason == "subscription_create" else "Subscription update",
        )
        invoice["payment_intent"] = intent["id"]
        link = simulator_payment_shapes.invoice_payment(
            self.book.new_id("inpay"), self.book.now, invoice_record=invoice, intent_id=intent["id"]
        )
        self.book.add(link)
        self.book.private_of(invoice["id"])["payment"] = link
        return intent

    def collect(self, invoice: Record) -> None:
        """What Stripe does by itself after finalizing: nothing due is paid, a card is tried, a sent invoice waits."""
        if invoice["amount_due"] == 0:
            self.settle(invoice, charge=None)
        elif invoice["collection_method"] == "charge_automatically":
            self.attempt(invoice)

    def attempt(self, invoice: Record) -> bool:
        """One try at the customer's card. True when the invoice is paid."""
        book = self.book
        customer = book.get("customer", invoice["customer"])
        intent = (
            book.get("payment_intent", invoice["payment_intent"])
            if invoice["payment_intent"]
            else self._open_intent(invoice, customer)
        )
        intent["amount"] = invoice["amount_remaining"]
        charge = self.payments.attempt(intent, description=intent["description"])
        count = invoice["attempt_count"] + 1
        if charge is not None and charge["status"] == "succeeded":
            invoice.update(attempt_count=count, attempted=True)
            self.settle(invoice, charge=charge)
            return True
        self._note_failure(invoice, charge, count)
        return False

    def _note_failure(self, invoice: Record, charge: Record | None, count: int) -> None:
        book = self.book
        retried = count <= len(RETRY_AFTER_DAYS) and invoice["billing_reason"] != "subscription_create"
        next_at = book.now + RETRY_AFTER_DAYS[count - 1] * DAY_S if retried and invoice["auto_advance"] else None
        previous = book.change(
            invoice,
            attempt_count=count,
            attempted=True,
            charge=charge["id"] if charge else invoice["charge"],
            next_payment_attempt=next_at,
        )
        book.say("invoice.updated", invoice, previous)
        book.say("invoice.payment_failed", invoice)
        customer = book.get("customer", invoice["customer"])
        book.change(customer, "customer.updated", delinquent=True)
        self.on_failed(invoice, exhausted=next_at is None)
        if next_at is not None:
            book.at(next_at, lambda: self._retry(invoice, next_at))

    def _retry(self, invoice: Record, due_at: int) -> None:
        if invoice["status"] == "open" and invoice["next_payment_attempt"] == due_at:
            self.attempt(invoice)

    def settle(self, invoice: Record, *, charge: Record | None, out_of_band: bool = False) -> None:
        """The invoice is paid: by a charge, by balance, by a credit note or outside Stripe."""
        book = self.book
        remaining = invoice["amount_remaining"]
        paid = invoice["amount_paid"] + remaining
        previous = book.change(
            invoice,
            status="paid",
            paid=True,
            paid_out_of_band=out_of_band,
            amount_paid=paid,
            amount_remaining=0,
            attempted=True,
            charge=charge["id"] if charge else invoice["charge"],
            next_payment_attempt=None,
            status_transitions={**invoice["status_transitions"], "paid_at": book.now},
        )
        link = book.private_of(invoice["id"]).get("payment")
        if link is not None and charge is not None:
            link.update(amount_paid=remaining, status="paid")
            link["status_transitions"] = {**link["status_transitions"], "paid_at": book.now}
            if book.api_version != "2024-04-10":
                book.say("invoice_payment.paid", link)
        book.say("invoice.updated", invoice, previous)
        book.say("invoice.paid", invoice)
        book.say("invoice.payment_succeeded", invoice)
        customer = book.get("customer", invoice["customer"])
        if customer["delinquent"]:
            book.change(customer, "customer.updated", delinquent=False)
        self.on_paid(invoice)

    # what a person does

    def pay(self, invoice: Record, *, out_of_band: bool = False) -> Record:
        if invoice["status"] == "draft":
            self.finalize(invoice)
        if invoice["status"] == "paid":
            raise SimulatedRefusal(400, "Invoice is already paid", code="invoice_already_paid")
        if invoice["status"] not in ("open", "uncollectible"):
            raise SimulatedRefusal(400, f"You cannot pay an invoice that is {invoice['status']}.")
        if out_of_band or invoice["amount_due"] == 0:
            self.cancel_intent(invoice)
            self.settle(invoice, charge=None, out_of_band=out_of_band)
        elif not self.attempt(invoice):
            raise SimulatedRefusal(402, "Your card was declined.", code="card_declined", kind="card_error",
                                   decline_code="generic_decline")  # fmt: skip
        return invoice

    def void(self, invoice: Record) -> Record:
        if invoice["status"] not in ("open", "uncollectible"):
            raise SimulatedRefusal(
                400, f"You can only void open or uncollectible invoices; this one is {invoice['status']}."
            )
        self._end(invoice, "void", "voided_at")
        self.credits.give_back(invoice)
        self.cancel_intent(invoice)
        return invoice

    def mark_uncollectible(self, invoice: Record) -> Record:
        if invoice["status"] != "open":
            raise SimulatedRefusal(
                400, f"You can only mark open invoices as uncollectible; this one is {invoice['status']}."
            )
        self._end(invoice, "uncollectible", "marked_uncollectible_at")
        return invoice

    def _end(self, invoice: Record, status: str, stamp: str) -> None:
        book = self.book
        left = 0 if status == "void" else invoice["amount_remaining"]
        previous = book.change(
            invoice,
            status=status,
            amount_remaining=left,
            auto_advance=False,
            next_payment_attempt=None,
            status_transitions={**invoice["status_transitions"], stamp: book.now},
        )
        book.say("invoice.updated", invoice, previous)
        book.say("invoice.voided" if status == "void" else "invoice.marked_uncollectible", invoice)

    def cancel_intent(self, invoice: Record) -> None:
        if invoice["payment_intent"] is None:
            return
        intent = self.book.get("payment_intent", invoice["payment_intent"])
        if intent["status"] in ("succeeded", "canceled"):
            return
        intent.update(status="canceled", canceled_at=self.book.now, cancellation_reason="void_invoice")
        self.book.say("payment_intent.canceled", intent)

    def delete_draft(self, invoice: Record) -> Record:
        if invoice["status"] != "draft":
            raise SimulatedRefusal(400, "You can only delete draft invoices.")
        self.book.say("invoice.deleted", invoice)
        self.book.forget("invoice", (invoice["id"],))
        return {"id": invoice["id"], "object": "invoice", "deleted": True}

    # credit notes

    def credit(
        self,
        invoice: Record,
        *,
        amount: int | None,
        lines: Sequence[Mapping[str, Any]] = (),
        refund_amount: int = 0,
        credit_amount: int = 0,
        out_of_band_amount: int = 0,
        given: Mapping[str, Any] | None = None,
    ) -> Record:
        """Issue a credit note: it lowers what an open invoice asks for, or gives back of what a paid one brought."""
        given = given or {}
        notes = self._credit_lines(invoice, amount, lines)
        total = sum(line["amount"] for line in notes)
        self._check_credit(invoice, total, refund_amount + credit_amount + out_of_band_amount)
        after = invoice["status"] == "paid"
        refund = None
        if after and refund_amount:
            charge = self.book.get("charge", invoice["charge"] or "")
            refund = self.payments.refund(charge, amount=refund_amount, given={})
        sequence = self.book.number(f"credit:{invoice['id']}")
        note = simulator_payment_shapes.credit_note(
            self.book.new_id("cn"),
            self.book.now,
            invoice_record=invoice,
            amount=total,
            number=f"{invoice['number']}-CN-{sequence:02d}",
            kind="post_payment" if after else "pre_payment",
            lines=notes,
            refund_id=refund["id"] if refund else None,
            out_of_band=out_of_band_amount or None,
            given=given,
        )
        self.book.add(note)
        self.book.private_of(note["id"])["credited"] = credit_amount
        self.book.say("credit_note.created", note)
        self._book_credit(invoice, total, credit_amount)
        return note

    @staticmethod
    def _check_credit(invoice: Record, total: int, given_back: int) -> None:
        if invoice["status"] not in ("open", "paid", "uncollectible"):
            raise SimulatedRefusal(400, f"A credit note needs a finalized invoice; this one is {invoice['status']}.")
        if total <= 0:
            raise SimulatedRefusal(400, "A credit note needs an amount above zero.", param="amount")
        if invoice["status"] == "paid":
            left = invoice["total"] - invoice["pre_payment_credit_notes_amount"]
            left -= invoice["post_payment_credit_notes_amount"]
            if given_back != total:
                raise SimulatedRefusal(
                    400,
                    "The sum of credit amount, refund amount and out of band amount must equal the post payment "
                    f"amount of {total}; it is {given_back}.",
                )
        else:
            left = invoice["amount_remaining"]
        if total > left:
            raise SimulatedRefusal(
                400, f"The credit note of {total} is above what is left to credit, {left}.", param="amount"
            )

    def _credit_lines(
        self, invoice: Record, amount: int | None, lines: Sequence[Mapping[str, Any]]
    ) -> tuple[Record, ...]:
        if not lines:
            if amount is None:
                raise SimulatedRefusal(400, "One of amount or lines must be given.", param="amount")
            return (self._credit_line(amount, "Credit", None),)
        made = []
        for line in lines:
            source = line.get("invoice_line_item")
            value = line["amount"] if "amount" in line else line["unit_amount"] * line.get("quantity", 1)
            known = next((entry for entry in invoice["lines"]["data"] if entry["id"] == source), None)
            if source is not None and known is None:
                raise SimulatedRefusal(404, f"No such invoice line: '{source}'", code="resource_missing", param="lines")
            words = line.get("description") or (known["description"] if known else "Credit")
            made.append(self._credit_line(value, words, source))
        return tuple(made)

    def _credit_line(self, amount: int, description: str, source: str | None) -> Record:
        return simulator_payment_shapes.credit_note_line(
            self.book.new_id("cnli"), amount=amount, description=description, invoice_line_id=source
        )

    def _book_credit(self, invoice: Record, total: int, credit_amount: int) -> None:
        book = self.book
        if invoice["status"] == "paid":
            after = invoice["post_payment_credit_notes_amount"] + total
            book.change(invoice, "invoice.updated", post_payment_credit_notes_amount=after)
            if credit_amount:
                customer = book.get("customer", invoice["customer"])
                book.change(customer, "customer.updated", balance=customer["balance"] - credit_amount)
            return
        before = invoice["pre_payment_credit_notes_amount"] + total
        book.change(
            invoice,
            "invoice.updated",
            pre_payment_credit_notes_amount=before,
            amount_due=invoice["amount_due"] - total,
            amount_remaining=invoice["amount_remaining"] - total,
        )
        if invoice["amount_remaining"] == 0 and invoice["status"] == "open":
            self.cancel_intent(invoice)
            self.settle(invoice, charge=None)

    def void_credit(self, note: Record) -> Record:
        book = self.book
        if note["status"] == "void" or note["type"] == "post_payment":
            raise SimulatedRefusal(400, f"Credit note {note['id']} cannot be voided: {note['status']}, {note['type']}.")
        invoice = book.get("invoice", note["invoice"])
        if invoice["status"] != "open":
            raise SimulatedRefusal(400, f"Invoice {invoice['id']} is {invoice['status']}; its credit note stays.")
        previous = book.change(note, status="void", voided_at=book.now)
        book.say("credit_note.voided", note, previous)
        book.change(
            invoice,
            "invoice.updated",
            pre_payment_credit_notes_amount=invoice["pre_payment_credit_notes_amount"] - note["amount"],
            amount_due=invoice["amount_due"] + note["amount"],
            amount_remaining=invoice["amount_remaining"] + note["amount"],
        )
        return note
