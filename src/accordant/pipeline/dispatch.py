"""The court at dispatch time: what was allowed when it was planned is asked again before the first byte leaves.

The answer comes from the same rules with today's charter and switches, read after the intent was leased.
"""

import msgspec

from accordant.canonical.charter import Phase
from accordant.governance.decide import Case, CompiledFlow, Switches, decide
from accordant.pipeline.plan import Rulebook
from accordant.ports.outbox import LeasedIntent


class Stop(msgspec.Struct, frozen=True):
    """An intent may not go out. ``final``: the rules changed, so it is cancelled; otherwise it waits for a switch."""

    sentence: str
    final: bool


def stop_of(leased: LeasedIntent, rulebook: Rulebook, switches: Switches) -> Stop | None:
    """Why this intent may not be sent now, or None."""
    route = rulebook.route(leased.intent.flow)
    if route is None:
        return Stop(f"The charter has no flow named {leased.intent.flow} any more.", final=True)
    decision = decide(Case(flow=route.rules, fields=frozenset(leased.intent.fields), switches=switches))
    withheld = sorted(leased.intent.fields.keys() - decision.write)
    if not withheld:
        return None
    sentences = decision.because or f"The charter no longer lets {leased.intent.flow} write {', '.join(withheld)}."
    return Stop(sentences, final=not decision.held.issuperset(withheld))


def resting_flows(rulebook: Rulebook, switches: Switches) -> frozenset[str]:
    """Flows whose intents are not even leased now: paused in the charter or by a switch, or still a draft."""
    rules = [route.rules for routes in rulebook.routes.values() for route in routes]
    return frozenset(flow.name for flow in rules if _rests(flow, switches))


def _rests(flow: CompiledFlow, switches: Switches) -> bool:
    stopped = flow.name in switches.flows or not switches.systems.isdisjoint({flow.source, flow.target})
    return switches.is_frozen or stopped or flow.is_paused or flow.phase is Phase.DRAFT
