"""The workbench of one batch: what was loaded, what changed since, and everything to commit. In memory only.

Rooms 3 to 6 read from it and lay their results on it; `State.commit` takes them from it, whole.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from accordant.analytics.movements import MovedRevenue
from accordant.analytics.standing import advance, rebuild
from accordant.canonical.clearances import CheckKind, Clearance
from accordant.canonical.conflicts import Stand
from accordant.canonical.documents import LedgerDocument
from accordant.canonical.entities import Account, Entity, Invoice, Payment, Product, Refund, Subscription
from accordant.canonical.observations import Standpoint
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.standing import Standing
from accordant.pipeline.match_table import MatchTable
from accordant.ports.audit import AuditEntry
from accordant.ports.books import Bookshelf
from accordant.ports.state import Changes, DesiredRecord, Link, ProductUse, State, StoredEntity, StoredStanding

ACTOR = "accordant"
#: What stands below an account with a record of its own.
_BELOW = (Subscription, Invoice, Payment, Refund)


class LaidDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger document to be sent: ``system`` is the one whose books it comes of, ``root_id`` names its lane.

    ``again``: it was laid down before, and is looked at anew only where the target does not have it yet.
    """

    document: LedgerDocument
    system: str
    root_id: str
    cause: int | None
    again: bool = False


class Vanished(msgspec.Struct, frozen=True, kw_only=True):
    """A document that its target no longer has. ``entry_id`` is the journal entry that it says."""

    record: str
    target_id: str
    entry_id: str
    seq: int
    said_at: datetime


class Workbench:
    """One batch's view of the state."""

    def __init__(self, state: State, now: datetime) -> None:
        self.now = now
        self.changes = Changes()
        #: Accounts whose records may have to change, with the event that touched each last.
        self.touched: dict[str, int | None] = {}
        self.matching = MatchTable(state.matches, self.changes.matches)
        #: Records that somebody changed at their target, each with the event that told: they are written again even if
        #: nothing new was decided.
        self.doubted: dict[str, int] = {}
        #: Documents that are gone at their target, as they are called there, each with what was told.
        self.vanished: list[Vanished] = []
        #: What changed in this batch, each state before with the one after: red flags are looked for in it.
        self.advances: list[tuple[StoredEntity | None, StoredEntity]] = []
        #: Companies of which something changed in this batch, or that are to be decided again, as accounts above.
        self.sales: dict[str, int | None] = {}
        #: Products that changed in this batch, or are to be decided again, as accounts above.
        self.catalog: dict[str, int | None] = {}
        #: What was posted in this batch, or is to be told again.
        self.documents: list[LaidDocument] = []
        self._state = state
        self._links: dict[ExternalRef, EntityRef] = {}
        self._entities: dict[str, StoredEntity] = {}
        self._standings: dict[str, StoredStanding] = {}
        self._clearances: dict[str, dict[CheckKind, Clearance]] = {}
        self._moved_revenue: dict[str, MovedRevenue] = {}
        self._desired: dict[str, DesiredRecord] = {}
        self._named: dict[tuple[str, EntityKind, str], StoredEntity] = {}
        self._base_versions: dict[str, int] = {}
        self._named_before: set[str] = set()
        self._late: set[str] = set()
        #: What stands below accounts and changed in this batch, by account; None where it has to be gathered anew.
        self._moved: dict[str, list[StoredEntity]] | None = None
        #: All that stands below the accounts that are new, by account; None where it has to be gathered anew.
        self._whole: dict[str, list[StoredEntity]] | None = None
        self._restamped: set[str] = set()
        self._stands: dict[str, dict[str, Stand]] = {}
        self._uses: set[tuple[str, str, str]] = set()
        self._confirmed: dict[str, str] = {}
        self._releases: dict[str, frozenset[str]] = {}
        self._under_way: frozenset[str] = frozenset()

    @property
    def links(self) -> dict[ExternalRef, EntityRef]:
        """The crosswalk as this batch sees it."""
        return self._links

    def load_links(self, refs: Iterable[ExternalRef]) -> None:
        """Fetch crosswalk entries, once for the batch."""
        stored = self._state.links(refs)
        self._links.update(stored)
        self._named_before.update(entity.id for entity in stored.values())

    def load_entities(self, ids: Iterable[str]) -> None:
        """Fetch entities, once for the batch."""
        missing = {entity_id for entity_id in ids if entity_id not in self._entities}
        self._entities.update(self._state.entities(missing))
        self._whole = None

    def load_clearances(self, account_ids: Iterable[str]) -> None:
        """Fetch what compliance checks found, once for the batch; asked only where a gate stands."""
        self._clearances.update(self._state.clearances(account_ids))

    def clearances(self, account_id: str) -> dict[CheckKind, Clearance]:
        """The newest finding of each check of an account, among those that were loaded."""
        return self._clearances.get(account_id, {})

    def load_moved(self, account_ids: Iterable[str]) -> None:
        """Fetch how recurring revenue moved, once for the batch; asked only where a mapping tells it."""
        self._moved_revenue.update(self._state.moved(account_ids))

    def moved(self, account_id: str) -> MovedRevenue | None:
        """How an account's recurring revenue moved; None where that was never counted, or is not asked for."""
        return self._moved_revenue.get(account_id)

    def load_standings(self, account_ids: Iterable[str]) -> None:
        """Fetch standings, once for the batch: one that has moved in it stays as it moved."""
        missing = [name for name in account_ids if name not in self._standings]
        self._standings.update(self._state.standings(missing))

    def load_shared(self, account_ids: Iterable[str]) -> None:
        """Fetch accounts that share a record with one of the batch, and remember which version of them was added up."""
        self.load_entities(account_ids)
        missing = [name for name in account_ids if name not in self._standings]
        self.load_standings(missing)
        for name in missing:
            stored = self._standings.get(name)
            self.matching.changes.witnessed[name] = 0 if stored is None else stored.version

    def loaded(self) -> tuple[StoredEntity, ...]:
        """Every entity that was loaded, changes of this batch included."""
        return tuple(self._entities.values())

    def references(self, account_ids: Iterable[str]) -> dict[str, tuple[ExternalRef, ...]]:
        """What accounts are called by every system that has them."""
        return self._state.references(account_ids)

    def written(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, str]:
        """Those of these objects that we wrote, with the records (``target:object/key``) they are."""
        asked = tuple(refs)
        return {ref: one.ref for ref, one in self._state.written(asked).items()} if asked else {}

    def holders(self, ref: ExternalRef) -> frozenset[str]:
        """The accounts whose record at a target this is."""
        return frozenset(one.account_id for one in self.matching.holders(ref.system, ref.object_type, ref.id))

    def load_confirmed(self, records: Iterable[str]) -> None:
        """Fetch which records are known to be there, once for the batch."""
        self._confirmed.update(self._state.confirmed(records))

    def confirmed(self, record: str) -> str | None:
        """The target's own id of a record that is known to be there, among those that were loaded."""
        return self._confirmed.get(record)

    def load_releases(self, records: Iterable[str]) -> None:
        """Fetch what persons let go, and what went out and was not answered, once for the batch."""
        wanted = tuple(records)
        self._releases.update(self._state.releases(wanted))
        self._under_way |= self._state.under_way(wanted)

    def is_released(self, record: str, content: str) -> bool:
        """Whether a person let this very content be opened, among those that were loaded."""
        return content in self._releases.get(record, frozenset())

    def is_under_way(self, record: str) -> bool:
        """Whether a request for this record went out and was not answered, among those that were loaded."""
        return record in self._under_way

    def load_desired(self, refs: Iterable[str]) -> None:
        """Fetch desired records, once for the batch."""
        self._desired.update(self._state.desired(refs))

    def load_named(self, names: Iterable[tuple[str, EntityKind, str]]) -> None:
        """Fetch entities by (system, kind, owner's id), once for the batch."""
        known = {(link.system, entity.kind, link.id): entity.id for link, entity in self._links.items()}
        wanted = set(names)
        here = {name: known[name] for name in wanted if name in known}
        self.load_entities(here.values())
        self._named.update(
            {name: stored for name, entity_id in here.items() if (stored := self.entity(entity_id)) is not None}
        )
        self._named.update(self._state.named(wanted - self._named.keys()))

    def named(self, system: str, kind: EntityKind, external_id: str) -> StoredEntity | None:
        """An entity by its owner's name, among those that were loaded."""
        stored = self._named.get((system, kind, external_id))
        return None if stored is None else self._entities.get(stored.ref.id, stored)

    def entity(self, entity_id: str) -> StoredEntity | None:
        """An entity as it is now, changes of this batch included."""
        return self._entities.get(entity_id)

    def account(self, account_id: str) -> Account | None:
        """The account of a lane, or None when nobody has said anything of it yet."""
        stored = self._entities.get(account_id)
        return stored.entity if stored is not None and isinstance(stored.entity, Account) else None

    def standing(self, account_id: str) -> Standing:
        """An account's standing as it is now."""
        stored = self._standings.get(account_id)
        return stored.standing if stored is not None else Standing()

    def load_late(self, account_ids: Iterable[str]) -> None:
        """Fetch what was told of accounts before they themselves were described, which is in this batch."""
        late = {name for name in account_ids if self._base_versions.get(name) == 0} & self._named_before
        self.load_whole(late)

    @property
    def books(self) -> Bookshelf:
        """The books as they were before this batch."""
        return self._state.books

    def is_whole(self, account_id: str) -> bool:
        """Whether everything there is of an account was fetched."""
        return account_id in self._late

    def load_whole(self, account_ids: Collection[str]) -> None:
        """Fetch everything there is of accounts: then nothing that stands below them is forgotten."""
        if account_ids:
            known = {stored.ref.id: stored for stored in self._state.entities_of(account_ids)}
            self._entities = known | self._entities
            self._late |= set(account_ids)
            self._whole = None

    def below(self, account_ids: Collection[str]) -> tuple[StoredEntity, ...]:
        """Everything below accounts as this batch sees it, for those who only read it."""
        stored = {one.ref.id: one for one in self._state.entities_of(account_ids)}
        here = {name: one for name, one in self._entities.items() if one.root_id in account_ids}
        return tuple((stored | here).values())

    def moved_below(self, account_id: str) -> tuple[StoredEntity, ...]:
        """Subscriptions, invoices, payments and refunds of the account that changed in this batch; all of them when it
        is the account that is new, or was fetched whole.
        """
        if account_id in self._late:
            if self._whole is None:
                self._whole = self._below_among(self._entities)
            return tuple(self._whole.get(account_id, ()))
        if self._moved is None:
            self._moved = self._below_among(self._base_versions.keys() & self._entities.keys())
        return tuple(self._moved.get(account_id, ()))

    def _below_among(self, names: Iterable[str]) -> dict[str, list[StoredEntity]]:
        """What stands below accounts among these entities, by account."""
        found: dict[str, list[StoredEntity]] = {}
        for stored in (self._entities[name] for name in sorted(names)):
            if isinstance(stored.entity, _BELOW):
                found.setdefault(stored.root_id, []).append(stored)
        return found

    def desired(self, ref: str) -> DesiredRecord | None:
        """A desired record as it is now."""
        return self._desired.get(ref)

    def link(self, source: ExternalRef, entity: EntityRef) -> None:
        """Add a crosswalk entry."""
        self._links[source] = entity
        self.changes.links.append(Link(source=source, entity=entity))

    def put_entity(self, stored: StoredEntity) -> None:
        """Lay down the next state of an entity."""
        self._entities[stored.ref.id] = stored
        self._moved = self._whole = None

    def version_to_write(self, entity_id: str, loaded_version: int) -> int:
        """Several states of one entity in one batch are one row: its version follows the one that was loaded."""
        return self._base_versions.setdefault(entity_id, loaded_version) + 1

    def restamp(self, entity_id: str, *, observed_at: datetime, standpoint: Standpoint) -> None:
        """The same state was said again, later: keep the later stamp, which is no new version."""
        stored = self._entities[entity_id]
        if (stored.observed_at, stored.standpoint) != (observed_at, standpoint):
            self._entities[entity_id] = msgspec.structs.replace(stored, observed_at=observed_at, standpoint=standpoint)
            self._restamped.add(entity_id)

    def advance_standing(self, account_id: str, before: Entity | None, after: Entity) -> None:
        """Let one entity's change count towards its account."""
        stored = self._standings.get(account_id)
        old = stored.standing if stored is not None else Standing()
        new = advance(old, before, after)
        if new != old:
            version = self.version_to_write(f"standing/{account_id}", stored.version if stored is not None else 0)
            self._standings[account_id] = StoredStanding(account_id=account_id, version=version, standing=new)

    def rebuild_standings(self) -> None:
        """Where a change could not be added up (a payment that failed after it succeeded), add up everything again."""
        due = {account_id for account_id in self.touched if self.standing(account_id).rebuild_due}
        if not due:
            return
        whole = {stored.ref.id: stored for stored in self._state.entities_of(due)}
        whole.update({stored.ref.id: stored for stored in self._entities.values() if stored.root_id in due})
        for account_id in due:
            mine = [stored.entity for stored in whole.values() if stored.root_id == account_id]
            stored = self._standings[account_id]
            self._standings[account_id] = msgspec.structs.replace(stored, standing=rebuild(mine))

    def stands(self, ref: str) -> dict[str, Stand]:
        """What stands for the fields of a record."""
        return self._stands.get(ref, {})

    def load_stands(self, refs: Iterable[str]) -> None:
        """Fetch stands, once for the batch; what this batch put down counts already."""
        for ref, stands in self._state.stands(refs).items():
            self._stands[ref] = stands | self._stands.get(ref, {})

    def put_stand(self, stand: Stand) -> None:
        """Let a value stand for a field, or hold the field."""
        self._stands.setdefault(stand.record, {})[stand.field] = stand
        self.changes.stands.append(stand)

    def lift_stand(self, stand: Stand) -> None:
        """Nothing stands for this field any more."""
        self.changes.lifted.append((stand.record, stand.field))

    def put_desired(self, wanted: DesiredRecord) -> None:
        """Lay down the next revision of a desired record."""
        self._desired[wanted.ref] = wanted
        self.changes.desired.append(wanted)

    def note(
        self, kind: str, subject: str, cause: int | None, body: dict[str, str | int | bool | list[str] | None]
    ) -> None:
        """Write a line of the audit trail."""
        self.changes.audit.append(
            AuditEntry(kind=kind, actor=ACTOR, subject=subject, cause=cause, at=self.now, body=body)
        )

    def tell_links(self, named: Iterable[tuple[ExternalRef, int]]) -> None:
        """A name for something of which nothing else is told is a change of its own; ``named`` says which event did it.

        ``named`` is read only where there is such a name.
        """
        told = {entry.subject for entry in self.changes.audit}
        alone = [link for link in self.changes.links if str(link.entity) not in told]
        causes = dict(named) if alone else {}
        for link in alone:
            self.note("registry.link.made", str(link.entity), causes.get(link.source), {"source": str(link.source)})

    def note_products(self, system: str, account_id: str, before: Entity | None, after: Entity) -> None:
        """Whose records a product's name is in, and that a product is called otherwise from now on."""
        if isinstance(after, Subscription):
            known = _products_of(before) if isinstance(before, Subscription) else frozenset()
            self._uses |= {(system, product_id, account_id) for product_id in _products_of(after) - known}
        elif isinstance(after, Product) and after.name != (before.name if isinstance(before, Product) else None):
            self.changes.renamed.append(f"{system}:{after.external_id}")

    def collect(self) -> Changes:
        """Everything to commit: of each entity and standing only its last state in this batch."""
        for name in self._base_versions:
            if name.startswith("standing/"):
                self.changes.standings.append(self._standings[name.removeprefix("standing/")])
            else:
                self.changes.entities.append(self._entities[name])
        self.changes.uses.extend(
            ProductUse(product=f"{system}:{name}", account_id=account_id, is_named=self._is_named(system, name))
            for system, name, account_id in sorted(self._uses)
        )
        self.changes.restamps.extend(
            self._entities[name] for name in sorted(self._restamped - self._base_versions.keys())
        )
        return self.changes

    def _is_named(self, system: str, product_id: str) -> bool:
        stored = self.named(system, EntityKind.PRODUCT, product_id)
        return stored is not None and isinstance(stored.entity, Product) and bool(stored.entity.name)


def _products_of(subscription: Subscription) -> frozenset[str]:
    return frozenset(item.product_id for item in subscription.items if item.product_id)
