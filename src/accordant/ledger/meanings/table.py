"""Which function says what an event means in the books. What is not in the table says nothing to them."""

from collections.abc import Callable, Mapping

from accordant.canonical.events import EventType
from accordant.ledger.meanings import agreed, billing, cash, given_back, ordered, prepaid
from accordant.ledger.meanings.asking import Ask, Occurrence
from accordant.ledger.meanings.reading import Reading

#: What an occurrence asks for, given what is read so far; None where it moves nothing.
Meaning = Callable[[Occurrence, Reading], Ask | None]

MEANINGS: Mapping[EventType, Meaning] = {
    EventType.INVOICE_ISSUED: billing.issued,
    EventType.INVOICE_VOIDED: billing.voided,
    EventType.INVOICE_WRITTEN_OFF: billing.written_off,
    EventType.CREDITS_GRANTED: prepaid.credits_granted,
    EventType.CREDITS_DRAWN: prepaid.credits_drawn,
    EventType.CREDIT_APPROVED: billing.credited,
    EventType.PAYMENT_APPLIED: cash.paid,
    EventType.BALANCE_APPLIED: billing.balance_applied,
    EventType.PAYMENT_COLLECTED_BY_SISTER: cash.collected_by_sister,
    EventType.PAYMENT_ALLOCATED: cash.allocated,
    EventType.PAYOUT_PAID: cash.paid_out,
    EventType.FEE_CHARGED: cash.fee_charged,
    EventType.FUNDS_CONVERTED: cash.converted,
    EventType.REFUND_ISSUED: given_back.refunded,
    EventType.DISPUTE_OPENED: given_back.dispute_opened,
    EventType.DISPUTE_CLOSED: given_back.dispute_closed,
    EventType.ENTRY_ORDERED: ordered.ordered,
    EventType.RAMP_AGREED: agreed.ramp_agreed,
    EventType.PROGRESS_MEASURED: agreed.progress_measured,
    EventType.WORD_WITHDRAWN: ordered.withdrawn,
}

#: What is kept though it posts nothing: it says how what is billed is earned, which bill sold credits, that what a
#: dispute took is lost, or that something was not so.
NOTED = frozenset(
    {
        EventType.RAMP_AGREED,
        EventType.PROGRESS_MEASURED,
        EventType.CREDITS_GRANTED,
        EventType.DISPUTE_CLOSED,
        EventType.WORD_WITHDRAWN,
    }
)
