"""What reconciliation finds, and what it must be able to ask and keep. Next: `operations/reconcile.py`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from accordant.canonical.intents import IntentState, WireValue
from accordant.canonical.refs import EntityKind, ExternalRef
from accordant.kernel.money import Money
from accordant.ports.audit import AuditEntry
from accordant.ports.conflicts import FieldsKnown
from accordant.ports.state import StoredEntity


class DiscrepancyKind(StrEnum):
    """What is different."""

    MISSING = "missing_in_target"
    EXTRA = "extra_in_target"
    DIFFERS = "field_differs"
    DUPLICATE = "duplicate_key"
    SOURCE = "source_differs"
    HIERARCHY = "hierarchy_differs"
    BILL = "bill_differs"


class Cause(StrEnum):
    """Why, as far as the hub can know it.

    A hand edit: the target no longer holds what it last confirmed. Conflict: the same, and a person has to decide which
    value stays. Not written: a rule, a switch or a refusal kept the
    write back. Not planned: nobody decided about this record. Lost: decided, done, and yet not there. Not ours: the
    record has our key and the hub never asked for it. Held twice: two records have one key. Not heard: the owner says
    something that no event has told. Of a hierarchy: its records stand below each other in a circle; what should be
    above is not there, or deleted; it has more levels than a system takes; one customer stands in two of them; two
    systems place a customer below different ones. Of a bill: at one place it is not what its own parts come to; or one
    place says otherwise than the others.
    """

    HAND_EDIT = "hand_edit"
    CONFLICT = "conflict"
    NOT_WRITTEN = "not_written"
    NOT_PLANNED = "not_planned"
    LOST = "lost"
    NOT_OURS = "not_ours"
    HELD_TWICE = "held_twice"
    NOT_HEARD = "not_heard"
    CIRCLE = "circle"
    PARENT_MISSING = "parent_missing"
    PARENT_DELETED = "parent_deleted"
    TOO_DEEP = "too_deep"
    TWO_PLACES = "two_places"
    PLACED_OTHERWISE = "placed_otherwise"
    NOT_ITS_SUM = "not_its_sum"
    SAID_OTHERWISE = "said_otherwise"


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """One difference.

    ``record`` is ``target:object/key``, or the owner's ``system:type/id`` for a difference at the source. ``expected``
    is what should be there, ``actual`` what is. ``exposure`` is the account's monthly recurring revenue, one amount a
    currency; None where it is not known. ``repairable`` says that the hub may put it right by itself when asked to.
    """

    kind: DiscrepancyKind
    cause: Cause
    record: str
    explanation: str
    field: str | None = None
    expected: WireValue = None
    actual: WireValue = None
    target_id: str | None = None
    account_id: str | None = None
    exposure: tuple[Money, ...] | None = None
    repairable: bool = False


class IntentMark(msgspec.Struct, frozen=True, kw_only=True):
    """The intent of the revision that is desired now."""

    id: str
    state: IntentState
    shadow: bool
    reason: str | None


class KnownRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All the hub knows of one target record at one moment.

    ``confirmed`` is what the target was last known to hold, ``is_written`` whether that was our own write; ``known`` is
    what we last wrote into each field, and what stands for some. ``intent``
    is None where nothing was planned for the desired revision. ``is_open``: an intent that writes is on its way;
    ``parked`` is the reason why its lane is stopped.
    """

    ref: str
    flow: str
    key: str
    entity_id: str
    account_id: str
    revision: int
    fields: dict[str, WireValue]
    confirmed: dict[str, WireValue] | None
    confirmed_id: str | None
    confirmed_at: datetime | None
    is_written: bool
    intent: IntentMark | None
    is_open: bool
    parked: str | None
    known: FieldsKnown = FieldsKnown()


class ReconcileRun(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison. ``records`` and ``fields`` count what was compared; ``finished_at`` is None until it ended."""

    id: str
    flow: str
    started_at: datetime
    finished_at: datetime | None = None
    records: int = 0
    fields: int = 0
    discrepancies: int = 0


class ReconcileBook(Protocol):
    """Obligations: findings are never changed once kept; a run that did not end is never taken for a clean one."""

    def count(self, flow: str) -> int:
        """How many records of this flow are desired."""
        ...

    def known(self, refs: Iterable[str]) -> dict[str, KnownRecord]:
        """What is known of these records; one that was never desired is absent."""
        ...

    def known_after(self, flow: str, key: str, *, limit: int) -> tuple[KnownRecord, ...]:
        """The next desired records of a flow in the order of their keys; start with an empty ``key``."""
        ...

    def changed_after(self, flow: str, since: datetime, key: str, *, limit: int) -> tuple[str, ...]:
        """Keys of the next records of a flow that were decided or confirmed since then, in order."""
        ...

    def last_started(self, flow: str) -> datetime | None:
        """When the latest comparison of a flow that came to its end began; None before the first."""
        ...

    def strangers_at_first(self, flow: str) -> frozenset[str] | None:
        """Records that the first comparison of a flow that came to its end found with a key of ours and not written by
        us; None before it.
        """
        ...

    def unplanned_after(
        self, flow: str, kind: EntityKind, system: str, entity_id: str, *, limit: int
    ) -> tuple[str, ...]:
        """Ids of entities of this kind and system without a desired record in this flow, own or shared, in order."""
        ...

    def entities_of(self, refs: Iterable[ExternalRef]) -> dict[ExternalRef, StoredEntity]:
        """Stored entities by their owner's reference."""
        ...

    def owned_after(self, system: str, kind: EntityKind, entity_id: str, *, limit: int) -> tuple[StoredEntity, ...]:
        """The next entities of this kind that a system owns, in the order of their ids."""
        ...

    def unsettled_lanes(self, lanes: Iterable[str]) -> frozenset[str]:
        """Those inbound lanes among ``lanes`` in which events still wait to be processed."""
        ...

    def begin(self, run: ReconcileRun) -> None:
        """Remember that a comparison started. Raises TransientError when the same run was started already."""
        ...

    def keep(self, run: ReconcileRun, findings: Sequence[Discrepancy], *, now: datetime) -> None:
        """Add findings to a run."""
        ...

    def finish(self, run: ReconcileRun, entry: AuditEntry) -> None:
        """Store the counts and the end of a run, with its line in the trail."""
        ...

    def findings(self, run_id: str) -> tuple[Discrepancy, ...]:
        """Everything a run found, in the order in which it was found."""
        ...
