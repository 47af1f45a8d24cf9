"""The court at dispatch time: what was allowed when it was planned is asked again before the first byte leaves.

The answer comes from the same rules with today's charter and switches, read after the intent was leased.
"""

from collections.abc import Iterable

import msgspec

from accordant.canonical.charter import Phase
from accordant.canonical.conflicts import StandEffect
from accordant.canonical.intents import WriteIntent
from accordant.governance.decide import Case, CompiledFlow, Switches
from accordant.governance.gates import AskGates, CompiledGate, GateVerdict, judge_gates, nobody_asks
from accordant.governance.hearing import Hearing
from accordant.governance.openings import AskOpening, OpeningVerdict, nobody_opens
from accordant.kernel.clock import Clock
from accordant.pipeline.openings import Sales
from accordant.pipeline.plan import Rulebook
from accordant.pipeline.workbench import Workbench
from accordant.ports.outbox import LeasedIntent
from accordant.ports.state import State

#: How long a write waits that a freeze of the nonessential or a red flag holds.
NONESSENTIAL_WAIT_S = 20.0


class Stop(msgspec.Struct, frozen=True):
    """An intent may not go out. ``final``: the rules changed, so it is cancelled; otherwise it waits for a switch.

    ``wait_s`` is the pause before it is looked at again, in seconds; None for the usual one.
    """

    sentence: str
    final: bool
    wait_s: float | None = None


def stop_of(
    leased: LeasedIntent,
    changing: frozenset[str],
    *,
    rulebook: Rulebook,
    hearing: Hearing,
    ask_gates: AskGates = nobody_asks,
    ask_opening: AskOpening = nobody_opens,
) -> Stop | None:
    """Why this intent may not be sent now, or None. ``changing`` are the fields the target does not hold yet.

    ``hearing`` has the switches as they were read for this call. ``ask_gates`` looks up what is recorded of its
    customer today; without it every gate holds. ``ask_opening`` does the same of the first write of a record.
    """
    switches = hearing.switches
    route = rulebook.route(leased.intent.flow)
    if route is None:
        return Stop(f"The charter has no flow named {leased.intent.flow} any more.", final=True)
    fields = frozenset(leased.intent.fields)
    kept = frozenset(
        name
        for name, stand in leased.known.stands.items()
        if stand.effect is StandEffect.KEEP and leased.intent.fields.get(name, stand.against) == stand.value
    )
    verdicts = ask_gates(route.rules.gates, account_of(leased.intent.lane))
    account = account_of(leased.intent.lane)
    decision = hearing.decide(
        Case(
            flow=route.rules,
            fields=fields,
            switches=switches,
            changing=changing,
            kept=kept,
            verdicts=verdicts,
            accounts=(account,),
            opening=ask_opening(leased.intent) if route.rules.trigger is not None else None,
        )
    )
    withheld = sorted(leased.intent.fields.keys() - decision.write)
    if not withheld:
        return None
    sentences = decision.because or f"The charter no longer lets {leased.intent.flow} write {', '.join(withheld)}."
    # Only the read tells what is nonessential, so such a write is leased and read again: not every second.
    waits_long = switches.is_nonessential_frozen or not switches.flags.keys().isdisjoint({account})
    wait_s = NONESSENTIAL_WAIT_S if waits_long else None
    return Stop(sentences, final=not decision.held.issuperset(withheld), wait_s=wait_s)


def gate_asker(state: State, clock: Clock) -> AskGates:
    """Asks gates with what is recorded at the moment of asking; where no gate stands nothing is looked up."""

    def ask(gates: Iterable[CompiledGate], account_id: str) -> dict[str, GateVerdict]:
        asked = tuple(gates)
        if not asked:
            return {}
        return judge_gates(asked, state.clearances([account_id]).get(account_id), now=clock())

    return ask


def opening_asker(state: State, rulebook: Rulebook, clock: Clock) -> AskOpening:
    """Asks whether records may be opened with what is known at the moment of asking."""

    def ask(intent: WriteIntent) -> OpeningVerdict | None:
        route = rulebook.route(intent.flow)
        bench = Workbench(state, clock())
        bench.load_entities([intent.entity.id])
        stored = bench.entity(intent.entity.id)
        if route is None or stored is None:
            return None
        record = f"{intent.target}:{intent.object}/{intent.key}"
        bench.sales[stored.root_id] = None
        sales = Sales(bench, rulebook.charter)
        sales.load({})
        bench.load_confirmed([record])
        bench.load_releases([record])
        deals = (deal for deal in sales.deals(stored.root_id, route.flow) if deal.stored.ref == intent.entity)
        deal = next(deals, None)
        if deal is None:
            return None
        return sales.verdict(deal, route.conditions, record=record, content=intent.input_digest, courier=True)

    return ask


def account_of(lane: str) -> str:
    """The customer of an outbound lane, which is named ``target:account``."""
    return lane.partition(":")[2]


def resting_flows(rulebook: Rulebook, switches: Switches) -> frozenset[str]:
    """Flows whose intents are not even leased now: paused in the charter or by a switch, or no more than a draft."""
    rules = [route.rules for routes in rulebook.routes.values() for route in routes]
    return frozenset(flow.name for flow in rules if _rests(flow, switches))


def _rests(flow: CompiledFlow, switches: Switches) -> bool:
    return switches.rests(flow) or flow.is_paused or bool(flow.stopped) or flow.ceiling(switches).phase is Phase.DRAFT
