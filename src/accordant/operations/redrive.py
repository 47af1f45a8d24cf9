"""Put dead letters back at the head of their lanes, as a plan: checked, counted, by a named person, for a named defect.

A write is not repeated as it was: today's desired record is planned, and the dead ones are superseded. An event is
taken again as it came. What may not go is refused with what is missing, the others go.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from accordant.governance.decide import Case, Switches, decide
from accordant.governance.gates import AskGates
from accordant.kernel.errors import RejectedError
from accordant.operations.redrive_checks import (
    Installed,
    RedriveOrder,
    check_order,
    check_role,
    window_objection,
    write_objection,
)
from accordant.pipeline.dispatch import gate_asker
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.replan import replan
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import DestinationClass
from accordant.ports.redrive import DeadIntent, DeadLetters, StuckEvent, WindowWaiver
from accordant.ports.state import ConcurrentChange, State

#: Dead letters put back in one commit.
_BATCH = 500
_TRIES = 5


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive is judged by, beside what the store holds.

    ``windows`` says of each connection for how many days its provider lists events, None where it lists none.
    ``offers`` says what a target offers against writing one object twice, None for one that is not there.
    ``redrivers`` are the people who may; empty means everybody with a name.
    """

    installed: Installed
    redrivers: tuple[str, ...]
    windows: Mapping[str, int | None]
    offers: Callable[[str, str], DestinationClass | None]


class RedriveRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter that stays where it is, and why."""

    id: str
    reason: str


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order. ``waiting_lanes`` stay closed, since other dead letters of theirs were not put back."""

    intents: tuple[str, ...] = ()
    events: tuple[int, ...] = ()
    refused: tuple[RedriveRefusal, ...] = ()
    waiting_lanes: tuple[str, ...] = ()


class RedrivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the named dead letters would go back now, and what is missing for the others. Nothing was changed."""

    intents: tuple[DeadIntent, ...]
    events: tuple[StuckEvent, ...]
    refused: tuple[RedriveRefusal, ...]


def plan_redrive(
    *,
    ids: Iterable[str],
    actor: str,
    terms: Terms,
    letters: DeadLetters,
    state: State,
    rulebook: Rulebook,
    switches: Switches,
    now: datetime,
) -> RedrivePlan:
    """Look at the named dead letters, intents by id, events as ``event/NUMBER``, and at all that a redrive asks."""
    wanted = list(dict.fromkeys(ids))
    seqs = {name: int(name.removeprefix("event/")) for name in wanted if name.removeprefix("event/").isdecimal()}
    intents = {intent.id: intent for intent in letters.find_intents(name for name in wanted if name not in seqs)}
    events = {f"event/{event.seq}": event for event in letters.find_events(seqs.values())}
    refused = [
        RedriveRefusal(id=name, reason="It is not a dead letter (any more).")
        for name in wanted
        if name not in intents and (name not in seqs or f"event/{seqs[name]}" not in events)
    ]
    waivers = letters.waivers([*intents, *events])
    answered = letters.answered({intent.record for intent in intents.values()})
    ask_gates = gate_asker(state, lambda: now)
    ready: list[DeadIntent] = []
    for intent in intents.values():
        reason = _too_old(intent.id, intent.said_by, intent.said_at, waivers, actor=actor, terms=terms, now=now)
        reason = reason or _obstacle(
            intent, rulebook, terms, switches, ask_gates, is_answered=intent.record in answered
        )
        if reason is None:
            ready.append(intent)
        else:
            refused.append(RedriveRefusal(id=intent.id, reason=reason))
    revived: list[StuckEvent] = []
    for name, event in events.items():
        reason = _too_old(name, event.connection, event.said_at, waivers, actor=actor, terms=terms, now=now)
        if reason is None:
            revived.append(event)
        else:
            refused.append(RedriveRefusal(id=name, reason=reason))
    return RedrivePlan(intents=tuple(ready), events=tuple(revived), refused=tuple(refused))


def redrive(
    *,
    ids: Iterable[str],
    order: RedriveOrder,
    terms: Terms,
    letters: DeadLetters,
    state: State,
    rulebook: Rulebook,
    switches: Switches,
    now: datetime,
) -> Redriven:
    """Put back the named dead letters: intents by id, events as ``event/NUMBER``.

    Raises RejectedError for an order that lacks something, and for a person or a fix that may not (see
    ``redrive_checks.check_order``). Run again after a crash, it goes on.
    """
    check_order(order, installed=terms.installed, redrivers=terms.redrivers)
    looked_at = plan_redrive(
        ids=ids,
        actor=order.actor,
        terms=terms,
        letters=letters,
        state=state,
        rulebook=rulebook,
        switches=switches,
        now=now,
    )
    planned: list[DeadIntent] = []
    refused = list(looked_at.refused)
    waiting: frozenset[str] = frozenset()
    for start in range(0, len(looked_at.intents), _BATCH):
        batch = looked_at.intents[start : start + _BATCH]
        going, staying = _plan(batch, state=state, rulebook=rulebook, now=now)
        if going:
            entries = [_entry(one, order, terms, now) for one in going]
            waiting |= letters.replace_intents(going, entries, now=now)
        planned += going
        refused += staying
    if looked_at.events:
        entries = [_entry(event, order, terms, now) for event in looked_at.events]
        waiting |= letters.revive_events(looked_at.events, entries, now=now)
    return Redriven(
        intents=tuple(intent.id for intent in planned),
        events=tuple(event.seq for event in looked_at.events),
        refused=tuple(refused),
        waiting_lanes=tuple(sorted(waiting)),
    )


def waive_window(
    *, ids: Iterable[str], actor: str, reason: str, terms: Terms, letters: DeadLetters, now: datetime
) -> tuple[str, ...]:
    """Let dead letters go back although their provider can no longer list the events behind them; which were found.

    Somebody else has to redrive them, within ``WAIVER_LIFE``. Raises RejectedError without a name or a reason, and for
    a person who may not redrive.
    """
    if not actor.strip() or not reason.strip():
        raise RejectedError(
            "A waiver needs a name and a reason.", remedy="Say who you are, and why it is safe although it is old."
        )
    check_role(actor, terms.redrivers)
    wanted = list(dict.fromkeys(ids))
    seqs = [int(name.removeprefix("event/")) for name in wanted if name.removeprefix("event/").isdecimal()]
    found = [intent.id for intent in letters.find_intents(wanted)]
    found += [f"event/{event.seq}" for event in letters.find_events(seqs)]
    waivers = [
        WindowWaiver(letter=name, granted_by=actor.strip(), reason=reason.strip(), granted_at=now) for name in found
    ]
    entries = [
        AuditEntry(
            kind="operations.letter.waived",
            actor=one.granted_by,
            subject=one.letter,
            cause=None,
            at=now,
            body={"letter": one.letter, "reason": one.reason},
        )
        for one in waivers
    ]
    letters.waive(waivers, entries)
    return tuple(found)


def _too_old(
    name: str,
    said_by: str | None,
    said_at: datetime | None,
    waivers: Mapping[str, WindowWaiver],
    *,
    actor: str,
    terms: Terms,
    now: datetime,
) -> str | None:
    """Why the event behind a letter is too old for one person's word."""
    window_days = None if said_by is None else terms.windows.get(said_by)
    return window_objection(said_at=said_at, window_days=window_days, waiver=waivers.get(name), actor=actor, now=now)


def _obstacle(
    intent: DeadIntent,
    rulebook: Rulebook,
    terms: Terms,
    switches: Switches,
    ask_gates: AskGates,
    *,
    is_answered: bool,
) -> str | None:
    """Why this write may not be put back now."""
    route = rulebook.route(intent.flow)
    if route is None:
        return f"The charter has no flow named {intent.flow} any more."
    twice = write_objection(intent.target, terms.offers(intent.target, intent.object), is_answered=is_answered)
    if twice is not None:
        return twice
    verdicts = ask_gates(route.rules.gates, intent.account_id)
    decision = decide(
        Case(
            flow=route.rules, fields=intent.fields, switches=switches, verdicts=verdicts, accounts=(intent.account_id,)
        )
    )
    if decision.write:
        return None
    return decision.because or f"The flow {intent.flow} may not write now."


def _plan(
    ready: Sequence[DeadIntent], *, state: State, rulebook: Rulebook, now: datetime
) -> tuple[list[DeadIntent], list[RedriveRefusal]]:
    """Plan today's desired records. A dead letter for which nothing is planned stays, or it would be forgotten."""
    accounts = sorted({intent.account_id for intent in ready})
    repair = frozenset(intent.record for intent in ready)
    for _ in range(_TRIES - 1):
        changes = replan(accounts, rulebook=rulebook, state=state, now=now, repair=repair)
        # Live traffic goes on meanwhile: who comes second decides again.
        with suppress(ConcurrentChange):
            state.commit(changes, now=now)
            break
    else:
        changes = replan(accounts, rulebook=rulebook, state=state, now=now, repair=repair)
        state.commit(changes, now=now)
    written = {
        f"{planned.intent.target}:{planned.intent.object}/{planned.intent.key}"
        for planned in changes.intents
        if not planned.shadow
    }
    planned = [intent for intent in ready if intent.record in written]
    reason = "Today nothing is to be written to this record: its customer, its mapping or its key is gone."
    return planned, [RedriveRefusal(id=one.id, reason=reason) for one in ready if one.record not in written]


def _entry(letter: DeadIntent | StuckEvent, order: RedriveOrder, terms: Terms, now: datetime) -> AuditEntry:
    """The line of the trail: what went back, by whose word, and against which state of ours and of the charter."""
    return AuditEntry(
        kind="operations.letter.redriven",
        actor=order.actor.strip(),
        subject=letter.record if isinstance(letter, DeadIntent) else f"event/{letter.seq}",
        cause=None if isinstance(letter, DeadIntent) else letter.seq,
        at=now,
        body={
            "letter": letter.id if isinstance(letter, DeadIntent) else letter.state,
            "reason": order.reason.strip(),
            "defect": order.defect.strip(),
            "fix": order.fix.strip(),
            "release": terms.installed.release,
            "charter": terms.installed.charter,
        },
    )
