"""Customers' cash balances in the Stripe stand-in: what they transfer to a virtual account, and what it pays.

Source: https://docs.stripe.com/payments/customer-balance. Next: `simulator_payments.py`, which takes from it.
"""

from typing import Any

from accordant.connectors.stripe.simulator_state import Book, Record


class CashBalances:
    """What customers have at the account, in integers of the currency's minor unit."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def balance(self, customer_id: str, currency: str) -> int:
        """What is there and pays nothing yet."""
        held: int = self.book.private_of(customer_id).get("cash", {}).get(currency, 0)
        return held

    def fund(self, customer_id: str, *, amount: int, currency: str, reference: str, sender: str) -> Record:
        """A transfer comes in from the customer's bank."""
        bank = {"bic": "BANKDEAAXXX", "iban_last4": "7089", "sender_name": sender}
        transfer = {"eu_bank_transfer": bank, "reference": reference, "type": "eu_bank_transfer"}
        return self._move(customer_id, currency, amount, "funded", funded={"bank_transfer": transfer})

    def take_for(self, intent: Record) -> Record | None:
        """Pay for an intent where the whole of it is there; None where it is not."""
        if intent["amount"] > self.balance(intent["customer"], intent["currency"]):
            return None
        applied = {"payment_intent": intent["id"]}
        return self._move(
            intent["customer"], intent["currency"], -intent["amount"], "applied_to_payment", applied_to_payment=applied
        )

    def _move(self, customer_id: str, currency: str, amount: int, kind: str, **more: Any) -> Record:
        book = self.book
        cash = book.private_of(customer_id).setdefault("cash", {})
        cash[currency] = cash.get(currency, 0) + amount
        movement: Record = {
            "id": book.new_id("ccsbtxn"),
            "object": "customer_cash_balance_transaction",
            "created": book.now,
            "currency": currency,
            "customer": customer_id,
            "ending_balance": cash[currency],
            "livemode": False,
            "net_amount": amount,
            "type": kind,
            **more,
        }
        book.add(movement)
        book.say("customer_cash_balance_transaction.created", movement)
        return movement
