"""A person's word on a conflict: bring back the value that lost, decide what was held, let a stopped field go on.

No back door: the court is asked first and may refuse, and what it allows is planned and written like everything else.
"""

from datetime import datetime

import msgspec

from accordant.canonical.conflicts import (
    Choice,
    Conflict,
    ConflictDecision,
    ConflictRule,
    Side,
    Stand,
    StandEffect,
)
from accordant.canonical.intents import WireValue
from accordant.governance.decide import Case, Switches, decide
from accordant.kernel.errors import RejectedError
from accordant.pipeline.dispatch import gate_asker
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.replan import replan
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import ConflictBook
from accordant.ports.state import ConcurrentChange, State

#: How often a decision is planned anew because a worker changed the record meanwhile.
TRIES = 5
REASON_LENGTH_MAX = 300


class ConflictUnknown(RejectedError):
    """There is no conflict of this id."""

    remedy = "List them with `accordant conflicts list`."


class ConflictClosed(RejectedError):
    """The conflict cannot be decided this way now."""


class RestoreOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides what, and why."""

    conflict_id: str
    choice: Choice
    actor: str
    reason: str


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What a choice would do.

    ``value`` is what the field would be given, ``wanted`` what its owner wants today. ``is_refused``: the court
    says no, for the reasons in ``because``; else those are why the write waits, empty where it goes at once.
    """

    choice: Choice
    record: str
    field: str
    value: WireValue
    wanted: WireValue
    is_refused: bool
    because: str


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided and planned."""

    decision: ConflictDecision
    prospect: Prospect


def prospects(
    conflict: Conflict, *, book: ConflictBook, state: State, rulebook: Rulebook, switches: Switches, now: datetime
) -> tuple[Prospect, ...]:
    """What each choice a person has would do now. Raises ConflictClosed where there is nothing to decide any more."""
    owner_value = _owner_value(conflict, book, state, rulebook)
    contested = conflict.contested
    if contested.ruling.rule is ConflictRule.LOOP:
        choices = [(Choice.RELEASE, owner_value)]
    else:
        choices = [(Choice.OWNER, owner_value), (Choice.TARGET, contested.target.value)]
    route = rulebook.route(conflict.flow)
    assert route is not None  # noqa: S101  `_owner_value` has looked; said for the type checker
    field = frozenset({contested.field})
    verdicts = gate_asker(state, lambda: now)(route.rules.gates, conflict.account_id)
    found = []
    for choice, value in choices:
        kept = field if choice is Choice.TARGET else frozenset[str]()
        decision = decide(
            Case(
                flow=route.rules,
                fields=field,
                switches=switches,
                changing=field,
                kept=kept,
                verdicts=verdicts,
                accounts=(conflict.account_id,),
            )
        )
        found.append(
            Prospect(
                choice=choice,
                record=conflict.record,
                field=contested.field,
                value=value,
                wanted=owner_value,
                is_refused=not field <= decision.write | decision.held,
                because=decision.because,
            )
        )
    return tuple(found)


def restore(order: RestoreOrder, *, book: ConflictBook, state: State, rulebook: Rulebook, now: datetime) -> Restored:
    """Decide a conflict and plan what follows, in one transaction with the decision and its line in the trail.

    Raises ConflictUnknown, ConflictClosed (nothing to decide, the court refuses, or somebody was quicker), and
    RejectedError without a name or a reason.
    """
    actor, reason = order.actor.strip(), order.reason.strip()
    if not actor or not reason or len(reason) > REASON_LENGTH_MAX:
        raise RejectedError(
            "A conflict is decided by a named person for a stated reason.",
            remedy=f"Give both: who you are, and why, in at most {REASON_LENGTH_MAX} characters.",
        )
    conflict = book.find(order.conflict_id)
    if conflict is None:
        raise ConflictUnknown(f"There is no conflict {order.conflict_id[:60]!r}.")
    number = len(book.decisions(conflict.id)) + 1
    for _ in range(TRIES):
        switches = Switches.thrown(*state.policy())
        offered = prospects(conflict, book=book, state=state, rulebook=rulebook, switches=switches, now=now)
        prospect = _chosen(order.choice, offered)
        _check_open(conflict, order.choice, book)
        decision = ConflictDecision(
            conflict_id=conflict.id, number=number, choice=order.choice, actor=actor, reason=reason, at=now
        )
        changes = replan(
            [conflict.account_id],
            rulebook=rulebook,
            state=state,
            now=now,
            repair=frozenset({conflict.record}),
            stands=[_stand(conflict, decision, prospect)],
        )
        changes.decisions.append(decision)
        changes.audit.append(_entry(conflict, decision))
        try:
            state.commit(changes, now=now)
        except ConcurrentChange:
            if len(book.decisions(conflict.id)) >= number:
                raise ConflictClosed(
                    "Somebody else decided this conflict a moment ago.", remedy="Look at it again before you decide."
                ) from None
            continue
        return Restored(decision=decision, prospect=prospect)
    raise ConflictClosed("The record changes too fast to be decided now.", remedy="Try it again in a moment.")


def _owner_value(conflict: Conflict, book: ConflictBook, state: State, rulebook: Rulebook) -> WireValue:
    """What the owner wants in the field today, past any value that stands against it."""
    if rulebook.route(conflict.flow) is None:
        raise ConflictClosed(f"The charter has no flow named {conflict.flow} any more.", remedy="Nothing is written.")
    wanted = state.desired([conflict.record]).get(conflict.record)
    field = conflict.contested.field
    if wanted is None or field not in wanted.fields:
        raise ConflictClosed(
            f"Nothing is wanted in {field} of {conflict.record} today.",
            remedy="Its mapping, its customer or its key is gone; the values stay on this page.",
        )
    stand = book.stand(conflict.record, field)
    kept = stand is not None and stand.effect is StandEffect.KEEP and wanted.fields[field] == stand.value
    return stand.against if kept and stand is not None else wanted.fields[field]


def _chosen(choice: Choice, offered: tuple[Prospect, ...]) -> Prospect:
    prospect = next((one for one in offered if one.choice is choice), None)
    if prospect is None:
        known = " or ".join(one.choice.value for one in offered)
        raise ConflictClosed(f"This conflict cannot be decided with {choice.value}.", remedy=f"Choose {known}.")
    if prospect.is_refused:
        raise ConflictClosed(f"The court refuses: {prospect.because}", remedy="Change the charter first, if at all.")
    return prospect


def _check_open(conflict: Conflict, choice: Choice, book: ConflictBook) -> None:
    """Refuse what is in force already."""
    field, ruling = conflict.contested.field, conflict.contested.ruling
    stand = book.stand(conflict.record, field)
    if choice is Choice.RELEASE:
        if stand is None or stand.effect is not StandEffect.HOLD or stand.conflict_id != conflict.id:
            raise ConflictClosed(f"{field} is not held by this any more.", remedy="There is nothing to release.")
        return
    decisions = book.decisions(conflict.id)
    if decisions:
        same = decisions[-1].choice is choice and stand is not None and stand.conflict_id == conflict.id
    else:
        side = Side.OWNER if choice is Choice.OWNER else Side.TARGET
        in_force = stand is None if side is Side.OWNER else stand is not None and stand.conflict_id == conflict.id
        same = ruling.winner is side and in_force
    if same:
        raise ConflictClosed(f"The value of the {choice.value} is the one in force.", remedy="Nothing has to be done.")


def _stand(conflict: Conflict, decision: ConflictDecision, prospect: Prospect) -> Stand:
    contested, who = conflict.contested, f"{decision.actor} on {decision.at:%Y-%m-%d}: {decision.reason}"
    name, owner, target = contested.field, contested.owner.system, contested.target.system
    kept = f"{name} keeps the value of {target} until {owner} says something new. Decided by {who}"
    effect, said = {
        Choice.TARGET: (StandEffect.KEEP, kept),
        Choice.OWNER: (StandEffect.WRITE, f"{name} gets the value of {owner}. Decided by {who}"),
        Choice.RELEASE: (StandEffect.RELEASE, f"{name} is written again. Released by {who}"),
    }[decision.choice]
    return Stand(
        record=conflict.record,
        field=contested.field,
        effect=effect,
        value=contested.target.value,
        against=prospect.wanted,
        conflict_id=conflict.id,
        sentence=said,
        by=decision.actor,
        since_at=decision.at,
    )


def _entry(conflict: Conflict, decision: ConflictDecision) -> AuditEntry:
    return AuditEntry(
        kind="operations.conflict.decided",
        actor=decision.actor,
        subject=conflict.record,
        cause=None,
        at=decision.at,
        body={
            "conflict": conflict.id,
            "field": conflict.contested.field,
            "choice": decision.choice.value,
            "reason": decision.reason,
            "number": decision.number,
        },
    )
