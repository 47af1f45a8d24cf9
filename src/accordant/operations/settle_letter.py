"""Settle a dead letter by a person's word: what became of a write whose target cannot be asked (class E).

It is there: then it counts as made, under the target's own id. It is not: then it goes back to the head of its lane.
Either needs evidence, and both are in the trail. Next: `redrive.py`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import CourierPart
from accordant.canonical.intents import AlreadyApplied
from accordant.kernel.errors import RejectedError
from accordant.operations.redrive import Redriven, Terms
from accordant.operations.redrive_checks import RedriveOrder, check_role
from accordant.pipeline.deliver import Delivered
from accordant.pipeline.requests import record_of
from accordant.pipeline.settle import settle
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import DestinationClass
from accordant.ports.outbox import LeasedIntent, Remembering, SentRequest
from accordant.ports.redrive import DeadIntent, DeadLetters

#: The longest id a target is believed to give.
_ID_LENGTH_MAX = 255


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a person saw at the target: the record under its own id (``found_as``), or nothing of the write (None).

    ``evidence`` says where it was seen, for whoever asks later: a link, a reference, a screenshot's place.
    """

    actor: str
    evidence: str
    found_as: str | None


def settle_letter(
    letter: str,
    finding: Finding,
    *,
    terms: Terms,
    letters: DeadLetters,
    courier: CourierPart,
    redrive: Callable[[RedriveOrder], Redriven],
    now: datetime,
) -> Redriven | None:
    """Store what became of a dead write; what came of putting it back where nothing of it was there, else None.

    Run again after a crash, it goes on. Raises RejectedError without a name or evidence, for a person who may not
    redrive, for what is no dead write, and for a target that can be asked: there a redrive looks for itself.
    """
    dead, leased = _checked(letter, finding, terms=terms, letters=letters)
    if finding.found_as is None:
        told = _entry(dead, finding, "operations.letter.absent", now)
        letters.note_absent(dead, [told], now=now)
        where = f"Looked up at {dead.target}: the write is not there."
        return redrive(
            RedriveOrder(actor=finding.actor, reason=finding.evidence, defect="No answer came to a write.", fix=where)
        )
    seen = AlreadyApplied(finding.found_as, probed=True)
    remembered = Remembering(record=dead.record, request=_answered(leased, finding.found_as, now))
    verdict = settle(
        Delivered(leased=leased, outcome=seen, remember=remembered),
        courier=courier,
        pause=lambda _number, _asked: timedelta(),
        now=now,
    )
    told = _entry(dead, finding, "operations.letter.found", now)
    if not letters.close(msgspec.structs.replace(verdict, told=(*verdict.told, told)), now=now):
        raise _no_letter(letter)
    return None


def _checked(letter: str, finding: Finding, *, terms: Terms, letters: DeadLetters) -> tuple[DeadIntent, LeasedIntent]:
    if not finding.actor.strip() or not finding.evidence.strip():
        raise RejectedError(
            "A finding needs a name and its evidence.",
            remedy="Say who looked, and where it was seen or missed: a link or a reference that others can open.",
        )
    if finding.found_as is not None and not 0 < len(finding.found_as.strip()) <= _ID_LENGTH_MAX:
        raise RejectedError(
            "The id of the record at the target is missing or too long.", remedy="Give the id as the target shows it."
        )
    check_role(finding.actor, terms.redrivers)
    found, leased = letters.find_intents([letter]), letters.lend(letter)
    if not found or leased is None:
        raise _no_letter(letter)
    (dead,) = found
    if terms.offers(dead.target, dead.object) is not DestinationClass.NOTHING:
        raise RejectedError(
            f"{dead.target} can be asked what became of a write.",
            remedy=f"Run accordant redrive {letter}: it looks before it writes.",
        )
    return dead, leased


def _no_letter(letter: str) -> RejectedError:
    return RejectedError(
        f"{letter[:80]!r} is not a dead letter (any more).", remedy="Run `accordant redrive` to list them."
    )


def _answered(leased: LeasedIntent, target_id: str, now: datetime) -> SentRequest:
    """The request as if its answer had come."""
    intent = leased.intent
    return SentRequest(
        record=record_of(leased),
        intent_id=intent.id,
        idempotency_key=intent.idempotency_key,
        fingerprint="",
        generation=0,
        first_sent_at=now,
        sent_at=now,
        answered_at=now,
        target_id=target_id.strip(),
    )


def _entry(dead: DeadIntent, finding: Finding, kind: str, now: datetime) -> AuditEntry:
    return AuditEntry(
        kind=kind,
        actor=finding.actor.strip(),
        subject=dead.record,
        cause=None,
        at=now,
        body={
            "letter": dead.id,
            "evidence": finding.evidence.strip(),
            "found_as": finding.found_as and finding.found_as.strip(),
            "reason": dead.reason,
        },
    )
