"""Billing credits in the Stripe stand-in: grants, and what metered lines of invoices draw of them, oldest grant first.

Kept small: credits apply to invoices without tax, of any metered price, and a grant is in force at once. Source:
docs.stripe.com/billing/subscriptions/usage-based/billing-credits. Next: `simulator_invoices.py`, which draws.
"""

from typing import Any

from accordant.connectors.stripe.simulator_state import Book, Record, SimulatedRefusal
from accordant.connectors.stripe.simulator_versions import PINNED


class BillingCredits:
    """The grants of one book, in integers of the currency's minor unit."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def grant(
        self, customer_id: str, *, amount: int, currency: str, sold_by: str | None = None, expires_at: int | None = None
    ) -> Record:
        """Grant credits: paid where ``sold_by`` is the invoice that sold them, else for nothing."""
        book = self.book
        if book.api_version == PINNED:
            raise SimulatedRefusal(400, f"The version {PINNED} has no billing credits.")
        grant: Record = {
            "id": book.new_id("credgr"),
            "object": "billing.credit_grant",
            "amount": _money(amount, currency),
            "applicability_config": {"scope": {"price_type": "metered"}},
            "category": "promotional" if sold_by is None else "paid",
            "created": book.now,
            "customer": customer_id,
            "effective_at": book.now,
            "expires_at": expires_at,
            "livemode": False,
            "metadata": {} if sold_by is None else {"invoice": sold_by},
            "name": None,
            "priority": 50,
            "updated": book.now,
            "voided_at": None,
        }
        book.add(grant)
        book.private_of(grant["id"])["left"] = amount
        book.say("billing.credit_grant.created", grant)
        self._move(grant, amount, "credit", "credits_granted")
        if expires_at is not None:
            book.at(expires_at, lambda: self._end(grant, "credits_expired"))
        return grant

    def void(self, grant: Record) -> None:
        """Nothing more is drawn of it."""
        now = self.book.now
        self.book.change(grant, "billing.credit_grant.updated", voided_at=now, updated=now)
        self._end(grant, "credits_voided")

    def apply_to(self, invoice: Record) -> None:
        """Lower a draft by what its customer has: before its balance and any payment."""
        if invoice["total_tax_amounts"]:
            return
        found = self.book.table("billing.credit_grant").values()
        for grant in (one for one in found if one["customer"] == invoice["customer"]):
            if grant["amount"]["monetary"]["currency"] == invoice["currency"]:
                for line in invoice["lines"]["data"]:
                    self._apply_to_line(grant, invoice, line)

    def _apply_to_line(self, grant: Record, invoice: Record, line: Record) -> None:
        price = line["price"] or {}
        if (price.get("recurring") or {}).get("usage_type") != "metered":
            return
        off = sum(one["amount"] for one in (*line["discount_amounts"], *line.get("pretax_credit_amounts", ())))
        amount = min(self.left(grant), line["amount"] - off)
        if amount <= 0:
            return
        applied = {"invoice": invoice["id"], "invoice_line_item": line["id"]}
        moved = self._move(grant, -amount, "debit", "credits_applied", credits_applied=applied)
        credit = {"amount": amount, "credit_balance_transaction": moved["id"], "type": "credit_balance_transaction"}
        line["pretax_credit_amounts"] = [*line.get("pretax_credit_amounts", ()), credit]
        invoice["total_pretax_credit_amounts"] = [*invoice.get("total_pretax_credit_amounts", ()), credit]
        for name in ("total", "total_excluding_tax", "amount_due", "amount_remaining"):
            invoice[name] -= amount

    def give_back(self, invoice: Record) -> None:
        """What paid an invoice that is void is there again; of a grant that has ended it is lost."""
        for credit in invoice.get("total_pretax_credit_amounts", ()):
            moved = self.book.get("billing.credit_balance_transaction", credit["credit_balance_transaction"])
            grant = self.book.get("billing.credit_grant", moved["credit_grant"])
            if "ended" not in self.book.private_of(grant["id"]):
                kind = "credits_application_invoice_voided"
                named = {kind: moved["debit"]["credits_applied"]}
                self._move(grant, credit["amount"], "credit", kind, **named)

    def left(self, grant: Record) -> int:
        """What of a grant can still be drawn."""
        left: int = self.book.private_of(grant["id"])["left"]
        return left

    def _end(self, grant: Record, kind: str) -> None:
        self.book.private_of(grant["id"])["ended"] = True
        if self.left(grant):
            self._move(grant, -self.left(grant), "debit", kind)

    def _move(self, grant: Record, amount: int, side: str, kind: str, **more: Any) -> Record:
        book = self.book
        if kind != "credits_granted":
            book.private_of(grant["id"])["left"] += amount
        movement: Record = {
            "id": book.new_id("cbtxn"),
            "object": "billing.credit_balance_transaction",
            "created": book.now,
            "credit": None,
            "credit_grant": grant["id"],
            "debit": None,
            "effective_at": book.now,
            "livemode": False,
            "type": side,
            side: {"amount": _money(abs(amount), grant["amount"]["monetary"]["currency"]), "type": kind, **more},
        }
        book.add(movement)
        book.say("billing.credit_balance_transaction.created", movement)
        return movement


def _money(amount: int, currency: str) -> Record:
    return {"monetary": {"currency": currency.lower(), "value": amount}, "type": "monetary"}
