"""What people do in Tryton by hand, each as Tryton's own client does it: by its wizards, its warnings clicked away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from accordant.connectors.tryton.rpc import Rpc, TrytonRefused

BOOKS = {"company": 1, "language": "en"}
WARNINGS_MAX = 4


async def wizard(
    rpc: Rpc, name: str, state: str, model: str, ids: Sequence[int], data: Mapping[str, Any] | None = None
) -> None:
    """Carry out one state of a wizard on records."""
    (session, *_) = await rpc.call(name, "create", context=BOOKS, kind="wizard")
    active = {**BOOKS, "active_model": model, "active_id": ids[0] if ids else None, "active_ids": list(ids)}
    for _ in range(WARNINGS_MAX):
        try:
            await rpc.call(name, "execute", session, dict(data or {}), state, context=active, kind="wizard")
        except TrytonRefused as refused:
            if refused.fault.warning is None:
                raise
            users = await rpc.find("res.user", [["login", "=", rpc.user]], ["login"])
            seen = {"user": users[0]["id"], "name": refused.fault.warning, "always": False}
            await rpc.call("res.user.warning", "create", [seen], context=BOOKS)
        else:
            break
    await rpc.call(name, "delete", session, context=BOOKS, kind="wizard")


async def refund(rpc: Rpc, invoice: int, day: date) -> None:
    """Cancel a posted invoice with a credit note."""
    start = {"start": {"with_refund": True, "with_refund_allowed": True, "invoice_date": day}}
    await wizard(rpc, "account.invoice.credit", "credit", "account.invoice", [invoice], start)


async def reverse(rpc: Rpc, move: int) -> None:
    """Cancel a posted move with another."""
    default = {"default": {"description": "Wrong", "reversal": True}}
    await wizard(rpc, "account.move.cancel", "cancel", "account.move", [move], default)


async def merge(rpc: Rpc, source: int, into: int) -> None:
    """Have one party stand for another."""
    ask = {"ask": {"source": source, "destination": into}}
    await wizard(rpc, "party.replace", "replace", "party.party", [], ask)


async def pay(rpc: Rpc, invoice: int, day: date) -> None:
    """Enter that a customer paid an invoice into the bank, and reconcile the two."""
    fields = ["party", "account", "total_amount", "lines_to_pay"]
    (bill,) = await rpc.call("account.invoice", "read", [invoice], fields, context=BOOKS)
    bank = (await rpc.find("account.account", [["code", "=", "1000"]], ["code"], context=BOOKS))[0]["id"]
    journal = (await rpc.find("account.journal", [["code", "=", "CASH"]], ["code"], context=BOOKS))[0]["id"]
    month = [["start_date", "<=", day], ["end_date", ">=", day], ["type", "=", "standard"]]
    period = (await rpc.find("account.period", month, ["name"], context=BOOKS))[0]["id"]
    amount, zero = bill["total_amount"], Decimal(0)
    lines = [
        {"account": bank, "debit": amount, "credit": zero},
        {"account": bill["account"], "party": bill["party"], "debit": zero, "credit": amount},
    ]
    values = {
        "company": 1,
        "journal": journal,
        "period": period,
        "date": day,
        "description": "Paid by transfer",
        "lines": [["create", lines]],
    }
    (move,) = await rpc.call("account.move", "create", [values], context=BOOKS)
    await rpc.call("account.move", "post", [move], context=BOOKS)
    own = [["move", "=", move], ["account", "=", bill["account"]]]
    (paid,) = await rpc.find("account.move.line", own, ["move"], context=BOOKS)
    change = {"payment_lines": [["add", [paid["id"]]]]}
    await rpc.call("account.invoice", "write", [invoice], change, context=BOOKS)
    both = [*bill["lines_to_pay"], paid["id"]]
    await wizard(rpc, "account.move.reconcile_lines", "start", "account.move.line", both)
