"""How money moves in the Stripe stand-in: attempts, refunds, disputes, the balance and its payouts.

Every movement leaves a balance transaction, and a payout takes exactly those it names. Next: `simulator_invoices.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from accordant.connectors.stripe import simulator_payment_shapes as shapes
from accordant.connectors.stripe.simulator_cash import CashBalances
from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal

DAY_S = 86_400
FUNDS_AFTER_S = 2 * DAY_S
PAYOUT_TRAVEL_S = 2 * DAY_S
DISPUTE_FEE = 1_500
_DECLINES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "generic_decline": "Your card was declined.",
}


class Payments:
    """The payment side of one book. Amounts are integers of the currency's minor unit."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._unpaid_out: dict[str, list[Record]] = {}
        self.cash = CashBalances(book)

    # cards

    def attach_card(self, customer: Record) -> Record:
        """Give the customer a working card and make it the default for invoices."""
        book = self.book
        method = shapes.payment_method(
            book.new_id("pm"), book.now, customer_id=customer["id"], name=customer["name"], email=customer["email"]
        )
        book.add(method)
        book.say("payment_method.attached", method)
        self.set_default(customer, method["id"])
        return method

    def set_default(self, customer: Record, method_id: str | None) -> None:
        settings = {**customer["invoice_settings"], "default_payment_method": method_id}
        self.book.change(customer, "customer.updated", invoice_settings=settings)

    def set_card(self, customer_id: str, *, failing: bool, decline_code: str = "insufficient_funds") -> None:
        private = self.book.private_of(customer_id)
        private["failing"] = decline_code if failing else None

    def decline_next(self, customer_id: str, times: int = 1, decline_code: str = "insufficient_funds") -> None:
        private = self.book.private_of(customer_id)
        private["declines"] = times
        private["decline_code"] = decline_code

    def _decline_code(self, customer_id: str) -> str | None:
        private = self.book.private_of(customer_id)
        if private.get("declines", 0) > 0:
            private["declines"] -= 1
            code: str = private["decline_code"]
            return code
        failing: str | None = private.get("failing")
        return failing

    # attempts

    def open_intent(
        self, *, amount: int, currency: str, customer: Record, invoice_id: str | None, description: str | None = None
    ) -> Record:
        book = self.book
        intent = shapes.payment_intent(
            book.new_id("pi"),
            book.now,
            amount=amount,
            currency=currency,
            customer_id=customer["id"],
            invoice_id=invoice_id,
            method=customer["invoice_settings"]["default_payment_method"],
        )
        intent["description"] = description
        book.add(intent)
        book.say("payment_intent.created", intent)
        return intent

    def attempt(self, intent: Record, *, description: str | None) -> Record | None:
        """Try the customer's cash, else the default card once. The charge (succeeded or failed), or None when there is
        neither.
        """
        book = self.book
        customer = book.get("customer", intent["customer"])
        intent["payment_method"] = customer["invoice_settings"]["default_payment_method"]
        cash = self.cash.take_for(intent)
        if cash is None and intent["payment_method"] is None:
            return None
        decline = None if cash is not None else self._decline_code(customer["id"])
        charge = shapes.charge(
            book.new_id("ch"),
            book.now,
            intent=intent,
            customer_record=customer,
            description=description,
            decline_code=decline,
        )
        if cash is not None:
            charge["payment_method_details"] = {"customer_balance": {}, "type": "customer_balance"}
        book.add(charge)
        intent["latest_charge"] = charge["id"]
        if decline is None:
            self._collect(intent, charge)
        else:
            self._refuse(intent, charge, decline)
        return charge

    def _collect(self, intent: Record, charge: Record) -> None:
        book = self.book
        transaction = self._move(
            amount=charge["amount"],
            fee=self.fee_of(charge["amount"]),
            currency=charge["currency"],
            kind="charge",
            source=charge["id"],
            description=charge["description"],
        )
        charge["balance_transaction"] = transaction["id"]
        book.say("charge.succeeded", charge)
        intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None)
        book.say("payment_intent.succeeded", intent)

    def _refuse(self, intent: Record, charge: Record, decline: str) -> None:
        book = self.book
        charge["failure_message"] = _DECLINES.get(decline, _DECLINES["generic_decline"])
        book.say("charge.failed", charge)
        intent.update(
            status="requires_payment_method",
            last_payment_error={
                "charge": charge["id"],
                "code": "card_declined",
                "decline_code": decline,
                "doc_url": "https://stripe.com/docs/error-codes/card-declined",
                "message": charge["failure_message"],
                "type": "card_error",
            },
        )
        book.say("payment_intent.payment_failed", intent)

    @staticmethod
    def fee_of(amount: int) -> int:
        """2.9 % and 30 minor units, rounded half up."""
        return (amount * 29 + 500) // 1000 + 30

    def _move(
        self,
        *,
        amount: int,
        fee: int,
        currency: str,
        kind: str,
        source: str,
        description: str | None,
        wait: bool = True,
    ) -> Record:
        book = self.book
        available_on = book.now + FUNDS_AFTER_S if wait else book.now
        transaction = shapes.balance_transaction(
            book.new_id("txn"),
            book.now,
            amount=amount,
            fee=fee,
            currency=currency,
            kind=kind,
            source=source,
            description=description,
            available_on=available_on,
        )
        book.add(transaction)
        if kind != "payout":
            self._unpaid_out.setdefault(currency, []).append(transaction)
        if wait:
            book.at(available_on, lambda: transaction.update(status="available"))
        return transaction

    # refunds

    def refund(self, charge: Record, *, amount: int | None, given: Mapping[str, Any]) -> Record:
        book = self.book
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left <= 0:
            raise SimulatedRefusal(
                400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
            )
        if charge["disputed"]:
            raise SimulatedRefusal(400, f"Charge {charge['id']} has been charged back.", code="charge_disputed")
        wanted = left if amount is None else amount
        if wanted <= 0:
            raise SimulatedRefusal(400, "Invalid positive integer", param="amount", code="parameter_invalid_integer")
        if wanted > left:
            raise SimulatedRefusal(
                400,
                f"Refund amount ({wanted}) is greater than unrefunded amount on charge ({left})",
                param="amount",
                code="amount_too_large",
            )
        refund = shapes.refund(book.new_id("re"), book.now, amount=wanted, charge_record=charge, given=given)
        transaction = self._move(
            amount=-wanted,
            fee=0,
            currency=charge["currency"],
            kind="refund",
            source=refund["id"],
            description=f"REFUND FOR CHARGE ({charge['description']})",
        )
        refund["balance_transaction"] = transaction["id"]
        book.add(refund)
        refunded = charge["amount_refunded"] + wanted
        previous = book.change(charge, amount_refunded=refunded, refunded=refunded == charge["amount_captured"])
        book.say("charge.refunded", charge, previous)
        book.say("refund.created", refund)
        return refund

    # disputes

    def open_dispute(self, charge: Record, *, reason: str = "fraudulent") -> Record:
        book = self.book
        if charge["status"] != "succeeded" or charge["disputed"]:
            raise SimulatedRefusal(
                400, f"Charge {charge['id']} cannot be disputed: it failed or it is disputed already."
            )
        dispute = shapes.dispute(book.new_id("dp"), book.now, charge_record=charge, reason=reason)
        book.add(dispute)
        book.change(charge, "charge.updated", disputed=True)
        book.say("charge.dispute.created", dispute)
        self._dispute_movement(dispute, -dispute["amount"], DISPUTE_FEE, "Chargeback withdrawal")
        book.say("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def submit_evidence(self, dispute: Record, evidence: Mapping[str, Any], *, submit: bool) -> Record:
        details = {**dispute["evidence_details"], "has_evidence": True}
        if submit:
            details["submission_count"] += 1
        self.book.change(
            dispute,
            "charge.dispute.updated",
            evidence={**dispute["evidence"], **evidence},
            evidence_details=details,
            status="under_review" if submit else dispute["status"],
        )
        return dispute

    def close_dispute(self, dispute: Record, *, won: bool) -> Record:
        book = self.book
        if dispute["status"] in ("won", "lost"):
            raise SimulatedRefusal(400, f"Dispute {dispute['id']} is already closed: {dispute['status']}.")
        previous = book.change(dispute, status="won" if won else "lost")
        book.say("charge.dispute.closed", dispute, previous)
        if won:
            self._dispute_movement(dispute, dispute["amount"], 0, "Chargeback reversal")
            book.say("charge.dispute.funds_reinstated", dispute)
        return dispute

    def _dispute_movement(self, dispute: Record, amount: int, fee: int, words: str) -> None:
        transaction = self._move(
            amount=amount,
            fee=fee,
            currency=dispute["currency"],
            kind="adjustment",
            source=dispute["id"],
            description=f"{words} for {dispute['charge']}",
        )
        dispute["balance_transactions"] = [*dispute["balance_transactions"], transaction]

    # payouts

    def available(self, currency: str) -> tuple[Record, ...]:
        """Balance transactions that may leave now and have not left."""
        now = self.book.now
        return tuple(entry for entry in self._unpaid_out.get(currency, ()) if entry["available_on"] <= now)

    def currencies(self) -> Sequence[str]:
        return tuple(self._unpaid_out)

    def balance_of(self, currency: str) -> tuple[int, int]:
        """Available and pending, net of fees."""
        available = sum(entry["net"] for entry in self.available(currency))
        return available, sum(entry["net"] for entry in self._unpaid_out.get(currency, ())) - available

    def create_payout(self, currency: str, *, automatic: bool = True, amount: int | None = None) -> Record | None:
        """Pay out everything available in one currency; None when nothing positive is there.

        A manual payout of an amount belongs to no transaction, as at Stripe: `reconciliation_status` says so.
        """
        book = self.book
        entries = self.available(currency)
        balance = sum(entry["net"] for entry in entries)
        wanted = balance if amount is None else amount
        if wanted <= 0:
            return None
        if wanted > balance:
            raise SimulatedRefusal(
                400, "You have insufficient funds in your Stripe account.", code="balance_insufficient", param="amount"
            )
        payout = shapes.payout(
            book.new_id("po"),
            book.now,
            amount=wanted,
            currency=currency,
            arrival_date=book.now + PAYOUT_TRAVEL_S,
            automatic=automatic,
        )
        movement = self._move(
            amount=-wanted,
            fee=0,
            currency=currency,
            kind="payout",
            source=payout["id"],
            description="STRIPE PAYOUT",
            wait=False,
        )
        payout["balance_transaction"] = movement["id"]
        book.add(payout)
        if amount is None:
            self._hand_over(payout, (*entries, movement), currency)
        else:
            self._unpaid_out.setdefault(currency, []).append(movement)
        book.say("payout.created", payout)
        book.at(payout["arrival_date"], lambda: self._arrive(payout))
        return payout

    def _hand_over(self, payout: Record, entries: Sequence[Record], currency: str) -> None:
        gone = {entry["id"] for entry in entries}
        self._unpaid_out[currency] = [entry for entry in self._unpaid_out.get(currency, ()) if entry["id"] not in gone]
        self.book.private_of(payout["id"])["transactions"] = tuple(entry["id"] for entry in entries)

    def transactions_of(self, payout_id: str) -> tuple[str, ...]:
        found: tuple[str, ...] = self.book.private_of(payout_id).get("transactions", ())
        return found

    def _arrive(self, payout: Record) -> None:
        book = self.book
        if payout["status"] != "in_transit":
            return
        book.change(payout, "payout.updated", status="paid")
        book.say("payout.paid", payout)
        if payout["automatic"]:
            book.change(payout, "payout.updated", reconciliation_status="completed")
            book.say("payout.reconciliation_completed", payout)

    def fail_payout(self, payout: Record, *, code: str = "account_closed") -> Record:
        """The bank sends it back: the money returns to the balance under its own transaction."""
        book = self.book
        if payout["status"] not in ("in_transit", "paid"):
            raise SimulatedRefusal(400, f"Payout {payout['id']} is {payout['status']} and cannot fail.")
        back = self._move(
            amount=payout["amount"],
            fee=0,
            currency=payout["currency"],
            kind="payout_failure",
            source=payout["id"],
            description="PAYOUT FAILURE",
            wait=False,
        )
        previous = book.change(
            payout,
            status="failed",
            failure_code=code,
            failure_message="The bank account has been closed.",
            failure_balance_transaction=back["id"],
        )
        book.say("payout.failed", payout, previous)
        return payout
