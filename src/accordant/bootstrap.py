"""The composition root, the only module that knows every name: it builds the hub and wires its rooms.

`Hub` is what the edges hold: the server runs its rounds in loops, the command line and the tests call them one by one.
"""

import asyncio
import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from accordant.canonical.charter import Audience, Charter, SystemPart
from accordant.canonical.clearances import Clearance
from accordant.charters import checked_rules, connector_facts, read_rules
from accordant.connectors import registry
from accordant.connectors.sdk.addresses import AddressPolicy
from accordant.connectors.sdk.alerts import AlertWebhook
from accordant.connectors.sdk.collector import SpanSender, wants_spans
from accordant.governance.decide import Switches
from accordant.governance.hearing import Hearing
from accordant.kernel.clock import Clock
from accordant.kernel.errors import ConfigurationError
from accordant.operations import pause as switching
from accordant.operations.bookkeeper import Bookkeeper
from accordant.operations.check_drift import DriftRound, check_drift
from accordant.operations.clear import record_clearance
from accordant.operations.compare_source import CUSTOMERS, SourceComparison, SourceScope, compare_source
from accordant.operations.directory_office import DirectoryOffice
from accordant.operations.epoch_watch import EpochWatch
from accordant.operations.people_office import PeopleOffice
from accordant.operations.phase_office import PhaseOffice
from accordant.operations.reconcile import Progress, Reconciliation, reconcile
from accordant.operations.recovery_room import RecoveryRoom
from accordant.operations.rehearsal_desk import RehearsalDesk
from accordant.operations.relink import relink
from accordant.operations.repair import Repair, repair
from accordant.operations.replan_all import replan_all
from accordant.operations.restore import ConflictUnknown, Prospect, Restored, RestoreOrder, prospects, restore
from accordant.operations.review_room import ReviewRoom
from accordant.operations.scan_directory import Progress as ScanProgress
from accordant.operations.scan_directory import ScanReport
from accordant.operations.strangers import Strangers
from accordant.operations.tell_movements import tell_movements
from accordant.operations.turns import Turns
from accordant.pipeline.batches import sent_until
from accordant.pipeline.courier import Breaker, courier
from accordant.pipeline.deliver import Gate
from accordant.pipeline.dispatch import gate_asker, opening_asker, resting_flows, stop_of
from accordant.pipeline.plan import Rulebook, write_rulebook
from accordant.pipeline.receive import Connection
from accordant.pipeline.recognize import Recognizer, Search
from accordant.pipeline.requests import Requests
from accordant.pipeline.reread import reread
from accordant.pipeline.withhold import WithholdingOutbox
from accordant.pipeline.words import OWN
from accordant.pipeline.work import work
from accordant.ports.connector import Inbound, Outbound, Reader
from accordant.ports.epochs import Marker
from accordant.ports.lanes import Share
from accordant.ports.state import Changes
from accordant.runtime.backoff import backoff
from accordant.runtime.whereabouts import is_gone, own_name
from accordant.runtime.worker import shielded
from accordant.settings import Settings, installed_release, resolve_secrets
from accordant.store.alerts import AlertQueue
from accordant.store.calendar import Calendar
from accordant.store.charter_folder import CharterFolder, folders_beside
from accordant.store.charters import CharterShelf
from accordant.store.clearances import SqlClearanceBook
from accordant.store.conflicts import SqlConflictBook
from accordant.store.cursors import Cursors
from accordant.store.directory import SqlDirectory
from accordant.store.engine import Database
from accordant.store.epochs import FileMarker, SqlEpochBook
from accordant.store.history import SqlHistory
from accordant.store.inbox import SqlInbox
from accordant.store.lanes import SqlLanes
from accordant.store.lease_time import LeaseTime
from accordant.store.leases import Leases, anybody
from accordant.store.ledger_desk import SqlLedgerDesk
from accordant.store.link_memory import SqlLinkMemory
from accordant.store.migrate import migrate
from accordant.store.outbox import SqlOutbox
from accordant.store.owed import SqlOwedBook
from accordant.store.people import SqlPeople
from accordant.store.phases import SqlPhaseBook
from accordant.store.reconcile import SqlReconcileBook
from accordant.store.recovery import SqlRecovery
from accordant.store.rehearsals import SqlRehearsalBook
from accordant.store.review_desk import SqlReviewDesk
from accordant.store.scratch import scratch_state
from accordant.store.shapes import SqlShapeBook
from accordant.store.state import SqlState
from accordant.store.switches import SqlSwitchboard
from accordant.store.vault import KeyDestroyed, Vault, read_wrapping_key

_REREAD_PAUSE = timedelta(seconds=10)
_REREADS_MAX = 200


def system_clock() -> datetime:
    """The real time, for the edges."""
    return datetime.now(UTC)


def read_charter(settings: Settings) -> CharterFolder:
    """The charter of this installation with the places of its lines, not yet checked. Raises: CharterInvalid."""
    return read_rules(settings.charter)


def checked_charter(settings: Settings) -> Charter:
    """The charter of this installation, ready to be put in force. Raises: CharterInvalid."""
    return checked_rules(settings.charter)


def version_of(settings: Settings, folder: str) -> str:
    """The version of the charter in a folder beside the one in force. Raises: CharterInvalid."""
    return checked_rules(settings.charter.absolute().parent / folder).version


class Hub:
    """One installation, wired. Rounds raise TransientError when the store cannot go on; all else is settled inside."""

    def __init__(
        self,
        settings: Settings,
        charter: Charter,
        *,
        environment: Mapping[str, str],
        clock: Clock = system_clock,
        lease_clock: Clock | None = None,
        randomness: random.Random | None = None,
    ) -> None:
        """Open the store, bring it up to date, and build the connections.

        ``lease_clock`` is what leases run out by: the store's own time (`store/lease_time.py`), or that of a ``clock``
        that somebody steers. Raises ConfigurationError with the setting's name.
        """
        self.settings = settings
        self.given_environment = environment
        self.clock = clock
        self._random = randomness or random.Random()  # noqa: S311  jitter, not secrecy
        self._open_store(lease_clock)
        self.span_sender = SpanSender(environment) if wants_spans(environment) else None  # None: traces go nowhere
        self.breakers: dict[str, Breaker] = {}
        self.inbounds: dict[str, Inbound] = dict(OWN)
        self.readers: dict[str, Reader] = {}
        self.outbounds: dict[str, Outbound] = {}
        self.connections: dict[str, Connection] = {}
        self.webhook: AlertWebhook | None = None
        self._appoint()
        self._appoint_registrars()
        self.epochs = self._watch_epochs()
        self._adopt(charter, environment)

    def _open_store(self, lease_clock: Clock | None) -> None:
        """The database and everything kept in it, by what it is for."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        self.database = self._open_database()
        self.vault = Vault(self.database, self._wrapping_key())
        self.inbox = SqlInbox(
            self.database,
            self.vault,
            receives_max=lambda: self.charter.lanes.receives_max,
            reuses_max=lambda: self.charter.red_flags.watched_reuses,
        )
        self.console_key = self.vault.derived(b"console")
        self.state = SqlState(self.database)
        self.outbox = SqlOutbox(
            self.database, batches=lambda now: sent_until(self.rulebook, now), reuses_max=self.inbox.reuses_max
        )
        self.book = SqlReconcileBook(self.database)
        self.conflicts = SqlConflictBook(self.database)
        self.link_memory = SqlLinkMemory(self.database)
        self.switchboard = SqlSwitchboard(self.database)
        self.clearances = SqlClearanceBook(self.database)
        self.owed = SqlOwedBook(self.database)
        self.alerts = AlertQueue(self.database)
        self.lease_clock = lease_clock or (LeaseTime(self.database) if self.clock is system_clock else self.clock)
        name = own_name()
        self.leases = Leases(self.database, name, clock=self.lease_clock, is_gone=is_gone)
        self.requests = Requests(self.outbox, self.lease_clock)
        self.lanes = SqlLanes(self.database, worker=name, clock=self.lease_clock, is_gone=is_gone)
        self.shelf = CharterShelf(self.database)
        self.cursors = Cursors(self.database)
        self.shapes = SqlShapeBook(self.database)
        self.phases = SqlPhaseBook(self.database)
        self.people = PeopleOffice(SqlPeople(self.database), self.clock, alarm=self.alerts.add, random_bytes=os.urandom)

    def _wrapping_key(self) -> bytes:
        return read_wrapping_key(self.settings.home / "wrapping.key")

    def _open_database(self) -> Database:
        database = Database(self.settings.store)
        migrate(database)
        return database

    def _watch_epochs(self) -> EpochWatch:
        return EpochWatch(
            SqlEpochBook(self.database),
            self._open_marker(),
            outbounds=self.outbounds,
            rulebook=lambda: self.rulebook,
            clock=self.clock,
            lease_clock=self.lease_clock,
        )

    def _open_marker(self) -> Marker:
        """The note outside of the store that tells whether it was put back from a backup."""
        return FileMarker(self.settings.home / "dispatch-mark")

    def _appoint(self) -> None:
        """Those who decide beside the rooms: when to decide again, what is granted, how a recovery goes."""
        self._turns = Turns(
            calendar=Calendar(self.database),
            grants=self.phases,
            charters=self.shelf,
            owed=self.owed,
            rights=self.leases,
            replan=lambda repair, *, whole: self.replan_accounts(repair=repair, whole=whole),
            replan_some=lambda ids: self.replan_accounts(account_ids=ids),
            shield=shielded,
            clock=self.clock,
        )
        desk, rulebook = SqlLedgerDesk(self.database), lambda: self.rulebook
        self.bookkeeper = Bookkeeper(desk, self.state, self.cursors, rulebook=rulebook, clock=self.clock)
        self.movements = partial(tell_movements, past=SqlHistory(self.database, self.inbox), connectors=self.inbounds)
        self.phase_office = PhaseOffice(
            self.phases,
            lambda: self.rulebook,
            self.switches,
            self.clock,
            tiers=registry.tiers_of,
            facts=connector_facts,
            people=self.people,
        )
        self.rehearsals = RehearsalDesk(
            SqlRehearsalBook(self.database),
            self.clock,
            live=self.state,
            history=SqlHistory(self.database, self.inbox),
            scratch=partial(scratch_state, self.settings.home),
            in_force=self._rulebook_in_force,
            proposed=lambda: self.rulebook,
            connectors=self.inbounds,
            shield=shielded,
            folders=partial(folders_beside, self.settings.charter),
            version_of=partial(version_of, self.settings),
        )
        self.recovery = RecoveryRoom(
            SqlRecovery(self.database, self.inbox),
            self.state,
            rulebook=lambda: self.rulebook,
            switches=self.switches,
            clock=self.clock,
            inbounds=self.inbounds,
            outbounds=self.outbounds,
            declared=registry,
            rights=self.leases,
            shield=shielded,
            release=installed_release(),
        )

    def _appoint_registrars(self) -> None:
        """Those who say whose record is whose: by what the targets hold, and by a person's word."""
        self.directory_office = DirectoryOffice(
            book=SqlDirectory(self.database),
            marks=self.cursors,
            outbounds=self.outbounds,
            rulebook=lambda: self.rulebook,
            unsettled=self.state.matches.unsettled,
            replan=lambda account_ids: self.replan_accounts(account_ids=account_ids),
            clock=self.clock,
        )
        self.review_room = ReviewRoom(
            desk=SqlReviewDesk(self.database),
            outbounds=self.outbounds,
            rulebook=lambda: self.rulebook,
            replan=lambda account_id: self.replan_accounts(account_ids=(account_id,)),
            clock=self.clock,
        )

    def _adopt(self, charter: Charter, environment: Mapping[str, str]) -> None:
        """Put a checked charter into force."""
        self.charter = charter
        self._shapes_known = self.shapes.revision()
        self.rulebook: Rulebook = self._write_rulebook(charter)
        for name, system in charter.systems.items():
            self._connect(name, system, environment)
        if charter.alerts.slack_webhook is not None:
            url = resolve_secrets(charter.alerts.slack_webhook, environment, "alerts.slack_webhook")
            loopback = any(system.stand_in for system in charter.systems.values())
            self.webhook = AlertWebhook(str(url), clock=self.clock, addresses=AddressPolicy(allow_loopback=loopback))

    def _write_rulebook(self, charter: Charter) -> Rulebook:
        """A charter made ready for what its targets said of their objects."""
        return write_rulebook(charter, registry.tiers_of(charter), self.shapes.shapes())

    def _connect(self, name: str, system: SystemPart, environment: Mapping[str, str]) -> None:
        """Build the halves of one system: no writer where no flow leads, no reader without an API key."""
        connector = registry.connector(system.connector, where=f"systems.{name}")
        resolved = resolve_secrets(dict(system.settings), environment, f"systems.{name}.settings")
        settings = registry.as_text(resolved if isinstance(resolved, dict) else {})
        addresses = AddressPolicy(allow_loopback=system.stand_in, only_loopback=system.stand_in)
        if connector.inbound is not None and connector.webhook_secrets is not None:
            self.inbounds[name] = connector.inbound(settings)
            self.connections[name] = Connection(
                name=name,
                inbound=self.inbounds[name],
                secrets=connector.webhook_secrets(settings),
                deliveries_per_s=system.deliveries_per_s,
            )
        if connector.reader is not None and connector.reader_needs in settings:
            self.readers[name] = connector.reader(settings, self.clock, system=name, addresses=addresses)
        if connector.outbound is not None and any(flow.target == name for flow in self.charter.flows):
            self.outbounds[name] = connector.outbound(
                settings, self.clock, rate_per_s=float(system.rate_per_s), addresses=addresses
            )
            self.breakers[name] = Breaker(self.pause_after)

    @property
    def environment(self) -> str:
        """What the badge says: demo where every target is a stand-in, live where a real one is written."""
        return self.phase_office.environment()

    @property
    def console_token(self) -> str | None:
        """The token visitors of the console sign in with; None where nobody has to."""
        return self.settings.console_token

    @property
    def audience(self) -> Audience:
        """Who reads the console: decides what is covered there."""
        return self.settings.console_audience

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names of the console besides those of loopback."""
        return self.settings.allowed_hosts

    def open_event(self, seq: int) -> bytes | None:
        """The raw body of an event, opened; None when there is none or it was erased."""
        try:
            events = self.inbox.load([seq])
        except KeyDestroyed:
            return None
        return events[0].body if events else None

    def pause_after(self, attempt: int, asked_s: float | None) -> timedelta:
        """How long to wait after try number ``attempt``."""
        part = self.charter.courier
        return backoff(
            attempt,
            base_s=part.backoff_base_s,
            max_s=part.backoff_max_s,
            randomness=self._random,
            retry_after_s=asked_s,
        )

    def switches(self) -> Switches:
        """The switches as they stand this moment."""
        return Switches.thrown(*self.state.policy())

    def process_round(self, share: Share | None = None) -> int:
        """One batch through rooms 3 to 6; how many events were taken. The first of a day decides everything again.

        With a ``share`` of the lanes only those, and only as long as it holds (raises StaleLease); else all of them.
        """
        self._learn_shapes()
        self._turns.look(self.charter, self.rulebook)
        guard = anybody if share is None else self.lanes.guard(share)
        return work(
            inbox=self.inbox.under(guard),
            state=self.state.under(guard),
            connectors=self.inbounds,
            rulebook=self.rulebook,
            now=self.clock(),
            shield=shielded,
            partitions=None if share is None else share.choice,
        )

    async def deliver_round(self, target: str) -> int:
        """One round of rooms 7 and 8 for one target; how many intents were taken. None after a restore, for a while."""
        self._learn_shapes()
        epoch = await self.epochs.look()
        if epoch.is_open:
            return 0
        self.requests.epoch = epoch
        return await courier(
            target=target,
            outbox=WithholdingOutbox(self.outbox, self.rulebook.withheld),
            outbound=self.outbounds[target],
            mappings={route.flow.name: route.mapping for routes in self.rulebook.routes.values() for route in routes},
            umpires={route.flow.name: route.umpire for routes in self.rulebook.routes.values() for route in routes},
            conflicts=self.conflicts,
            recognizer=self._recognizer(target),
            settings=self.charter.courier,
            resting_flows=lambda: resting_flows(self.rulebook, self.switches()),
            open_gate=self._open_gate,
            breaker=self.breakers[target],
            pause=self.pause_after,
            clock=self.clock,
            lease_clock=self.lease_clock,
            requests=self.requests,
            keep_mark=self.epochs.keep_mark,
        )

    def _learn_shapes(self) -> None:
        """Take up what any worker learned of the targets since: it changes what is written, not what is meant."""
        revision = self.shapes.revision()
        if revision != self._shapes_known:
            self._shapes_known = revision
            self.rulebook = self._write_rulebook(self.charter)

    async def drift_round(self) -> DriftRound:
        """Ask every target how it describes its objects; hold what does not fit, go on with what fits again."""
        found = await check_drift(charter=self.charter, outbounds=self.outbounds, book=self.shapes, now=self.clock())
        self._learn_shapes()
        for one in found.cured:
            await asyncio.to_thread(partial(self.replan_accounts, repair=one.records, whole=True))
        return found

    def _recognizer(self, target: str, *, search: bool = True) -> Recognizer:
        part = self.charter.identity if search else None
        sought = None if part is None else Search.of(part, target)
        return Recognizer(memory=self.link_memory, search=sought, charter=self.rulebook.version, clock=self.clock)

    def _open_gate(self) -> Gate:
        gates, openings = gate_asker(self.state, self.clock), opening_asker(self.state, self.rulebook, self.clock)
        hearing = Hearing(self.switches())
        return partial(stop_of, rulebook=self.rulebook, hearing=hearing, ask_gates=gates, ask_opening=openings)

    async def reread_round(self) -> int:
        """Ask the owners of objects in doubt; how many events waited for an answer."""
        now = self.clock()
        waiting = self.inbox.awaiting_reread(now=now, limit=_REREADS_MAX)
        if waiting:
            await reread(waiting, readers=self.readers, queue=self.inbox, now=now, pause=_REREAD_PAUSE)
        return len(waiting)

    def replan_accounts(
        self,
        *,
        repair: frozenset[str] = frozenset(),
        account_ids: tuple[str, ...] | None = None,
        whole: bool = False,
    ) -> int:
        """Decide again for all accounts, or for these; how many. ``whole``: with all that stands below, however old."""
        ids = self.state.account_ids(products=self.rulebook.tells_products) if account_ids is None else account_ids
        return replan_all(
            ids,
            rulebook=lambda: self.rulebook,
            state=self.state,
            clock=self.clock,
            owed=self.owed,
            repair=repair,
            whole=whole,
        )

    async def scan_directory(self, system: str, *, progress: ScanProgress | None = None) -> ScanReport:
        """Read the records of a target and look there for its customers. Raises as `DirectoryOffice.scan`."""
        return await self.directory_office.scan(system, progress=progress)

    async def scan_round(self) -> int:
        """See `DirectoryOffice.round`."""
        return await self.directory_office.round()

    async def reconcile(
        self, flow: str, *, actor: str, progress: Progress | None = None, since: datetime | None = None
    ) -> Reconciliation:
        """Compare a flow with its target, whole or what changed. Raises ConfigurationError for an unknown flow."""
        route = self.rulebook.route(flow)
        if route is None:
            known = ", ".join(part.name for part in self.charter.flows)
            raise ConfigurationError(f"The charter has no flow named {flow!r}.", remedy=f"Its flows are: {known}.")
        if since is None:
            await relink(
                route=route,
                outbound=self.outbounds[route.flow.target],
                book=self.book,
                keeper=self.link_memory,
                recognizer=self._recognizer(route.flow.target, search=False),
                clock=self.clock,
            )
        return await reconcile(
            route=route,
            outbound=self.outbounds[route.flow.target],
            book=self.book,
            state=self.state,
            conflicts=self.conflicts,
            switches=self.switches,
            strangers=Strangers(
                route, self.charter.red_flags, book=self.book, state=self.state, epochs=self.epochs, clock=self.clock
            ),
            actor=actor,
            clock=self.clock,
            progress=progress,
            since=since,
        )

    async def compare_source(
        self,
        system: str,
        *,
        actor: str,
        scope: SourceScope = CUSTOMERS,
        feed: bool = False,
        progress: Progress | None = None,
    ) -> SourceComparison:
        """Compare a part of what an owner holds with the hub. Raises ConfigurationError without an API key."""
        if system not in self.readers or system not in self.inbounds:
            known = ", ".join(sorted(self.readers.keys() & self.inbounds.keys())) or "none"
            raise ConfigurationError(
                f"{system} cannot be read: the charter gives no API key for it.",
                remedy=f"Set its api_key in the charter; systems that can be read: {known}.",
            )
        manifest = registry.connector(self.charter.systems[system].connector, where=f"systems.{system}").manifest
        return await compare_source(
            system=system,
            object_types=tuple(part.name for part in manifest.reads if part.listed),
            reader=self.readers[system],
            inbound=self.inbounds[system],
            book=self.book,
            state=self.state,
            actor=actor,
            clock=self.clock,
            scope=scope,
            feed=(lambda seq, told: self.inbox.keep_reading(seq, told, now=self.clock())) if feed else None,
            progress=progress,
        )

    def repair(self, run_id: str, *, actor: str) -> Repair:
        """Plan writes for what a comparison found and the hub may put right."""
        return repair(
            run_id=run_id,
            book=self.book,
            state=self.state,
            replan=lambda accounts, refs: self.replan_accounts(account_ids=accounts, repair=refs, whole=True),
            actor=actor,
            now=self.clock(),
        )

    def restore(self, order: RestoreOrder) -> Restored:
        """Carry out a person's word on a conflict. Raises RejectedError with what is in the way."""
        return restore(order, book=self.conflicts, state=self.state, rulebook=self.rulebook, now=self.clock())

    def prospects(self, conflict_id: str) -> tuple[Prospect, ...]:
        """What each choice would do now. Raises RejectedError where there is nothing to decide."""
        conflict = self.conflicts.find(conflict_id)
        if conflict is None:
            raise ConflictUnknown(f"There is no conflict {conflict_id[:60]!r}.")
        now, switches = self.clock(), self.switches()
        return prospects(
            conflict, book=self.conflicts, state=self.state, rulebook=self.rulebook, switches=switches, now=now
        )

    def clear(self, clearance: Clearance) -> None:
        """Record what a check found of a customer; what its gates held or let go is decided anew at once."""
        record_clearance(clearance, charter=self.charter, book=self.clearances, state=self.state, now=self.clock())
        self.replan_accounts(account_ids=(clearance.account_id,))

    def pause(self, flow: str, actor: str, reason: str) -> None:
        """Stop a flow, ``system:NAME`` or ``writes``, at once. Raises RejectedError for a name there is not."""
        switch = switching.switch_of(self.charter, flow)
        switching.pause(switch=switch, actor=actor, reason=reason, board=self.switchboard, now=self.clock())

    def resume(self, flow: str, actor: str, reason: str = "Resumed.") -> None:
        """Let what was stopped by a switch go on. Raises as ``pause``."""
        switch = switching.switch_of(self.charter, flow)
        switching.resume(switch=switch, actor=actor, reason=reason, board=self.switchboard, now=self.clock())

    def _rulebook_in_force(self) -> Rulebook | None:
        """The rules this store last worked under; None before the first."""
        version = self.shelf.in_force()
        charter = None if version is None else self.shelf.read(version)
        return None if charter is None else self._write_rulebook(charter)

    def enforce_charter(self, *, actor: str = "accordant") -> bool:
        """Remember the charter in force; when it is not the one of last time, decide everything again. True then.

        ``actor`` is on whose behalf it comes into force. A flow it narrows is narrowed for good, until granted again.
        """
        self.phase_office.keep_to_charter()
        if not self.shelf.remember(self.charter, now=self.clock(), actor=actor):
            return False
        self.state.commit(Changes(audit=self.phase_office.exemptions()), now=self.clock())
        self._turns.follow_charter(self.rulebook)
        return True

    async def close(self) -> None:
        """Release connections and the store."""
        readers, outbounds = self.readers.values(), self.outbounds.values()
        await asyncio.gather(*(one.close() for one in readers), *(one.close() for one in outbounds))
        if self.webhook is not None:
            await self.webhook.close()
        if self.span_sender is not None:
            self.span_sender.close()
        self.database.close()
