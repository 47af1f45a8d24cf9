"""Rooms 3 to 6 for one batch: interpret, register, decide, plan; then one commit of everything, or of nothing.

Pure functions see one thing at a time; the batch has one load and one commit, which is where the speed comes from.
Next: `pipeline/deliver.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from accordant.canonical.charter import Automation
from accordant.canonical.observations import Interpreted, Parked, Quarantined
from accordant.canonical.red_flags import stop_of_flag
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.governance.decide import Switches
from accordant.pipeline.bookkeep import bookkeep, recall_doubted
from accordant.pipeline.collect import note_owners
from accordant.pipeline.flagging import raise_flags
from accordant.pipeline.interpret import Understood, interpret
from accordant.pipeline.listen import Listener
from accordant.pipeline.plan import Rulebook, plan
from accordant.pipeline.register import Doubt, load_for, observations_of, register, sightings_of
from accordant.pipeline.workbench import ACTOR, Workbench
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import Inbound
from accordant.ports.inbox import FAILED, InboxEvent, WorkState
from accordant.ports.state import Changes, LanePark, Settlement, State

#: An account, or the payment of a dispute, that nobody has told us of is asked for after this pause: its own event is
#: usually on the way.
PARENT_GRACE = timedelta(seconds=2)


def process(
    events: Sequence[InboxEvent],
    *,
    connectors: Mapping[str, Inbound],
    rulebook: Rulebook,
    state: State,
    now: datetime,
    asleep: frozenset[Automation] | None = None,
) -> Changes:
    """Take a batch of events to decided, uncommitted changes. Raises only for defects of ours; see ``set_aside``.

    ``asleep`` says that these events were walked before: flows that set off such automations lay down nothing, and what
    targets said of hand edits was looked at then.
    """
    bench = Workbench(state, now)
    understood = [interpret(event, connectors) for event in events]
    if asleep is not None:
        understood = [_without_sightings(one) for one in understood]
    load_for(understood, bench)
    listener = Listener(rulebook, connectors)
    listener.load(observations_of(understood), sightings_of(understood), state)
    doubts = {one.event.seq: register(one, bench, listener) for one in understood}
    bench.rebuild_standings()
    if asleep is not None:
        bench.doubted.clear()
    note_owners(bench)
    bookkeep(bench, rulebook.ledger, state.books)
    if rulebook.ledger is not None and bench.doubted:
        recall_doubted(bench, state.books)
    raised = raise_flags(bench, rulebook.charter.red_flags, events, state)
    policy = state.policy()
    stops = [*policy.flag_stops, *(stop_of_flag(flag) for flag in raised)]
    switches = Switches.thrown(policy.switches, policy.grants, stops)
    plan(bench, rulebook, switches, asleep=asleep or frozenset())
    for one in understood:
        doubt = doubts[one.event.seq] or _missing_account(one, bench)
        bench.changes.settlements.append(_settle(one, doubt, bench))
    bench.tell_links(_named(understood))
    return bench.collect()


def _without_sightings(one: Understood) -> Understood:
    """What a target holds today was looked at when it was told; a replay asks nobody."""
    meaning = one.interpretation
    if not isinstance(meaning, Interpreted) or not meaning.sightings:
        return one
    return msgspec.structs.replace(one, interpretation=msgspec.structs.replace(meaning, sightings=()))


def _named(understood: Sequence[Understood]) -> Iterator[tuple[ExternalRef, int]]:
    """The objects that events name, each with the event."""
    for one in understood:
        if isinstance(one.interpretation, Interpreted):
            for observation in one.interpretation.observations:
                yield observation.ref, one.event.seq
                yield observation.root, one.event.seq


def set_aside(event: InboxEvent, problem: str, *, now: datetime) -> Changes:
    """The changes that put a single event aside, and stop its lane, when processing it failed."""
    reason = f"{FAILED} {problem}"
    bench_changes = Changes()
    bench_changes.settlements.append(Settlement(seq=event.seq, state=WorkState.DEAD, reason=reason, due_at=now))
    bench_changes.parks.append(
        LanePark(lane=event.lane, direction="inbound", cause=f"event/{event.seq}", reason=reason)
    )
    bench_changes.audit.append(
        AuditEntry(
            kind="interpreter.event.set_aside",
            actor=ACTOR,
            subject=f"event/{event.seq}",
            cause=event.seq,
            at=now,
            body={"reason": reason},
        )
    )
    return bench_changes


def _settle(one: Understood, doubt: Doubt | None, bench: Workbench) -> Settlement:
    event, now = one.event, bench.now
    match one.interpretation:
        case Parked(reason=reason):
            bench.note("interpreter.event.parked", f"event/{event.seq}", event.seq, {"reason": reason})
            return Settlement(seq=event.seq, state=WorkState.PARKED, reason=reason, due_at=now)
        case Quarantined(reason=reason, where=where):
            text = f"{reason} (at {where})" if where else reason
            bench.note("interpreter.event.quarantined", f"event/{event.seq}", event.seq, {"reason": text})
            return Settlement(seq=event.seq, state=WorkState.QUARANTINED, reason=text, due_at=now)
        case Interpreted():
            if doubt is None:
                return Settlement(seq=event.seq, state=WorkState.PROCESSED, reason=None, due_at=now)
            due = now if doubt.immediately else now + PARENT_GRACE
            return Settlement(seq=event.seq, state=WorkState.AWAITING_REREAD, reason=str(doubt.ask), due_at=due)


def _missing_account(one: Understood, bench: Workbench) -> Doubt | None:
    """The account this event belongs to, where nobody has described it yet: its owner must be asked."""
    if not isinstance(one.interpretation, Interpreted):
        return None
    for seen in one.interpretation.observations:
        root = bench.links.get(seen.root)
        if root is not None and root.kind is EntityKind.ACCOUNT and bench.account(root.id) is None:
            return Doubt(ask=seen.root, immediately=False)
    return None
