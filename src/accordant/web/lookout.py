"""How a hub looks for what never reached it: sweeps, silence, and the endpoints its providers deliver to.

Wires `operations/sweep.py`, `operations/silence.py` and `operations/endpoints.py` to one hub; the caretaker and the
command line ask here.
"""

from datetime import datetime, timedelta
from functools import partial

from accordant.bootstrap import Hub
from accordant.connectors import registry
from accordant.connectors.sdk.manifest import InboundPart
from accordant.kernel.clock import from_micros, to_micros
from accordant.kernel.errors import AccordantError, ConfigurationError
from accordant.operations.endpoints import Adopted, AdoptionOrder, EndpointFinding, adopt_endpoint, check_endpoint
from accordant.operations.reconcile import Progress
from accordant.operations.settlement import SettlementReport, Settling, settle_payouts
from accordant.operations.silence import Ear, SilenceRound, listen_for_silence
from accordant.operations.sweep import (
    SETTLING,
    SETTLING_UNSENT,
    SLICE,
    SLICE_UNSENT,
    Source,
    Sweep,
    SweepCursors,
    SweepReport,
)
from accordant.ports.audit import AuditEntry
from accordant.ports.connector import EndpointLister, EventLister, SettlementLister
from accordant.ports.state import Changes
from accordant.store.missed import SqlMissedBook
from accordant.store.payouts import SqlPayoutBook

#: Who holds this lease sweeps; a second sweep beside it would only do the same again.
_LEASE = timedelta(minutes=10)


class Lookout:
    """Looks for one hub's missed events."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._book = SqlMissedBook(hub.database)
        self._since = hub.clock()

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that list their own events, by name."""
        return tuple(
            sorted(
                name
                for name, reader in self._hub.readers.items()
                if name in self._hub.inbounds and _lister(reader) is not None and self._inbound_part(name)
            )
        )

    @property
    def delivering(self) -> tuple[str, ...]:
        """Those of ``systems`` that deliver their events too: there a sweep finds what was lost."""
        return tuple(name for name in self.systems if self._delivers(name))

    @property
    def silent(self) -> tuple[str, ...]:
        """Those of ``systems`` that send nothing by themselves: what they have to say has to be asked for."""
        return tuple(name for name in self.systems if not self._delivers(name))

    async def sweep(
        self, system: str, *, actor: str, since: datetime | None = None, progress: Progress | None = None
    ) -> SweepReport:
        """Take in what a system lists and the inbox lacks, from where the last sweep ended, or from ``since``.

        Raises ConfigurationError for a system that lists nothing, TransientError while another process sweeps it, and
        as its reader.
        """
        hub = self._hub
        name = f"sweep/{system}"
        source = self._source(system)
        token = hub.leases.acquire(name, ttl=_LEASE, now=hub.clock())
        try:
            sweep = Sweep(
                source,
                inbox=hub.inbox,
                book=self._book,
                keep=partial(self._keep, system),
                audit=self._audit,
                rescan=lambda scope: hub.compare_source(system, actor=actor, scope=scope, feed=True, progress=progress),
                clock=hub.clock,
                progress=progress,
            )
            report = await sweep.run(self._cursors(system), actor=actor, since=since)
        finally:
            hub.leases.release(name, token=token)
        return report

    @property
    def settling(self) -> tuple[str, ...]:
        """The systems that tell what their payouts settled, by name."""
        hub = self._hub
        return tuple(
            sorted(
                name
                for name, reader in hub.readers.items()
                if name in hub.inbounds and _settlement_lister(reader) is not None
            )
        )

    async def settle(self, system: str) -> SettlementReport:
        """Take in what a system's paid payouts settled.

        Raises ConfigurationError for one that does not tell, TransientError while another process asks, and as its
        reader.
        """
        hub = self._hub
        lister, inbound = _settlement_lister(hub.readers.get(system)), hub.inbounds.get(system)
        if inbound is None or lister is None:
            raise ConfigurationError(
                f"{system} does not tell what its payouts settled.",
                remedy=f"Systems that do, with their API key set: {', '.join(self.settling) or 'none'}.",
            )
        name = f"settlement/{system}"
        token = hub.leases.acquire(name, ttl=_LEASE, now=hub.clock())
        try:
            return await settle_payouts(
                Settling(system=system, lister=lister, inbound=inbound),
                inbox=hub.inbox,
                seen=self._book,
                book=SqlPayoutBook(hub.database),
                clock=hub.clock,
            )
        finally:
            hub.leases.release(name, token=token)

    async def listen(self, system: str) -> SilenceRound:
        """Look once whether any type of a system's events has fallen silent. Raises as ``sweep``."""
        hub, source, part = self._hub, self._source(system), self._inbound_part(system)
        ear = Ear(
            system=system,
            lister=source.lister,
            inbound=source.inbound,
            delivered=frozenset() if part is None else part.delivered,
            fixed=hub.charter.systems[system].silence_s,
            listening_since=self._since,
        )
        return await listen_for_silence(ear, book=self._book, now=hub.clock())

    async def adopt(self, system: str, *, url: str | None, actor: str) -> Adopted:
        """Take the endpoint that delivers to ``url`` for this hub's; without one, look again at the adopted one.

        Nothing is changed at the provider. Raises ConfigurationError for a system that tells nothing of its endpoints,
        RejectedError where none delivers to ``url``, and as its reader.
        """
        lister, expected = self._endpoints(system)
        order = AdoptionOrder(system=system, url=url, actor=actor, at=self._hub.clock())
        return await adopt_endpoint(order, lister=lister, expected=expected, book=self._book, audit=self._audit)

    async def endpoint_findings(self) -> tuple[dict[str, tuple[EndpointFinding, ...]], dict[str, str]]:
        """What is wrong with the adopted endpoint of each system, and which could not be asked, with the reason."""
        found: dict[str, tuple[EndpointFinding, ...]] = {}
        unasked: dict[str, str] = {}
        for system in self.systems:
            try:
                lister, expected = self._endpoints(system)
                found[system] = await check_endpoint(system, lister=lister, expected=expected, book=self._book)
            except AccordantError as error:
                unasked[system] = str(error)
        return found, unasked

    def _endpoints(self, system: str) -> tuple[EndpointLister, frozenset[str]]:
        lister, part = _endpoint_lister(self._hub.readers.get(system)), self._inbound_part(system)
        if (only := self._only_declared(system)) is not None:
            raise only
        if lister is None or part is None:
            raise ConfigurationError(
                f"{system} does not tell to whom it delivers.",
                remedy=f"Systems that do, with their API key set: {', '.join(self.systems) or 'none'}.",
            )
        return lister, frozenset(part.events)

    def _only_declared(self, system: str) -> ConfigurationError | None:
        part = self._hub.charter.systems.get(system)
        if part is None:
            return None
        manifest = registry.connector(part.connector, where=f"systems.{system}").manifest
        if manifest.declared is None:
            return None
        return ConfigurationError(
            f"{system} is only declared: nothing is read from it or written to it, because no code for "
            f"{manifest.title} is here. {manifest.declared.because}",
            remedy=manifest.declared.meanwhile,
        )

    def _source(self, system: str) -> Source:
        lister, inbound = _lister(self._hub.readers.get(system)), self._hub.inbounds.get(system)
        part = self._inbound_part(system)
        if lister is None or inbound is None or part is None:
            raise ConfigurationError(
                f"{system} gives no list of its events that could be swept.",
                remedy=f"Systems that do, with their API key set: {', '.join(self.systems) or 'none'}.",
            )
        return Source(
            system=system,
            lister=lister,
            inbound=inbound,
            event_types=frozenset(part.events),
            window=timedelta(days=part.replay_window_days),
            settling=SETTLING if part.delivered else SETTLING_UNSENT,
            slice=SLICE if part.delivered else SLICE_UNSENT,
        )

    def _delivers(self, system: str) -> bool:
        part = self._inbound_part(system)
        return part is not None and bool(part.delivered)

    def _inbound_part(self, system: str) -> InboundPart | None:
        part = self._hub.charter.systems.get(system)
        return None if part is None else registry.connector(part.connector, where=f"systems.{system}").manifest.inbound

    def _cursors(self, system: str) -> SweepCursors:
        done, asked = (self._hub.cursors.read(f"{name}/{system}") for name in ("sweep", "sweep-undelivered"))
        return SweepCursors(
            done_to=None if done is None else from_micros(done),
            undelivered_at=None if asked is None else from_micros(asked),
        )

    def _keep(self, system: str, cursors: SweepCursors) -> None:
        for name, moment in (("sweep", cursors.done_to), ("sweep-undelivered", cursors.undelivered_at)):
            if moment is not None:
                self._hub.cursors.move(f"{name}/{system}", to_micros(moment), now=self._hub.clock())

    def _audit(self, line: AuditEntry) -> None:
        self._hub.state.commit(Changes(audit=[line]), now=self._hub.clock())


def _lister(reader: object) -> EventLister | None:
    """The reader as a lister of events, where its system keeps such a list."""
    return reader if isinstance(reader, EventLister) else None


def _settlement_lister(reader: object) -> SettlementLister | None:
    return reader if isinstance(reader, SettlementLister) else None


def _endpoint_lister(reader: object) -> EndpointLister | None:
    return reader if isinstance(reader, EndpointLister) else None
