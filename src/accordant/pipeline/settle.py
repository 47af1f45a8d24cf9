"""Room 8, the archive: an answer becomes a verdict with its receipt, before and after, and the line of the trail.

True when you leave: the intent is done, waits with a time, or stands in the dead-letter view with its reason. One match
over outcomes; under each arm stands what happens next.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from accordant.canonical.charter import CourierPart
from accordant.canonical.conflicts import FieldMark
from accordant.canonical.intents import (
    OPENING_KINDS,
    RECORD_ABOVE_MISSING,
    AlreadyApplied,
    Applied,
    Compared,
    IntentState,
    RefusalClass,
    Refused,
    Uncertain,
    WireValue,
    WriteReceipt,
    Yielded,
)
from accordant.canonical.matching import ReviewCase
from accordant.canonical.refs import ExternalRef
from accordant.canonical.review import Relink
from accordant.governance.loop_breaker import advance
from accordant.kernel.hashing import fingerprint
from accordant.pipeline.deliver import Delivered
from accordant.ports.audit import AuditEntry
from accordant.ports.outbox import LeasedIntent, Verdict
from accordant.ports.state import LanePark, Link

_COMPARED = "Its flow may not write yet: what would change was computed and compared, nothing was sent."
#: Refusals that another try may cure; the others need a person.
_PASSING = frozenset({RefusalClass.TRANSIENT, RefusalClass.AUTHORIZATION})
#: The pause after try number n, with the time the target asked for: injected, since it draws jitter.
Pause = Callable[[int, float | None], timedelta]


def settle(delivered: Delivered, *, courier: CourierPart, pause: Pause, now: datetime) -> Verdict:
    """The verdict on one delivery, with what was learned on the way of where its record is."""
    verdict = _settle(delivered, courier=courier, pause=pause, now=now)
    if delivered.remember is not None:
        verdict = msgspec.structs.replace(verdict, remember=delivered.remember)
    relink = delivered.seen.relink
    if relink is None:
        return verdict
    return msgspec.structs.replace(verdict, relink=relink, told=(*verdict.told, relink_entry(relink, now)))


def _settle(delivered: Delivered, *, courier: CourierPart, pause: Pause, now: datetime) -> Verdict:
    leased = delivered.leased
    outcome = delivered.outcome
    if outcome is None:
        return _untried(delivered, pause, now)
    receipt = _receipt(delivered, now)
    match outcome:
        case Applied(target_id=target_id) | AlreadyApplied(target_id=target_id):
            state = IntentState.APPLIED if isinstance(outcome, Applied) else IntentState.ALREADY_APPLIED
            return Verdict(
                leased=leased,
                state=state,
                due_at=now,
                receipt=receipt,
                target_id=target_id,
                link=_link(delivered, target_id),
                audit=_audit(delivered, f"archive.write.{state.value}", receipt, now),
                marks=_marks(delivered, receipt, now),
            )
        case Yielded(target_id=target_id):
            return Verdict(
                leased=leased,
                state=IntentState.CANCELLED,
                due_at=now,
                reason=" ".join(one.sentence for one in delivered.aside),
                receipt=receipt,
                target_id=target_id,
                audit=_audit(delivered, "archive.write.yielded", receipt, now),
            )
        case Compared():
            known = delivered.before.target_id if delivered.before is not None else None
            line = _audit(delivered, "archive.write.compared", receipt, now, reason=_COMPARED)
            return Verdict(
                leased=leased, state=IntentState.SHADOWED, due_at=now, receipt=receipt, target_id=known, audit=line
            )
        case Uncertain(reason=reason) if delivered.is_final:
            return _give_up(delivered, reason, receipt, now)
        case Uncertain(reason=reason):
            line = _audit(delivered, "archive.write.doubted", receipt, now)
            again = _doubted(leased, reason, receipt, line, now + pause(leased.attempt, None))
            return _bounded(again, delivered, courier, now)
        case Refused() if outcome.cause in _PASSING:
            again = Verdict(
                leased=leased,
                state=_waiting_state(delivered),
                due_at=now + pause(leased.attempt, outcome.retry_after_s),
                reason=outcome.message,
                receipt=receipt,
                audit=_audit(delivered, "archive.write.postponed", receipt, now),
            )
            return _bounded(again, delivered, courier, now)
        case Refused():
            return _give_up(delivered, outcome.message, receipt, now)
        case _:
            assert_never(outcome)


def _doubted(leased: LeasedIntent, reason: str, receipt: WriteReceipt, line: AuditEntry, due_at: datetime) -> Verdict:
    """Nobody knows whether it arrived: it is looked at again later."""
    return Verdict(
        leased=leased, state=IntentState.UNCERTAIN, due_at=due_at, reason=reason, receipt=receipt, audit=line
    )


def _untried(delivered: Delivered, pause: Pause, now: datetime) -> Verdict:
    """The record itself was not tried: given up, held for a person, or looked at again later."""
    if delivered.cancelled:
        return _cancel(delivered, now)
    if delivered.seen.withheld is not None:
        return _withhold(delivered, delivered.seen.withheld, now)
    if delivered.freed is not None:
        return _freed(delivered, delivered.freed, now)
    due_at = now + pause(1, delivered.wait_s)
    return Verdict(leased=delivered.leased, state=_waiting_state(delivered), due_at=due_at, reason=delivered.stopped)


def _freed(delivered: Delivered, record_id: str, now: datetime) -> Verdict:
    """The record of another no longer carries this one's key; where this one's is, is asked anew at once."""
    why, intent = delivered.stopped, delivered.leased.intent
    entry = msgspec.structs.replace(
        _unsent(delivered, "archive.key.freed", why, now), subject=f"{intent.target}:{intent.object}/{record_id}"
    )
    return Verdict(leased=delivered.leased, state=IntentState.PENDING, due_at=now, reason=why, audit=entry)


def _cancel(delivered: Delivered, now: datetime) -> Verdict:
    """The rules changed since it was planned: nothing was sent, and the trail says why."""
    why, entry = delivered.stopped, _unsent(delivered, "archive.write.cancelled", delivered.stopped, now)
    return Verdict(leased=delivered.leased, state=IntentState.CANCELLED, due_at=now, reason=why, audit=entry)


def _withhold(delivered: Delivered, why: str, now: datetime) -> Verdict:
    """Only a person can say which record it is: the write is held until then, and the trail says what was asked."""
    intent, case = delivered.leased.intent, delivered.seen.case
    told = () if case is None else (question_entry(case, now, cause=intent.cause),)
    return Verdict(
        leased=delivered.leased,
        state=IntentState.HELD,
        due_at=now,
        reason=why,
        case=case,
        audit=_unsent(delivered, "archive.write.held", why, now),
        told=told,
    )


def _unsent(delivered: Delivered, kind: str, reason: str | None, now: datetime) -> AuditEntry:
    """The line of the trail for a write that ends here, or waits here, without a try."""
    intent = delivered.leased.intent
    return AuditEntry(
        kind=kind,
        actor="accordant",
        subject=f"{intent.target}:{intent.object}/{intent.key}",
        cause=intent.cause,
        at=now,
        body={"intent": intent.id, "key": intent.idempotency_key, "reason": reason},
    )


def question_entry(case: ReviewCase, now: datetime, *, cause: int | None) -> AuditEntry:
    """The line of the trail that a question was put."""
    return AuditEntry(
        kind="registry.review.opened",
        actor="accordant",
        subject=f"account/{case.account_id}",
        cause=cause,
        at=now,
        body={"case": case.id, "why": case.why, "records": [one.candidate.id for one in case.candidates]},
    )


def relink_entry(relink: Relink, now: datetime) -> AuditEntry:
    """The line of the trail that an account is another record from now on."""
    return AuditEntry(
        kind="registry.record.relinked",
        actor="accordant",
        subject=str(relink.entity),
        cause=None,
        at=now,
        body={"old": str(relink.old), "new": str(relink.new), "path": list(relink.path), "why": relink.why},
    )


def _waiting_state(delivered: Delivered) -> IntentState:
    """What waits is pending, unless an earlier try may have arrived and nobody has looked since."""
    unknown = delivered.leased.was in {IntentState.LEASED, IntentState.UNCERTAIN} and delivered.before is None
    return IntentState.UNCERTAIN if unknown else IntentState.PENDING


def _bounded(again: Verdict, delivered: Delivered, courier: CourierPart, now: datetime) -> Verdict:
    """Later, with growing pauses; after the last try the lane waits for a person. What waits for another record goes
    when that one is there: no number of tries makes it wrong.
    """
    attempt, outcome = again.leased.attempt, delivered.outcome
    if isinstance(outcome, Refused) and outcome.code == RECORD_ABOVE_MISSING:
        return again
    if attempt < courier.attempts_max or again.receipt is None:
        return again
    return _give_up(delivered, f"{again.reason} Tried {attempt} times.", again.receipt, now)


def _give_up(delivered: Delivered, reason: str, receipt: WriteReceipt, now: datetime) -> Verdict:
    intent = delivered.leased.intent
    return Verdict(
        leased=delivered.leased,
        state=IntentState.DEAD,
        due_at=now,
        reason=reason,
        receipt=receipt,
        target_id=delivered.before.target_id if delivered.before is not None else None,
        park=LanePark(lane=intent.lane, direction="outbound", cause=f"intent/{intent.id}", reason=reason),
        audit=_audit(delivered, "archive.write.refused", receipt, now),
    )


def _receipt(delivered: Delivered, now: datetime) -> WriteReceipt:
    leased, outcome = delivered.leased, delivered.outcome
    assert outcome is not None  # noqa: S101  the caller has looked; said for the type checker
    before = dict(delivered.before.fields) if delivered.before is not None else None
    after: dict[str, WireValue] | None = None
    if isinstance(outcome, Applied | AlreadyApplied):
        aside = {one.field for one in delivered.aside}
        after = {**(before or {}), **{name: to for name, to in leased.intent.fields.items() if name not in aside}}
    return WriteReceipt(
        intent_id=leased.intent.id,
        attempt=leased.attempt,
        outcome=outcome,
        before=before,
        after=after,
        request_id=delivered.request_id,
        settled_at=now,
    )


def _marks(delivered: Delivered, receipt: WriteReceipt, now: datetime) -> dict[str, FieldMark]:
    """What was last written into each field, this write included; a field that was set aside keeps its mark."""
    leased, before = delivered.leased, receipt.before or {}
    aside = {one.field for one in delivered.aside}
    return leased.known.marks | {
        name: advance(
            leased.known.marks.get(name),
            before=before.get(name),
            value=value,
            revision=leased.intent.revision,
            at=now,
            said_at=leased.said_at,
        )
        for name, value in leased.intent.fields.items()
        if name not in aside
    }


def _link(delivered: Delivered, target_id: str) -> Link | None:
    """The record is a copy of its entity; what was opened is the target's own, and its owner tells of it."""
    intent = delivered.leased.intent
    if intent.entity.kind in OPENING_KINDS:
        return None
    return Link(source=ExternalRef(intent.target, intent.object, target_id), entity=intent.entity)


def _audit(
    delivered: Delivered, kind: str, receipt: WriteReceipt, now: datetime, *, reason: str | None = None
) -> AuditEntry:
    """The line of the trail for a try; what the target said in its own words stays in the receipt."""
    intent = delivered.leased.intent
    told: dict[str, str | int | bool | list[str] | None] = {} if reason is None else {"reason": reason}
    return AuditEntry(
        kind=kind,
        actor="accordant",
        subject=f"{intent.target}:{intent.object}/{intent.key}",
        cause=intent.cause,
        at=now,
        body={
            "intent": intent.id,
            "key": intent.idempotency_key,
            "attempt": receipt.attempt,
            "outcome": type(receipt.outcome).__name__,
            "before": fingerprint(receipt.before) if receipt.before is not None else None,
            "after": fingerprint(receipt.after) if receipt.after is not None else None,
            "request": receipt.request_id,
            **told,
        },
    )
