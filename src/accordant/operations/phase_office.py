"""Where a flow is widened and narrowed: what a desk is judged by, gathered anew for every question.

Held by the hub; the command line and the console ask here. Next: `widen.py`, which judges.
"""

from collections.abc import Callable, Mapping

from accordant.canonical.charter import Charter, Phase
from accordant.canonical.phases import EvidencePack, Grant
from accordant.governance.charter import check_charter
from accordant.governance.decide import Switches
from accordant.governance.findings import ConnectorFacts
from accordant.governance.grants import Ceiling
from accordant.governance.phases import Tier, cap_of, is_wider, next_phase
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.operations import widen
from accordant.operations.people_office import PeopleOffice
from accordant.operations.widen import WideningDesk
from accordant.pipeline.plan import Rulebook
from accordant.ports.audit import AuditEntry
from accordant.ports.phases import PhaseBook


class PhaseOffice:
    """The phases of one hub. Everything is asked as it stands at that moment."""

    def __init__(
        self,
        book: PhaseBook,
        rulebook: Callable[[], Rulebook],
        switches: Callable[[], Switches],
        clock: Clock,
        *,
        tiers: Callable[[Charter], Mapping[str, Tier]],
        facts: Callable[[], Mapping[str, ConnectorFacts]],
        people: PeopleOffice,
    ) -> None:
        self.book = book
        self._rulebook = rulebook
        self._switches = switches
        self._clock = clock
        self._tiers = tiers
        self._facts = facts
        self._people = people

    def desk(self, flow: str) -> WideningDesk:
        """What a widening of this flow is judged by. Raises ConfigurationError for one the charter does not have."""
        rulebook = self._rulebook()
        tiers = self._tiers(rulebook.charter)
        route = rulebook.route(flow)
        if route is None:
            known = ", ".join(part.name for part in rulebook.charter.flows)
            raise ConfigurationError(f"The charter has no flow named {flow!r}.", remedy=f"Its flows are: {known}.")
        return WideningDesk(
            charter=rulebook.charter,
            flow=route.flow,
            rules=route.rules,
            cap=cap_of(tiers[route.flow.source], tiers[route.flow.target]),
            defects=check_charter(rulebook.charter, connectors=self._facts()),
            switches=self._switches(),
            book=self.book,
            now=self._clock(),
            proved=self._people.is_configured,
            one_hand=self._people.one_hand,
        )

    def standing(self) -> dict[str, Ceiling]:
        """How far each flow may go now."""
        switches = self._switches()
        return {route.flow.name: route.rules.ceiling(switches) for route in self._rulebook().all_routes}

    def environment(self) -> str:
        """Demo where every target is a stand-in, live where a real one may be written, else read-only."""
        rulebook = self._rulebook()
        systems = rulebook.charter.systems
        real = [route.rules for route in rulebook.all_routes if not systems[route.flow.target].stand_in]
        if not real:
            return "demo"
        switches = self._switches()
        writes = any(is_wider(rules.ceiling(switches).phase, Phase.READ_ONLY) for rules in real)
        return "live" if writes else "read-only"

    def evidence(self, flow: str) -> EvidencePack:
        """Today's evidence for the next step of a flow."""
        desk = self.desk(flow)
        return widen.collect(desk, next_phase(desk.in_force))

    def request(self, flow: str, phase: Phase, *, actor: str, reason: str) -> tuple[str, EvidencePack]:
        """Ask for one wider phase on today's evidence; the proposal's id and the evidence. Raises WideningRefused."""
        return widen.request(self.desk(flow), wished=phase, actor=actor, reason=reason)

    def approve(self, proposal: str, *, actor: str, reason: str) -> Grant:
        """Grant what another person requested. Raises WideningRefused and what `ports.phases` names."""
        grant = widen.approve(self.desk, proposal, actor=actor, reason=reason, book=self.book)
        self._people.tell_one_hand(grant.requested_by, grant.granted_by, what=f"a wider phase of {grant.flow}")
        return grant

    def narrow(self, flow: str, phase: Phase, *, actor: str, reason: str) -> Grant:
        """Take a flow back, at once. Raises WideningRefused."""
        return widen.narrow(self.desk(flow), phase=phase, actor=actor, reason=reason)

    def keep_to_charter(self) -> None:
        """Take back what the charter no longer wishes."""
        widen.keep_to_charter(self._rulebook().charter, book=self.book, now=self._clock())

    def exemptions(self) -> list[AuditEntry]:
        """The lines of the trail that say which flows write to a stand-in without a grant."""
        return list(widen.exemptions(self._rulebook().charter, now=self._clock()))
