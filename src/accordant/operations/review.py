"""What a person decides about whose record it is: accept, create, reject, split, merge, undo. Nothing is ever lost.

Each decision is one transaction with its trail, and undone only by a further one; the customer's lane goes on at once.
Next: `store/review_desk.py`, which keeps it, and `pipeline/recognize.py`, which asks most of the questions.
"""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

import msgspec

from accordant.canonical.matching import Candidate, RecordLink, ReviewCase, ReviewState, review_case_id
from accordant.canonical.review import ReviewAction, ReviewDecision
from accordant.ports.audit import AuditEntry
from accordant.ports.review import CaseFile, Place, ReviewAct, ReviewDesk

REASON_LENGTH_MAX = 300


class ReviewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides what, and why. ``target_id`` is the record it is about; for a rejection None means all offered.

    ``key_field`` is the field of the target in which a record carries its customer's key, as the mapping has it.
    """

    action: ReviewAction
    place: Place
    target_id: str | None
    actor: str
    reason: str
    key_field: str = "the key field"


class Decided(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It is decided. ``sentence`` says what that means, ``by_hand`` what a person still has to do in the target."""

    case_id: str
    state: ReviewState
    sentence: str
    by_hand: str | None = None


class Declined(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It was not decided, and nothing changed."""

    sentence: str
    remedy: str


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision comes to, before it is dressed for the store."""

    state: ReviewState
    link: RecordLink | None
    sentence: str
    waits: bool = False
    chosen_id: str | None = None
    rejected: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    unlinked: tuple[str, ...] = ()
    undone: int | None = None
    case: ReviewCase | None = None
    by_hand: str | None = None


def review(
    order: ReviewOrder,
    *,
    file: CaseFile,
    desk: ReviewDesk,
    replan: Callable[[str], object],
    charter: str,
    keeps_apart: bool,
    now: datetime,
) -> Decided | Declined:
    """Decide, keep it, and let the customer's lane go on. Run again after a crash, it says what was decided.

    ``keeps_apart``: the charter gives several customers of one company a record each.
    """
    found = decide(order, file=file, charter=charter, keeps_apart=keeps_apart, now=now)
    if isinstance(found, Declined):
        return found
    act, decided = found
    if not desk.apply(act):
        return Declined(
            sentence="Somebody else decided this case in the same moment, so nothing was done.",
            remedy="Look at the case as it is now.",
        )
    replan(file.place.account_id)
    return decided


def decide(
    order: ReviewOrder, *, file: CaseFile, charter: str, keeps_apart: bool, now: datetime
) -> tuple[ReviewAct, Decided] | Declined:
    """What a decision changes. Pure: nothing is kept yet."""
    if not order.reason.strip() or len(order.reason) > REASON_LENGTH_MAX:
        return Declined(
            sentence="A decision about whose record it is needs a reason.",
            remedy=f"Say why, in at most {REASON_LENGTH_MAX} characters: whoever undoes it will read it.",
        )
    match order.action:
        case ReviewAction.ACCEPT | ReviewAction.MERGE:
            apart = keeps_apart and order.action is ReviewAction.ACCEPT
            change = _accept(order, file, charter, now, apart=apart)
        case ReviewAction.CREATE:
            change = _create(order, file, charter, now)
        case ReviewAction.REJECT:
            change = _reject(order, file)
        case ReviewAction.SPLIT:
            change = _split(file, order.key_field)
        case ReviewAction.UNDO:
            change = _undo(file)
        case _:
            assert_never(order.action)
    if isinstance(change, Declined):
        return change
    return _dress(order, file, change, charter, now)


def _accept(order: ReviewOrder, file: CaseFile, charter: str, now: datetime, *, apart: bool) -> _Change | Declined:
    if order.action is ReviewAction.ACCEPT and (closed := _not_open(file)) is not None:
        return closed
    record = file.chosen
    if record is None or record.deleted or record.merged_into:
        return Declined(
            sentence=f"{file.place.system} has no live {file.place.object} {order.target_id or 'of that id'}.",
            remedy="Choose one of the records that the case offers, or name one that exists.",
        )
    if file.link is not None and file.link.target_id == record.id:
        return Declined(sentence=f"{record.id} is this customer's record already.", remedy="Nothing is to be done.")
    own = file.subject.external_id
    others = tuple(key for key in record.cross_references if key != own)
    if leaving := [key for key in others if key in file.leaving]:
        return Declined(
            sentence=f"{record.id} still carries the key of {', '.join(leaving)}, who was split off it: accepted now, "
            f"{own} would share it with them.",
            remedy=f"Accept it again once the key is off it; the next write for {', '.join(leaving)} takes it off.",
        )
    key = own if own in record.cross_references or not others else others[0]
    if apart and key != own:
        link = _link(file, key=own, target_id=None, actor=order.actor, charter=charter, now=now)
        return _accept_below(file, record, msgspec.structs.replace(link, parent=key))
    if any(owner.key != key for owner in file.owners):
        elsewhere = next(owner.key for owner in file.owners if owner.key != key)
        return Declined(
            sentence=f"{record.id} carries the key of {key}, whose own facts go to {elsewhere}: they would go round.",
            remedy=f"Choose the record that {elsewhere} goes to.",
        )
    link = _link(file, key=key, target_id=record.id, actor=order.actor, charter=charter, now=now)
    together = "" if key == own else f" It is shared with {key} from now on: their figures are added up there."
    return _Change(
        state=ReviewState.ACCEPTED,
        link=link,
        sentence=f"{own} is {file.place.object} {record.id} of {file.place.system}.{together}",
        chosen_id=record.id,
        linked=() if record.id in file.written else (record.id,),
        by_hand=_left_behind(file, record.id),
    )


def _accept_below(file: CaseFile, record: Candidate, link: RecordLink) -> _Change | Declined:
    """The chosen record is another customer's: this one gets its own below it."""
    own, place = file.subject.external_id, file.place
    if own in file.line:
        return Declined(
            sentence=f"{record.id} stands below the record of {own} already: they would go round.",
            remedy=f"Split {link.parent} off first, or choose another record.",
        )
    return _Change(
        state=ReviewState.ACCEPTED,
        link=link,
        sentence=f"{own} has its own {place.object} in {place.system}, below {record.id}, which is {link.parent}'s.",
        chosen_id=record.id,
        # What was written before is found by its key, where it is still there; where it was merged, it is made anew.
        unlinked=file.written,
    )


def _left_behind(file: CaseFile, target_id: str) -> str | None:
    """Another record that we wrote for this customer stays in the target: its interface cannot merge records."""
    left = [one for one in file.written if one != target_id]
    if not left:
        return None
    return (
        f"In {file.place.system}, merge {', '.join(left)} into {target_id} by hand, if it is still there: the hub "
        "cannot, and until then the key of this customer stays on the old record."
    )


def _create(order: ReviewOrder, file: CaseFile, charter: str, now: datetime) -> _Change | Declined:
    if (closed := _not_open(file)) is not None:
        return closed
    own = file.subject.external_id
    return _Change(
        state=ReviewState.CREATED,
        link=_link(file, key=own, target_id=None, actor=order.actor, charter=charter, now=now),
        sentence=f"{own} gets a {file.place.object} of its own in {file.place.system}.",
        # What was written before is gone or another's: it must not lead the next write back there.
        unlinked=file.written,
    )


def _reject(order: ReviewOrder, file: CaseFile) -> _Change | Declined:
    if (closed := _not_open(file)) is not None:
        return closed
    decided = file.decided
    offered = () if decided is None else tuple(one.candidate.id for one in decided.case.candidates)
    rejected = offered if order.target_id is None else (order.target_id,)
    if not rejected or not set(rejected) <= set(offered):
        return Declined(
            sentence=f"The case does not offer {order.target_id or 'any record'}, so there is nothing to reject.",
            remedy="Accept a record by its id, or have a new one made.",
        )
    left = [one for one in offered if one not in rejected]
    return _Change(
        state=ReviewState.OPEN if left else ReviewState.REJECTED,
        link=file.link,
        sentence=f"{', '.join(rejected)} is not offered for {file.subject.external_id} again."
        + (f" {len(left)} left to decide about." if left else ""),
        waits=bool(left) and decided is not None and decided.case.waits,
        rejected=rejected,
    )


def _split(file: CaseFile, key_field: str) -> _Change | Declined:
    link = file.link
    if link is None or link.target_id is None:
        return Declined(
            sentence=f"{file.subject.external_id} has no link in {file.place.system} that could be taken apart.",
            remedy="Decide its case, if it has an open one.",
        )
    own = file.subject.external_id
    freed = (
        f" The next write for {own} empties {key_field} of it, and gives back what stood there before the hub."
        if link.key == own
        else ""
    )
    return _Change(
        state=ReviewState.REJECTED,
        link=None,
        sentence=f"{link.target_id} is no longer taken for {own}, and is not offered again.{freed}",
        rejected=(link.target_id,),
        unlinked=tuple(one for one in file.written if one == link.target_id),
    )


def _undo(file: CaseFile) -> _Change | Declined:
    taken_back = {one.undone for one in file.history}
    open_to_undo = [one for one in file.history if one.action is not ReviewAction.UNDO and one.number not in taken_back]
    if file.decided is None or not open_to_undo:
        return Declined(
            sentence="Nothing was decided here that could be undone.",
            remedy="`accordant review show` tells what was decided.",
        )
    last = open_to_undo[-1]
    state = last.state_before or ReviewState.LAPSED
    return _Change(
        state=state,
        link=last.link_before,
        sentence=f"Decision {last.number} ({last.action}, by {last.actor}) is undone.",
        waits=state is ReviewState.OPEN and last.case_before is not None and last.case_before.waits,
        chosen_id=last.chosen_before,
        allowed=last.rejected,
        linked=last.unlinked,
        unlinked=last.linked,
        undone=last.number,
        case=last.case_before,
    )


def _not_open(file: CaseFile) -> Declined | None:
    decided = file.decided
    if decided is None:
        return Declined(
            sentence=f"There is no question about {file.subject.external_id} in {file.place.system}.",
            remedy="`accordant review list` shows what waits; `split` takes a wrong link apart.",
        )
    if decided.state is ReviewState.OPEN:
        return None
    when = "" if decided.decided_at is None else f" at {decided.decided_at:%Y-%m-%d %H:%M}Z"
    return Declined(
        sentence=f"This case was decided already: {decided.state}, by {decided.decided_by or 'accordant'}{when}.",
        remedy="Undo that decision first, if it was wrong.",
    )


def _link(file: CaseFile, *, key: str, target_id: str | None, actor: str, charter: str, now: datetime) -> RecordLink:
    return RecordLink(
        account_id=file.place.account_id,
        system=file.place.system,
        object=file.place.object,
        key=key,
        target_id=target_id,
        rung=None,
        evidence=(),
        charter=charter,
        actor=actor,
        linked_at=now,
    )


def _dress(
    order: ReviewOrder, file: CaseFile, change: _Change, charter: str, now: datetime
) -> tuple[ReviewAct, Decided]:
    place, decided = file.place, file.decided
    case = _case(file, change, charter, now)
    number = max((one.number for one in file.history), default=0) + 1
    decision = ReviewDecision(
        case_id=case.id,
        number=number,
        action=order.action,
        target_id=order.target_id or change.chosen_id,
        actor=order.actor,
        reason=order.reason.strip(),
        at=now,
        case_before=None if decided is None else decided.case,
        state_before=None if decided is None else decided.state,
        chosen_before=None if decided is None else decided.chosen_id,
        link_before=file.link,
        rejected=change.rejected,
        linked=change.linked,
        unlinked=change.unlinked,
        undone=change.undone,
    )
    act = ReviewAct(
        place=place,
        case=case,
        state=change.state,
        expected=None if decided is None else decided.state,
        chosen_id=change.chosen_id,
        decision=decision,
        link=change.link,
        allowed=change.allowed,
        waits=change.waits,
        audit=AuditEntry(
            kind=_KINDS[order.action],
            actor=order.actor,
            subject=f"account/{place.account_id}",
            cause=None,
            at=now,
            body={
                "case": case.id,
                "decision": number,
                "target": f"{place.system}:{place.object}",
                "record": order.target_id or change.chosen_id,
                "key": None if change.link is None else change.link.key,
                "reason": order.reason.strip(),
                "undone": change.undone,
                "rejected": list(change.rejected),
            },
        ),
    )
    return act, Decided(case_id=case.id, state=change.state, sentence=change.sentence, by_hand=change.by_hand)


_KINDS: dict[ReviewAction, str] = {
    ReviewAction.ACCEPT: "review.case.accepted",
    ReviewAction.CREATE: "review.case.created",
    ReviewAction.REJECT: "review.case.rejected",
    ReviewAction.SPLIT: "review.link.split",
    ReviewAction.MERGE: "review.link.merged",
    ReviewAction.UNDO: "review.decision.undone",
}


def _case(file: CaseFile, change: _Change, charter: str, now: datetime) -> ReviewCase:
    """The case as it stands after the decision; one is opened for a link that nobody ever had to ask about."""
    if change.case is not None:
        return change.case
    if file.decided is not None:
        case = file.decided.case
        if change.state is not ReviewState.OPEN or not change.rejected:
            return case
        left = tuple(one for one in case.candidates if one.candidate.id not in change.rejected)
        return msgspec.structs.replace(case, candidates=left)
    place = file.place
    return ReviewCase(
        id=review_case_id(place.account_id, place.system, place.object),
        account_id=place.account_id,
        system=place.system,
        object=place.object,
        subject=file.subject,
        why="It was linked without a question.",
        candidates=(),
        waits=False,
        charter=charter,
        opened_at=now,
    )
