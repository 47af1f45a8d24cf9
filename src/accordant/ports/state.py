"""What rooms 3 to 6 read and write: entities, standings, crosswalk, desired records. One load, one commit a batch."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from accordant.analytics.movements import MovedRevenue
from accordant.canonical.clearances import CheckKind, Clearance
from accordant.canonical.conflicts import ConflictDecision, FieldMark, Stand
from accordant.canonical.entities import Entity
from accordant.canonical.events import BusinessEvent
from accordant.canonical.intents import WireValue, WriteIntent
from accordant.canonical.observations import Standpoint
from accordant.canonical.phases import Grant
from accordant.canonical.red_flags import FlagStop, RedFlag
from accordant.canonical.refs import EntityKind, EntityRef, ExternalRef
from accordant.canonical.standing import Standing
from accordant.kernel.errors import TransientError
from accordant.ports.audit import AuditEntry
from accordant.ports.books import BookChanges, Bookshelf
from accordant.ports.flags import FlagWord
from accordant.ports.inbox import WorkState
from accordant.ports.matching import MatchBook, MatchChanges


class ConcurrentChange(TransientError):
    """Somebody else changed a row since it was read: the batch is read and decided again."""


class StoredEntity(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as it is kept. ``root_id`` is the account it belongs to, or itself; ``version`` counts from 1."""

    ref: EntityRef
    source: ExternalRef
    root_id: str
    version: int
    observed_at: datetime
    standpoint: Standpoint
    digest: bytes
    entity: Entity
    cause: int


class StoredStanding(msgspec.Struct, frozen=True, kw_only=True):
    """An account's standing as it is kept."""

    account_id: str
    version: int
    standing: Standing


class DesiredRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one target record should hold. ``notes`` say which fields were left out or shadowed, and by which rule."""

    ref: str
    flow: str
    target: str
    object: str
    key: str
    entity_id: str
    lane: str
    revision: int
    input_digest: str
    fields: dict[str, WireValue]
    notes: tuple[str, ...]
    cause: int | None


class WrittenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record (``target:object/key``) with what we last wrote into each of its fields."""

    ref: str
    marks: dict[str, FieldMark]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A crosswalk entry: this object of this system is that entity."""

    source: ExternalRef
    entity: EntityRef


class ObservationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one observation, with the reason where it changed nothing."""

    seq: int
    entity_id: str
    outcome: str
    reason: str | None
    version: int
    observed_at: datetime


class PlannedIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An intent with the decision that allowed it. A shadow intent is computed and compared, never sent."""

    intent: WriteIntent
    shadow: bool
    decision: bytes
    charter: str
    held: str | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one inbox event."""

    seq: int
    state: WorkState
    reason: str | None
    due_at: datetime


class LanePark(msgspec.Struct, frozen=True, kw_only=True):
    """A lane that stops until a person has looked."""

    lane: str
    direction: str
    cause: str
    reason: str


class Policy(NamedTuple):
    """What has been said of writing. ``switches`` are names of those thrown (paused flows, systems, classes).

    ``grants`` has the newest grant of each flow that has one; one whose record was altered comes back as read-only.
    ``flag_stops`` are what the open red flags stop.
    """

    switches: frozenset[str]
    grants: tuple[Grant, ...]
    flag_stops: tuple[FlagStop, ...]


class ProductUse(msgspec.Struct, frozen=True, kw_only=True):
    """An account that has a product, by ``system:id`` of the product, from now on.

    ``is_named`` False: its records were decided before anybody had told what the product is called.
    """

    product: str
    account_id: str
    is_named: bool


class Changes(msgspec.Struct, kw_only=True):
    """Everything a batch decided. It is committed whole or not at all.

    ``entities`` are new versions; ``restamps`` keep their version and only carry a later stamp of the same state.
    ``lifted`` are fields (record, name) for which nothing stands any more; they go before ``stands`` come. ``renamed``
    are products (``system:id``) with a new name: whoever has one is decided again soon after the commit.
    """

    links: list[Link] = []
    entities: list[StoredEntity] = []
    restamps: list[StoredEntity] = []
    standings: list[StoredStanding] = []
    observations: list[ObservationRecord] = []
    business_events: list[tuple[int, str, BusinessEvent]] = []
    desired: list[DesiredRecord] = []
    intents: list[PlannedIntent] = []
    settlements: list[Settlement] = []
    parks: list[LanePark] = []
    stands: list[Stand] = []
    lifted: list[tuple[str, str]] = []
    decisions: list[ConflictDecision] = []
    flags: list[RedFlag] = []
    flag_words: list[FlagWord] = []
    audit: list[AuditEntry] = []
    matches: MatchChanges = msgspec.field(default_factory=MatchChanges)
    books: BookChanges = msgspec.field(default_factory=BookChanges)
    uses: list[ProductUse] = []
    renamed: list[str] = []


class State(Protocol):
    """Obligations: ``commit`` is atomic, and refuses with ConcurrentChange an entity not at the version before."""

    @property
    def matches(self) -> MatchBook:
        """What was decided about whose record an account is."""
        ...

    @property
    def books(self) -> Bookshelf:
        """What the books hold."""
        ...

    def links(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, EntityRef]:
        """The crosswalk entries among ``refs``."""
        ...

    def entities(self, ids: Iterable[str]) -> dict[str, StoredEntity]:
        """Stored entities by id."""
        ...

    def entities_of(self, account_ids: Iterable[str]) -> tuple[StoredEntity, ...]:
        """Every stored entity of these accounts' lanes."""
        ...

    def named(self, names: Iterable[tuple[str, EntityKind, str]]) -> dict[tuple[str, EntityKind, str], StoredEntity]:
        """Stored entities by (system, kind, owner's id)."""
        ...

    def standings(self, account_ids: Iterable[str]) -> dict[str, StoredStanding]:
        """Stored standings by account."""
        ...

    def desired(self, refs: Iterable[str]) -> dict[str, DesiredRecord]:
        """Desired records by reference (``target:object/key``)."""
        ...

    def written(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, WrittenRecord]:
        """What was last written into records, by the target's own names for them; others are absent."""
        ...

    def confirmed(self, records: Iterable[str]) -> dict[str, str]:
        """The target's own id of each record (``target:object/key``) that is known to be there; others are absent."""
        ...

    def references(self, entity_ids: Iterable[str]) -> dict[str, tuple[ExternalRef, ...]]:
        """What entities are called by every system that has them, by entity."""
        ...

    def releases(self, records: Iterable[str]) -> dict[str, frozenset[str]]:
        """The contents that persons let be opened, by record (``target:object/key``); others are absent."""
        ...

    def under_way(self, records: Iterable[str]) -> frozenset[str]:
        """Those of these records for which a request is remembered that was not answered: it may have arrived."""
        ...

    def stands(self, refs: Iterable[str]) -> dict[str, dict[str, Stand]]:
        """What stands for fields of these records, by record and field."""
        ...

    def clearances(self, account_ids: Iterable[str]) -> dict[str, dict[CheckKind, Clearance]]:
        """The newest finding of each compliance check, by account; accounts without any are left out."""
        ...

    def moved(self, account_ids: Iterable[str]) -> dict[str, MovedRevenue]:
        """How the recurring revenue of these accounts moved, as it was last counted; those never counted are absent."""
        ...

    def commit(self, changes: Changes, *, now: datetime) -> None:
        """Store everything in one transaction, audit included.

        Raises: ConcurrentChange when another worker was quicker (nothing is stored; read and decide again),
        TransientError when the store cannot.
        """
        ...

    def policy(self) -> Policy:
        """What is stopped and what is granted, read at one moment: never remembered from an earlier one."""
        ...

    def switches(self) -> frozenset[str]:
        """The switches alone."""
        ...

    def flags(self, ids: Iterable[str]) -> frozenset[str]:
        """Those of these red flags that were raised before, whatever became of them."""
        ...

    def with_credit_notes(self, account_ids: Iterable[str]) -> frozenset[str]:
        """Those of these accounts that have a credit note."""
        ...
