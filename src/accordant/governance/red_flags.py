"""What raises a red flag, and who may take it down. Pure; each detector says a flag or nothing.

Called by `pipeline/flagging.py` for what events tell, and by `pipeline/contest.py` for what is met at a target.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from accordant.canonical.charter import RedFlagsPart
from accordant.canonical.conflicts import Contested
from accordant.canonical.documents import DocumentState
from accordant.canonical.entities import CreditNote, Dispute, Invoice, Payment, Refund
from accordant.canonical.intents import WireValue
from accordant.canonical.people import bare_name, same_person
from accordant.canonical.red_flag_kinds import RedFlagKind
from accordant.canonical.red_flags import FlagDecision, RedFlag, Verdict, red_flag
from accordant.canonical.targets import CurrentRecord
from accordant.kernel.money import Money

#: Refunds and disputes that gave nothing back.
_NOTHING_GIVEN = frozenset({"failed", "canceled"})


def credit_over_total(
    invoice: Invoice,
    notes: Sequence[tuple[str, CreditNote]],
    *,
    subject: str,
    account_id: str,
    seq: int,
    now: datetime,
) -> RedFlag | None:
    """Credit notes in force for more than their invoice asked (requirement 148). ``notes`` come with their references.

    A note in another currency than its invoice does not fit either.
    """
    issued = [(ref, note) for ref, note in notes if note.status != "void"]
    currency = invoice.total.currency
    foreign = [note.total for _, note in issued if note.total.currency != currency]
    credited = sum(note.total.amount_minor for _, note in issued if note.total.currency == currency)
    # An invoice that gives something back by itself asks for nothing: it takes a note to exceed it.
    if not foreign and credited <= max(invoice.total.amount_minor, 0):
        return None
    told = f"{Money(credited, currency)}" + "".join(f" and {one}" for one in foreign)
    return red_flag(
        RedFlagKind.CREDIT_OVER_TOTAL,
        account_id=account_id,
        subject=subject,
        system=_system_of(subject),
        why=f"Credit notes for {told} stand against the invoice {invoice.number or subject} of {invoice.total}.",
        raised_at=now,
        related=tuple(ref for ref, _ in issued),
        seq=seq,
        before={"invoice_total_minor": invoice.total.amount_minor, "currency": currency},
        after={"credited_minor": credited, "currency": currency, "notes": len(issued)},
    )


def unexplained_reversal(
    before: Invoice | None,
    after: Invoice,
    explained: int,
    *,
    subject: str,
    account_id: str,
    seq: int,
    now: datetime,
) -> RedFlag | None:
    """An invoice that shows less paid than before, and what was given back does not say why (requirement 148).

    ``explained`` are minor units that refunds, credit notes and lost disputes of it account for.
    """
    if before is None or before.amount_paid.amount_minor <= 0:
        return None
    left = 0 if after.status == "void" or after.deleted else after.amount_paid.amount_minor
    taken = before.amount_paid.amount_minor - left
    if taken <= explained:
        return None
    currency = before.amount_paid.currency
    return red_flag(
        RedFlagKind.UNEXPLAINED_REVERSAL,
        account_id=account_id,
        subject=subject,
        system=_system_of(subject),
        why=f"{Money(taken, currency)} of the invoice {after.number or subject} count as paid no more; refunds, credit "
        f"notes and disputes tell of {Money(explained, currency)}.",
        raised_at=now,
        seq=seq,
        before=_state_of(before),
        after=_state_of(after),
    )


def over_refunded(
    payment: Payment,
    refunds: Sequence[tuple[str, Refund]],
    *,
    subject: str,
    account_id: str,
    seq: int,
    now: datetime,
) -> RedFlag | None:
    """More was given back than was paid."""
    given = sum(one.amount.amount_minor for _, one in refunds if one.status not in _NOTHING_GIVEN)
    returned = max(given, payment.refunded.amount_minor)
    if returned <= payment.amount.amount_minor:
        return None
    currency = payment.amount.currency
    return red_flag(
        RedFlagKind.UNEXPLAINED_REVERSAL,
        account_id=account_id,
        subject=subject,
        system=_system_of(subject),
        why=f"{Money(returned, currency)} were given back of a payment of {payment.amount}.",
        raised_at=now,
        related=tuple(ref for ref, _ in refunds),
        seq=seq,
        before={"paid_minor": payment.amount.amount_minor, "currency": currency},
        after={"refunded_minor": returned, "currency": currency},
    )


def given_back(
    notes: Iterable[CreditNote], payments: Mapping[str, Payment], refunds: Iterable[Refund], disputes: Iterable[Dispute]
) -> int:
    """How many minor units of an invoice refunds, credit notes and lost disputes account for, the larger story once.

    ``payments`` are those of the invoice, by their owner's id.
    """
    credited = sum(one.total.amount_minor for one in notes if one.status != "void")
    returned = {name: one.refunded.amount_minor for name, one in payments.items()}
    told: dict[str, int] = {}
    for refund in refunds:
        paid = refund.payment_id
        if paid is not None and paid in payments and refund.status not in _NOTHING_GIVEN:
            told[paid] = told.get(paid, 0) + refund.amount.amount_minor
    lost = sum(one.amount.amount_minor for one in disputes if one.payment_id in payments and one.status == "lost")
    return max(credited, sum(max(amount, told.get(name, 0)) for name, amount in returned.items()) + lost)


def reused_event(
    *, name: str, others: int, account_id: str | None, seq: int, said_at: datetime, now: datetime
) -> RedFlag:
    """One event id came with other content, again and again (requirement 149)."""
    return red_flag(
        RedFlagKind.KEY_REUSE,
        account_id=account_id,
        subject=name,
        system=_system_of(name),
        why=f"The id of the event {name} came {others} times with other content. The first content stays in force.",
        raised_at=now,
        seq=seq,
        said_at=said_at,
        after={"others": others},
    )


def reused_key(
    *, record: str, others: int, account_id: str | None, seq: int | None, said_at: datetime | None, now: datetime
) -> RedFlag:
    """A target knows the key of our write from another request, again and again (requirement 149).

    The key of a request is made of its content, so it cannot be ours that came twice: somebody else uses our keys, or
    the target answers for another.
    """
    return red_flag(
        RedFlagKind.KEY_REUSE,
        account_id=account_id,
        subject=record,
        system=_system_of(record),
        why=f"{_system_of(record)} knew the key of a write to {record} from another request, {others} times. "
        "Nothing was written.",
        raised_at=now,
        seq=seq,
        said_at=said_at,
        after={"others": others},
    )


def unsourced_change(
    contested: Contested,
    *,
    known: Iterable[WireValue],
    financial: frozenset[str],
    own_user: str | None,
    record: str,
    target_id: str,
    flow: str,
    account_id: str,
    seq: int | None,
    now: datetime,
) -> RedFlag | None:
    """A target shows other money, and neither an event of ours nor a name there tells why (requirement 150).

    ``known`` are values the field had before: one of those is a write that was lost, and is written again. A change
    that somebody signed there is a conflict, which has its trail. ``own_user`` is who the hub is at the target: what he
    changed without a receipt of ours is unsourced too.
    """
    there = contested.target
    if contested.field not in financial or there.value in tuple(known):
        return None
    if there.by is not None and there.by != own_user:
        return None
    how = (
        "and names nobody who changed it"
        if there.by is None
        else f"changed by {there.by}, who is this hub there, and no write of ours did it"
    )
    return red_flag(
        RedFlagKind.UNSOURCED_CHANGE,
        account_id=account_id,
        subject=record,
        system=there.system,
        why=f"{there.system} shows another value in {contested.field} than was confirmed, {how}.",
        raised_at=now,
        flows=(flow,),
        seq=seq,
        said_at=there.at,
        before={contested.field: contested.confirmed},
        after={contested.field: there.value},
        target_id=target_id,
        changed_by=there.by,
    )


def document_gone(
    *, record: str, target_id: str, account_id: str | None, seq: int, said_at: datetime, now: datetime
) -> RedFlag:
    """A document that was posted at a target is gone, and no event of ours took it away (requirement 150).

    It is not posted again by itself: why it was deleted, only a person knows.
    """
    system = _system_of(record)
    return red_flag(
        RedFlagKind.UNSOURCED_CHANGE,
        account_id=account_id,
        subject=record,
        system=system,
        why=f"Somebody deleted this document at {system}, or took its key away, and the books still hold it. Cancel it "
        "in the books, or have it posted again with a repair.",
        raised_at=now,
        seq=seq,
        said_at=said_at,
        before={"state": DocumentState.POSTED.value},
        after={"state": DocumentState.DELETED.value},
        target_id=target_id,
    )


def unsourced_record(
    held: CurrentRecord,
    *,
    record: str,
    key_field: str,
    financial: frozenset[str],
    account_id: str | None,
    owner: str | None,
    now: datetime,
) -> RedFlag:
    """A record of a target has a key of ours, and no event ever made us write it (requirement 150).

    ``owner`` is the reference of the object that the key names, whether or not anybody has told of it: whoever turns
    out to be its customer is stopped. Only the key and the money of ``financial`` are shown, the rest is the target's.
    """
    system, key = _system_of(record), record.partition("/")[2]
    by = f"It does not tell who made it{'' if held.changed_at else ', nor when'}."
    if held.changed_by is not None:
        by = f"{held.changed_by} changed it last{'' if held.changed_at else '; it does not tell when'}."
    money = {name: value for name, value in sorted(held.fields.items()) if name in financial and value is not None}
    return red_flag(
        RedFlagKind.UNSOURCED_CHANGE,
        account_id=account_id,
        subject=record,
        system=system,
        why=f"{system} has {held.target_id} under the key {key}. No source event and no write of ours stands behind "
        f"it. {by}",
        raised_at=now,
        related=() if owner is None else (owner,),
        said_at=held.changed_at,
        after={**money, key_field: key},
        target_id=held.target_id,
        changed_by=held.changed_by,
    )


def _state_of(invoice: Invoice) -> dict[str, WireValue]:
    return {
        "status": "deleted" if invoice.deleted else invoice.status,
        "total_minor": invoice.total.amount_minor,
        "paid_minor": invoice.amount_paid.amount_minor,
        "currency": invoice.total.currency,
    }


def _system_of(ref: str) -> str:
    return ref.partition(":")[0]


# -- who takes it down -------------------------------------------------------------------------------------------------


def approvals(decisions: Sequence[FlagDecision], digest: str) -> tuple[FlagDecision, ...]:
    """The words that count for this packet: those since the last refusal, one a person, for exactly this digest."""
    found: list[FlagDecision] = []
    for one in decisions:
        if one.verdict is Verdict.REFUSE:
            found = []
        elif one.digest == digest and not any(same_person(one.actor, other.actor) for other in found):
            found.append(one)
    return tuple(found)


def persons_needed(part: RedFlagsPart, kind: RedFlagKind) -> int:
    """How many different people have to approve a flag of this kind."""
    return 2 if kind in part.two_persons else 1


def objection(part: RedFlagsPart, decisions: Sequence[FlagDecision], *, actor: str, digest: str) -> str | None:
    """Why this person may not approve this packet now; None where he may."""
    if part.approvers and not any(same_person(actor, name) for name in part.approvers):
        return f"{bare_name(actor)} is no approver of red flags; the charter names: {', '.join(part.approvers)}."
    if any(same_person(actor, one.actor) for one in approvals(decisions, digest)):
        return f"{actor} has approved this already; another person has to agree."
    return None
