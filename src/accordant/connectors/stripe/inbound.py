"""The interpreter's room for Stripe: one signed body in, what it says in the hub's words out. Pure; makes no call.
Guarantees: any authentic body becomes Interpreted, Parked or Quarantined with its place, and never an exception.
Open the table HANDLERS first; entities are built in inbound_billing.py and inbound_money.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.canonical.entities import Entity
from accordant.canonical.events import BusinessEvent, EventType, business_event
from accordant.canonical.observations import (
    Interpretation,
    Interpreted,
    Observation,
    Parked,
    Quarantined,
    Standpoint,
)
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.connectors.sdk.decode import JsonObject, PayloadMalformed, decode_object
from accordant.connectors.sdk.signatures import verify_signature
from accordant.connectors.stripe import inbound_billing as billing
from accordant.connectors.stripe import inbound_changes as changes
from accordant.connectors.stripe import inbound_credits as billing_credits
from accordant.connectors.stripe import inbound_money as money
from accordant.connectors.stripe import shapes
from accordant.connectors.stripe.envelope import OF_CHARGE, read_envelope
from accordant.connectors.stripe.inbound_changes import Notice, Rule
from accordant.connectors.stripe.settlement import SETTLED, interpret_settlement
from accordant.connectors.stripe.shapes import Unfit
from accordant.connectors.stripe.signature import SCHEME
from accordant.kernel.errors import RejectedError
from accordant.kernel.money import Money
from accordant.ports.connector import Envelope

#: Stripe's word for an object -> the entity it becomes.
BUILDERS: dict[str, Callable[[JsonObject], Entity]] = {
    "customer": billing.account,
    "product": billing.product,
    "price": billing.price,
    "subscription": billing.subscription,
    "invoice": billing.invoice,
    "credit_note": billing.credit_note,
    "charge": money.payment,
    "refund": money.refund,
    "dispute": money.dispute,
    "payout": money.payout,
    "balance_transaction": money.balance_movement,
}
#: Stripe's word for an object that can be a root -> what it is in the hub.
_ROOT_KINDS: dict[str, EntityKind] = {
    "customer": EntityKind.ACCOUNT,
    "product": EntityKind.PRODUCT,
    "price": EntityKind.PRICE,
    "subscription": EntityKind.SUBSCRIPTION,
    "invoice": EntityKind.INVOICE,
    "credit_note": EntityKind.CREDIT_NOTE,
    "charge": EntityKind.PAYMENT,
    "refund": EntityKind.REFUND,
    "dispute": EntityKind.DISPUTE,
    "payout": EntityKind.PAYOUT,
    "balance_transaction": EntityKind.BALANCE_MOVEMENT,
}
_OF_CUSTOMER = frozenset(("subscription", "invoice", "credit_note", "charge"))
CASH_MOVEMENT = "customer_cash_balance_transaction"
_DELETABLE = frozenset(("customer", "product", "price"))

Handler = Callable[[Notice], Interpreted]


def _root(system: str, kind: str, part: JsonObject) -> ExternalRef:
    """The customer where the object names one, its charge for what only names that, else the object itself."""
    if kind in _OF_CUSTOMER:
        customer = shapes.reference(part, "customer")
    elif kind in OF_CHARGE:
        customer = money.customer_of_charged(part)
        charge = shapes.reference(part, "charge")
        if customer is None and charge is not None:
            return ExternalRef(system, "charge", charge)
    else:
        customer = None
    if customer is not None:
        return ExternalRef(system, "customer", customer)
    return ExternalRef(system, kind, shapes.identifier(part))


def _observe(notice: Notice, kind: str, part: JsonObject, root: ExternalRef | None = None) -> Observation:
    if part.get("object", kind) != kind:
        raise Unfit(f"The object is a {str(part['object'])[:60]!r}; {kind} is expected.", where="object")
    root = root or _root(notice.system, kind, part)
    return Observation(
        ref=ExternalRef(notice.system, kind, shapes.identifier(part)),
        root=root,
        root_kind=_ROOT_KINDS[root.object_type],
        entity=BUILDERS[kind](part),
        observed_at=notice.occurred_at,
        # Nothing precedes the notice of a creation: that orders it against whatever else its second brought.
        standpoint=Standpoint.CREATION if notice.type.endswith(".created") else Standpoint.NOTICE,
    )


def _happened(notice: Notice, observation: Observation, rules: Sequence[Rule]) -> Iterator[BusinessEvent]:
    for rule in rules:
        for happening in rule(notice, observation.entity):
            yield business_event(
                happening.type,
                subject=observation.ref,
                root=observation.root,
                occurred_at=happening.occurred_at,
                change=happening.change,
                amount=happening.amount,
                note=happening.note,
            )


def _says(kind: str, *rules: Rule) -> Handler:
    """The notice carries an object of this kind; the rules say what happened to it."""

    def handle(notice: Notice) -> Interpreted:
        observation = _observe(notice, kind, notice.part)
        return Interpreted((observation,), tuple(_happened(notice, observation, rules)))

    return handle


def _deleted(kind: str) -> Handler:
    """The object is gone; the notice carries its last state, or only its id."""

    def handle(notice: Notice) -> Interpreted:
        observation = _observe(notice, kind, notice.part)
        gone = msgspec.structs.replace(observation.entity, deleted=True)
        return Interpreted((msgspec.structs.replace(observation, entity=gone),))

    return handle


def _cash_moved(notice: Notice) -> Interpreted:
    """A movement on a customer's virtual account. It is said once and never changes, so nobody reads it again."""
    movement = money.cash_movement(notice.part)
    observation = Observation(
        ref=ExternalRef(notice.system, CASH_MOVEMENT, movement.external_id),
        root=ExternalRef(notice.system, "customer", movement.customer_id),
        entity=movement,
        observed_at=notice.occurred_at,
        standpoint=Standpoint.CREATION,
    )
    return Interpreted((observation,))


def _nothing(_notice: Notice) -> Interpreted:
    """Understood: it says nothing that the hub keeps, or nothing that another notice does not say as well."""
    return Interpreted(())


def _charge_refunded(notice: Notice) -> Interpreted:
    """Besides the charge, older versions carry its refunds; each is named by itself, so refund.created adds none."""
    charge = _observe(notice, "charge", notice.part)
    observations = [charge]
    events: list[BusinessEvent] = []
    for index, part in enumerate(shapes.objects(notice.part, "refunds")):
        try:
            refund = _observe(notice, "refund", part, charge.root)
        except Unfit as error:
            raise error.below(f"refunds.data[{index}]") from None
        observations.append(refund)
        events.extend(_happened(notice, refund, (changes.refund_issued,)))
    return Interpreted(tuple(observations), tuple(events))


def _allocated(notice: Notice) -> Interpreted:
    """Which bill a payment pays: since 2025-03-31 no charge says so itself, and only this event does."""
    part, system = notice.part, notice.system
    bill, paid = shapes.reference(part, "invoice"), shapes.inner(part, "payment")
    # Money recorded from elsewhere is told by the invoice itself.
    named = shapes.reference(paid, "payment_intent") or shapes.reference(paid, "charge")
    if bill is None or named is None:
        return Interpreted(())
    minor = shapes.minor_or_none(part, "amount_paid", shapes.currency(part))
    allocated = business_event(
        EventType.PAYMENT_ALLOCATED,
        subject=ExternalRef(system, "payment_intent", named),
        root=ExternalRef(system, "invoice", bill),
        occurred_at=notice.occurred_at,
        change=bill,
        amount=None if minor is None else Money(minor, shapes.currency(part)),
    )
    return Interpreted((), (allocated,))


def _settled(notice: Notice) -> Interpreted:
    """No event of Stripe's: its list of what a payout settled, kept like one."""
    return interpret_settlement(notice.system, notice.part)


#: Every event type that is understood -> what is taken from it. The manifest lists the same types; a test compares.
HANDLERS: dict[str, Handler] = {
    "balance.available": _nothing,
    "billing.credit_balance_transaction.created": billing_credits.moved,
    "billing.credit_grant.created": billing_credits.granted,
    "billing.credit_grant.updated": billing_credits.granted,
    "charge.captured": _says("charge", changes.payment_applied),
    "charge.dispute.closed": _says("dispute", changes.dispute_closed),
    "charge.dispute.created": _says("dispute", changes.dispute_opened),
    "charge.dispute.funds_reinstated": _says("dispute"),
    "charge.dispute.funds_withdrawn": _says("dispute"),
    "charge.dispute.updated": _says("dispute"),
    "charge.expired": _says("charge"),
    "charge.failed": _says("charge", changes.payment_failed),
    "charge.pending": _says("charge"),
    "charge.refund.updated": _says("refund", changes.refund_issued),
    "charge.refunded": _charge_refunded,
    "charge.succeeded": _says("charge", changes.payment_applied),
    "charge.updated": _says("charge"),
    "coupon.created": _nothing,  # what a coupon does is said by the subscription that has it
    "coupon.deleted": _nothing,
    "coupon.updated": _nothing,
    "credit_note.created": _says("credit_note", changes.credit_approved),
    "credit_note.updated": _says("credit_note"),
    "credit_note.voided": _says("credit_note"),
    "customer.created": _says("customer", changes.customer_created),
    "customer.deleted": _deleted("customer"),
    # The customer itself is announced when its default way to pay, its discount or its tax ids change what we keep.
    "customer.discount.created": _nothing,
    "customer.discount.deleted": _nothing,
    "customer.discount.updated": _nothing,
    "customer.source.created": _nothing,
    "customer.source.deleted": _nothing,
    "customer.source.expiring": _nothing,
    "customer.source.updated": _nothing,
    "customer.subscription.created": _says("subscription", changes.subscription_activated),
    "customer.subscription.deleted": _says("subscription", changes.subscription_cancelled),
    "customer.subscription.paused": _says("subscription"),
    "customer.subscription.pending_update_applied": _says("subscription", changes.contract_amended),
    "customer.subscription.pending_update_expired": _says("subscription"),
    "customer.subscription.resumed": _says("subscription"),
    "customer.subscription.trial_will_end": _says("subscription"),
    "customer.subscription.updated": _says(
        "subscription", changes.subscription_activated, changes.subscription_cancelled, changes.contract_amended
    ),
    "customer.tax_id.created": _nothing,
    "customer.tax_id.deleted": _nothing,
    "customer.tax_id.updated": _nothing,
    "customer.updated": _says("customer"),
    "customer_cash_balance_transaction.created": _cash_moved,
    "invoice.created": _says("invoice"),
    "invoice.deleted": _deleted("invoice"),
    "invoice.finalization_failed": _says("invoice"),
    "invoice.finalized": _says("invoice", changes.invoice_issued, changes.balance_applied),
    "invoice.marked_uncollectible": _says("invoice", changes.invoice_written_off),
    "invoice.overdue": _says("invoice"),
    "invoice.paid": _says("invoice", changes.invoice_paid_elsewhere),
    "invoice.payment_action_required": _says("invoice", changes.attempt_without_charge),
    "invoice.payment_failed": _says("invoice", changes.attempt_without_charge),
    "invoice.payment_succeeded": _says("invoice", changes.invoice_paid_elsewhere),
    "invoice.sent": _says("invoice"),
    "invoice.upcoming": _nothing,  # a preview: it has no id and is not an invoice yet
    "invoice.updated": _says("invoice"),
    "invoice.voided": _says("invoice", changes.invoice_voided),
    "invoice.will_be_due": _says("invoice"),
    "invoice_payment.paid": _allocated,
    # The invoice carries its lines and its payments' sum, the charge its attempt: these repeat them.
    "invoiceitem.created": _nothing,
    "invoiceitem.deleted": _nothing,
    "invoiceitem.updated": _nothing,
    "payment_intent.canceled": _nothing,
    "payment_intent.created": _nothing,
    "payment_intent.payment_failed": _nothing,
    "payment_intent.processing": _nothing,
    "payment_intent.requires_action": _nothing,
    "payment_intent.succeeded": _nothing,
    "payment_method.attached": _nothing,
    "payment_method.automatically_updated": _nothing,
    "payment_method.detached": _nothing,
    "payment_method.updated": _nothing,
    "payout.canceled": _says("payout"),
    "payout.created": _says("payout", changes.payout_created),
    "payout.failed": _says("payout", changes.payout_failed),
    "payout.paid": _says("payout", changes.payout_paid),
    "payout.reconciliation_completed": _says("payout"),
    "payout.updated": _says("payout"),
    "plan.created": _nothing,  # every plan is a price, and the price is announced too
    "plan.deleted": _nothing,
    "plan.updated": _nothing,
    "price.created": _says("price"),
    "price.deleted": _deleted("price"),
    "price.updated": _says("price"),
    "product.created": _says("product"),
    "product.deleted": _deleted("product"),
    "product.updated": _says("product"),
    "refund.created": _says("refund", changes.refund_issued),
    "refund.failed": _says("refund"),
    "refund.updated": _says("refund", changes.refund_issued),
    "tax_rate.created": _nothing,  # what a rate comes to is said by the bill that has it
    "tax_rate.updated": _nothing,
}


class StripeInbound:
    """The inbound half. ``live`` is the mode this connection is for; None takes both (a sandbox of one's own)."""

    def __init__(self, *, live: bool | None) -> None:
        self._live = live

    def verify(self, *, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], now: datetime) -> None:
        """Prove that Stripe signed these bytes within five minutes. Raises: SignatureInvalid."""
        verify_signature(SCHEME, headers=headers, body=body, secrets=secrets, now=now)

    def read_envelope(self, body: bytes) -> Envelope:
        """Identify a verified delivery; see the port. Looks only at what the inbox needs, in one quick pass."""
        return read_envelope(body)

    def interpret(self, *, system: str, body: bytes) -> Interpretation:
        """What a stored event says; see the port. Never raises for what the bytes hold."""
        try:
            event = decode_object(body)
            # Without its own name an event is stored under its bytes: the same news spelled otherwise counts again.
            shapes.identifier(event)
            kind = shapes.text(event, "type")
            handler = _settled if kind == SETTLED else HANDLERS.get(kind)
            if handler is None:
                return Parked(f"Stripe's event type {kind[:100]!r} is not supported yet.")
            refused = self._wrong_mode(event)
            return refused or _interpreted(handler, _notice(system, kind, event))
        except (PayloadMalformed, Unfit) as error:
            return Quarantined(error.message, error.where)

    def interpret_object(self, *, ref: ExternalRef, body: bytes, read_at: datetime) -> Interpretation:
        """What an object says as Stripe returned it; see the port. Business events come of notices only."""
        builder = BUILDERS.get(ref.object_type)
        if builder is None:
            return Parked(f"Stripe's object {ref.object_type[:100]!r} is not supported yet.")
        try:
            part = decode_object(body) if body else {"id": ref.id, "deleted": True}
            return self._wrong_mode(part) or _reading(builder, ref, part, read_at)
        except (PayloadMalformed, Unfit) as error:
            return Quarantined(error.message, error.where)
        except RejectedError as error:
            return Quarantined(error.message)

    def _wrong_mode(self, part: JsonObject) -> Quarantined | None:
        live = shapes.flag_or_none(part, "livemode")
        if self._live is None or live is None or live is self._live:
            return None
        came, wanted = ("live", "test") if live else ("test", "live")
        return Quarantined(f"The event comes from Stripe's {came} mode; this connection is for {wanted}.", "livemode")


def _notice(system: str, kind: str, event: JsonObject) -> Notice:
    holder = shapes.inner(event, "data")
    try:
        part = shapes.inner(holder, "object")
        if not part:
            raise Unfit("The event carries no object.", where="object")
        previous = shapes.inner(holder, "previous_attributes")
    except Unfit as error:
        raise error.below("data") from None
    return Notice(system=system, type=kind, occurred_at=shapes.instant(event, "created"), part=part, previous=previous)


def _interpreted(handler: Handler, notice: Notice) -> Interpretation:
    try:
        said = handler(notice)
    except Unfit as error:
        return Quarantined(error.message, f"data.object.{error.where}")
    except RejectedError as error:
        return Quarantined(error.message, "data.object")
    return _unless_cut(notice.part, said)


def _unless_cut(part: JsonObject, said: Interpreted) -> Interpretation:
    """A subscription of which some items were left out would be worth too little: it waits for a reading."""
    if part.get("object") == "subscription" and shapes.is_cut(part, "items"):
        return Parked("The subscription has more items than were sent; it has to be read whole from Stripe.")
    return said


def _reading(
    builder: Callable[[JsonObject], Entity], ref: ExternalRef, part: JsonObject, read_at: datetime
) -> Interpretation:
    if shapes.identifier(part) != ref.id:
        return Quarantined(f"Stripe returned another object than {ref}.", "id")
    if part.get("object", ref.object_type) != ref.object_type:
        return Quarantined(f"Stripe returned no {ref.object_type} for {ref}.", "object")
    if part.get("deleted") is True and ref.object_type not in _DELETABLE and "total" not in part:
        return Quarantined(f"Stripe no longer has {ref}, and its last state is not told.", "deleted")
    root = _root(ref.system, ref.object_type, part)
    observation = Observation(
        ref=ref,
        root=root,
        root_kind=_ROOT_KINDS[root.object_type],
        entity=builder(part),
        observed_at=read_at,
        standpoint=Standpoint.READING,
    )
    return _unless_cut(part, Interpreted((observation,)))
