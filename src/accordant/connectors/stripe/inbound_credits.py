"""Billing credits in Stripe's words: a grant, whose metadata names its bill, and what is drawn, ends or comes back.
Source: docs.stripe.com/api/billing/credit-grant and docs.stripe.com/api/billing/credit-balance-transaction.
Next: `ledger/meanings/prepaid.py`.
"""

from accordant.canonical.events import EventType, business_event
from accordant.canonical.observations import Interpreted
from accordant.canonical.refs import ExternalRef
from accordant.connectors.sdk.decode import JsonObject
from accordant.connectors.stripe import shapes
from accordant.connectors.stripe.inbound_changes import Notice
from accordant.connectors.stripe.shapes import Unfit
from accordant.kernel.money import Money

#: The key of a grant's metadata that names the bill that sold it.
SOLD_BY = "invoice"
_GRANT = "credit_grant"
_DEBITS = frozenset(("credits_applied", "credits_expired", "credits_voided"))
_REINSTATED = "credits_application_invoice_voided"
_CREDITS = frozenset(("credits_granted", _REINSTATED))


def granted(notice: Notice) -> Interpreted:
    """Credits were granted; said again once somebody names the bill that sold them."""
    part, system = notice.part, notice.system
    _check_object(part, "billing.credit_grant")
    bill = shapes.texts(part, "metadata").get(SOLD_BY) or None
    customer = shapes.required_reference(part, "customer")
    event = business_event(
        EventType.CREDITS_GRANTED,
        subject=ExternalRef(system, _GRANT, shapes.identifier(part)),
        root=ExternalRef(system, "customer", customer) if bill is None else ExternalRef(system, "invoice", bill),
        occurred_at=shapes.instant(part, "created"),
        change=bill or "",
        amount=_amount(part),
        note=shapes.text_or_none(part, "category"),
    )
    return Interpreted((), (event,))


def moved(notice: Notice) -> Interpreted:
    """Credits were applied to a bill, expired or were voided: drawn. Those of a bill that is void came back."""
    part, system = notice.part, notice.system
    _check_object(part, "billing.credit_balance_transaction")
    side = shapes.word(part, "type", frozenset(("debit", "credit")))
    details = shapes.inner(part, side)
    try:
        kind = shapes.word(details, "type", _DEBITS if side == "debit" else _CREDITS)
        amount = _amount(details)
    except Unfit as error:
        raise error.below(side) from None
    if side == "credit" and kind != _REINSTATED:
        return Interpreted(())
    grant = ExternalRef(system, _GRANT, shapes.required_reference(part, "credit_grant"))
    event = business_event(
        EventType.CREDITS_DRAWN,
        subject=grant,
        root=grant,
        occurred_at=shapes.instant(part, "effective_at"),
        change=shapes.identifier(part),
        amount=amount if side == "debit" else Money(-amount.amount_minor, amount.currency),
        note=kind,
    )
    return Interpreted((), (event,))


def _check_object(part: JsonObject, kind: str) -> None:
    if part.get("object") != kind:
        raise Unfit(f"The object is no {kind}.", where="object")


def _amount(part: JsonObject) -> Money:
    """Above zero always; Stripe has no credits other than money."""
    try:
        monetary = shapes.inner(shapes.inner(part, "amount"), "monetary")
        return shapes.money(monetary, "value", shapes.currency(monetary))
    except Unfit as error:
        raise error.below("amount.monetary") from None
