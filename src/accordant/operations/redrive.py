"""Put dead letters back at the head of their lanes: checked, counted, by a named person, for a named defect.

A write is not repeated as it was: today's desired record is planned, and the dead ones are superseded. An event is
taken again as it came. What may not go is refused with its reason, the others go.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from accordant.governance.decide import Case, Switches, decide
from accordant.governance.gates import AskGates
from accordant.kernel.errors import RejectedError
from accordant.pipeline.dispatch import gate_asker
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.replan import replan
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import DestinationClass
from accordant.ports.redrive import DeadIntent, DeadLetters
from accordant.ports.state import State

#: Dead letters looked through for one pattern.
LETTERS_MAX = 10_000


class RedriveOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Who puts back, why, and which defect was mended: all three are kept in the trail."""

    actor: str
    reason: str
    defect: str


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


class LetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters that tell one story."""

    where: str
    reason: str
    count: int
    ids: tuple[str, ...]


def find_letters(*, letters: DeadLetters, pattern: str = "") -> tuple[LetterGroup, ...]:
    """Dead letters whose reason, name or place holds ``pattern`` (any case), grouped, the largest group first."""
    wanted = pattern.casefold()
    groups: dict[tuple[str, str], list[str]] = {}
    for intent in letters.dead_intents(limit=LETTERS_MAX):
        if wanted in f"{intent.reason} {intent.record} {intent.flow} {intent.id}".casefold():
            groups.setdefault((f"write to {intent.target}, flow {intent.flow}", intent.reason), []).append(intent.id)
    for event in letters.stuck_events(limit=LETTERS_MAX):
        name = f"event/{event.seq}"
        if wanted in f"{event.reason} {event.event_type} {event.connection} {event.state} {name}".casefold():
            where = f"{event.state} event of {event.connection}, {event.event_type}"
            groups.setdefault((where, event.reason), []).append(name)
    found = [
        LetterGroup(where=where, reason=reason, count=len(ids), ids=tuple(ids))
        for (where, reason), ids in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: (-group.count, group.where, group.reason)))


def redrive(
    *,
    ids: Iterable[str],
    order: RedriveOrder,
    letters: DeadLetters,
    state: State,
    rulebook: Rulebook,
    destinations: Mapping[str, DestinationClass],
    switches: Switches,
    now: datetime,
) -> Redriven:
    """Put back the named dead letters: intents by id, events as ``event/NUMBER``.

    Raises RejectedError for an order without a name, a reason or a defect. Run again after a crash, it goes on.
    """
    lacking = [name for name in ("actor", "reason", "defect") if not getattr(order, name).strip()]
    if lacking:
        raise RejectedError(
            f"A redrive needs its {' and its '.join(lacking)}.",
            remedy="Say who you are, why it is to be tried again, and which defect was mended.",
        )
    wanted = list(dict.fromkeys(ids))
    seqs = {name: int(name.removeprefix("event/")) for name in wanted if name.removeprefix("event/").isdecimal()}
    intents = {intent.id: intent for intent in letters.find_intents(name for name in wanted if name not in seqs)}
    events = {f"event/{event.seq}": event for event in letters.find_events(seqs.values())}
    refused = [
        RedriveRefusal(id=name, reason="It is not a dead letter (any more).")
        for name in wanted
        if name not in intents and (name not in seqs or f"event/{seqs[name]}" not in events)
    ]
    ask_gates = gate_asker(state, lambda: now)
    ready, stopped = _check(intents.values(), rulebook, destinations, switches, ask_gates)
    planned, unplanned = _plan(ready, state=state, rulebook=rulebook, now=now)
    refused += [*stopped, *unplanned]
    waiting: frozenset[str] = frozenset()
    if planned:
        waiting |= letters.replace_intents(
            planned, [_entry(one.record, one.id, order, now) for one in planned], now=now
        )
    revived = tuple(events.values())
    if revived:
        entries = [_entry(f"event/{event.seq}", event.state, order, now, event.seq) for event in revived]
        waiting |= letters.revive_events(revived, entries, now=now)
    return Redriven(
        intents=tuple(intent.id for intent in planned),
        events=tuple(event.seq for event in revived),
        refused=tuple(refused),
        waiting_lanes=tuple(sorted(waiting)),
    )


def _check(
    intents: Iterable[DeadIntent],
    rulebook: Rulebook,
    destinations: Mapping[str, DestinationClass],
    switches: Switches,
    ask_gates: AskGates,
) -> tuple[list[DeadIntent], list[RedriveRefusal]]:
    ready, refused = [], []
    for intent in intents:
        reason = _obstacle(intent, rulebook, destinations, switches, ask_gates)
        if reason is None:
            ready.append(intent)
        else:
            refused.append(RedriveRefusal(id=intent.id, reason=reason))
    return ready, refused


def _obstacle(
    intent: DeadIntent,
    rulebook: Rulebook,
    destinations: Mapping[str, DestinationClass],
    switches: Switches,
    ask_gates: AskGates,
) -> str | None:
    """Why this write may not be put back now."""
    route = rulebook.route(intent.flow)
    if route is None:
        return f"The charter has no flow named {intent.flow} any more."
    if destinations.get(intent.target) in {None, DestinationClass.NOTHING}:
        return f"{intent.target} offers nothing against writing twice; write this record there by hand."
    verdicts = ask_gates(route.rules.gates, intent.account_id)
    decision = decide(Case(flow=route.rules, fields=intent.fields, switches=switches, verdicts=verdicts))
    if decision.write:
        return None
    return decision.because or f"The flow {intent.flow} may not write now."


def _plan(
    ready: Sequence[DeadIntent], *, state: State, rulebook: Rulebook, now: datetime
) -> tuple[list[DeadIntent], list[RedriveRefusal]]:
    """Plan today's desired records. A dead letter for which nothing is planned stays, or it would be forgotten."""
    if not ready:
        return [], []
    accounts = sorted({intent.account_id for intent in ready})
    changes = replan(
        accounts, rulebook=rulebook, state=state, now=now, repair=frozenset(intent.record for intent in ready)
    )
    written = {
        f"{planned.intent.target}:{planned.intent.object}/{planned.intent.key}"
        for planned in changes.intents
        if not planned.shadow
    }
    state.commit(changes, now=now)
    planned = [intent for intent in ready if intent.record in written]
    reason = "Today nothing is to be written to this record: its customer, its mapping or its key is gone."
    return planned, [RedriveRefusal(id=one.id, reason=reason) for one in ready if one.record not in written]


def _entry(subject: str, what: str, order: RedriveOrder, now: datetime, cause: int | None = None) -> AuditEntry:
    return AuditEntry(
        kind="operations.letter.redriven",
        actor=order.actor.strip(),
        subject=subject,
        cause=cause,
        at=now,
        body={"letter": what, "reason": order.reason.strip(), "defect": order.defect.strip()},
    )
